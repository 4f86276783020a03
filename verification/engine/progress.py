"""What is shown while jobs are computed."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["progress_bar"]


class _Throughput(ProgressColumn):
    """Finished jobs a second, or a minute."""

    def render(self, task: Task) -> Text:
        """As long as there is a speed."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.3g}/s" if speed >= 1 else f"{60 * speed:.3g}/min")


def progress_bar() -> Progress:
    """A bar with counts, throughput, elapsed and remaining time on standard error."""
    done = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), _Throughput())
    return Progress(*done, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))
