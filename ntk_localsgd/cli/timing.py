"""What a command that may take long shows meanwhile, and a limit on the seconds that it spends."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

__all__ = ["TimeUp", "limited", "watched"]


class TimeUp(BaseException):
    """A block has taken as long as it may; no `Exception`, so that nothing that catches those swallows it."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TimeUp` in this block after so many seconds, in the main thread of a system that has timers.

    A product of large matrices is not interrupted, so that it may end a little later.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    try:
        # 0 would be no limit at all.
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _ring(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (of a signal's handler)
    raise TimeUp


@contextlib.contextmanager
def watched(what: str, seconds: float) -> Iterator[None]:
    """As `limited`, with what is done and for how long on standard error."""
    columns = (TextColumn(what), TimeElapsedColumn(), TextColumn(f"of at most {seconds:g} s"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar, limited(seconds):
        bar.add_task("", total=None)
        yield
