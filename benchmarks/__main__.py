"""``python -m benchmarks``: this project and its peers on the same work, checked to agree, then timed in turns."""

import dataclasses
import pathlib
import sys

import jax
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress

from benchmarks import report
from benchmarks.environments import FOLDER, NotInstalledError, python_of
from benchmarks.growth import grown, series
from benchmarks.measure import measure
from benchmarks.works import works
from ntk_localsgd.cli.parsing import execute
from ntk_localsgd.errors import InputError


@dataclasses.dataclass(frozen=True)
class Bench:
    """Measure, print ratios, store results with the environment, and renew the tables in benchmarks/README.md.

    Parameters
    ----------
    only
        Names of works; none: all of them.
    smoke
        Tiny sizes, to try the whole pipeline; results go to build/bench/smoke, and the README stays as it is.
    render
        Measure nothing, only renew the tables from the stored results.
    """

    only: tuple[str, ...] = ()
    smoke: bool = False
    render: bool = False

    def __call__(self) -> int:
        """Run; 0 unless this project itself fails in a work or a peer does not agree."""
        # Float64 for problems made here; each worker sets its own.
        jax.config.update("jax_enable_x64", True)
        every = {work.name: work for work in works(self.smoke)}
        names = [*every, "growth"]
        if unknown := [name for name in self.only if name not in names]:
            raise InputError(f"only names {unknown[0]!r}, needs names out of {', '.join(names)}.")
        folder = FOLDER / "smoke" if self.smoke else report.HERE / "results"
        failed: list[str] = []
        if not self.render:
            chosen = [name for name in names if not self.only or name in self.only]
            failed = _measure_all(chosen, every, report.here(folder), self.smoke)
        tables = report.render(folder, names)
        if self.smoke:
            (folder / "tables.md").write_text(tables + "\n", encoding="utf-8")
        else:
            report.into_readme(tables)
        Console().print(Markdown(tables))
        for line in failed:
            print(line, file=sys.stderr)
        return 1 if failed else 0


def _measure_all(chosen: list[str], every: dict, folder: pathlib.Path, smoke: bool) -> list[str]:
    """Measure and store; what failed that must not, one line each."""
    failed, growing = [], series(smoke) if "growth" in chosen else {}
    measured = [every[name] for name in chosen if name in every]
    with Progress() as progress:
        task = progress.add_task("environments", total=sum(len(work.cases) for work in measured) + len(growing))
        used = {route.environment for work in measured for case in work.cases for route in case.routes} | {"project"}
        for name in sorted(used):
            try:
                python_of(name)
            except NotInstalledError as reason:  # its rows will say so, and the rest goes on
                progress.console.print(f"{name} could not be installed: {reason}")
        for work in measured:
            about, rows = report.environment({r.environment for c in work.cases for r in c.routes}), []
            for case in work.cases:
                rows += measure(work, case, lambda text: progress.update(task, description=text))
                progress.advance(task)
            report.write(work.name, report.of_work(work, rows, about), folder)
            failed += [f"{work.name}, {row['case']}, {row['route']}: {row['note']}" for row in rows
                       if "note" in row and (not row["peer"] or "agreement" in row)]  # fmt: skip
        if growing:
            about, grew = report.environment(set()), {}
            for name, cases in growing.items():
                progress.update(task, description=f"growth: {name}")
                grew[name] = grown(cases)
                progress.advance(task)
            report.write("growth", report.of_growth(grew, about), folder)
    return failed


if __name__ == "__main__":
    sys.exit(execute(Bench, prog="python -m benchmarks", description=__doc__ or ""))
