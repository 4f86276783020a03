"""``python -m benchmarks``: this project and its peers on the same work, checked to agree, then timed in turns."""

import dataclasses
import pathlib
import sys

import jax
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress

from benchmarks import report
from benchmarks.cases import Case, Work
from benchmarks.choosing import chosen
from benchmarks.environments import FOLDER, NotInstalledError, python_of
from benchmarks.growth import grown, series
from benchmarks.measure import measure
from benchmarks.works import works
from ntk_localsgd.cli.parsing import execute

GROWTH = "growth"


@dataclasses.dataclass(frozen=True)
class Bench:
    """Measure, print ratios, store results with the environment, and renew the tables in benchmarks/README.md.

    Parameters
    ----------
    only
        Names of works, each with sizes or without: `deep-gram`, `deep-gram:n=64`, `"gram-on-the-way:two layers,m=1024"`
        measures the sizes whose label has all these parts. Results of other sizes are kept. None: everything.
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
        every, growing = {work.name: work for work in works(self.smoke)}, series(self.smoke)
        sizes = {name: [case.label for case in work.cases] for name, work in every.items()} | {GROWTH: list(growing)}
        wanted = chosen(self.only, sizes)
        folder = FOLDER / "smoke" if self.smoke else report.HERE / "results"
        failed: list[str] = []
        if not self.render:
            measured = [
                (work, [case for case in work.cases if case.label in wanted[name]])
                for name, work in every.items() if name in wanted
            ]  # fmt: skip
            failed = _measure_all(
                measured, {name: growing[name] for name in wanted.get(GROWTH, ())}, report.here(folder)
            )
        tables = report.render(folder, list(sizes))
        if self.smoke:
            (folder / "tables.md").write_text(tables + "\n", encoding="utf-8")
        else:
            report.into_readme(tables)
        Console().print(Markdown(tables))
        for line in failed:
            print(line, file=sys.stderr)
        return 1 if failed else 0


def _measure_all(
    measured: list[tuple[Work, list[Case]]], growing: dict[str, dict[float, Case]], folder: pathlib.Path
) -> list[str]:
    """Measure and store; what failed that must not, one line each."""
    failed = []
    with Progress() as progress:
        task = progress.add_task("environments", total=sum(len(cases) for _, cases in measured) + len(growing))
        used = {route.environment for _, cases in measured for case in cases for route in case.routes} | {"project"}
        for name in sorted(used):
            try:
                python_of(name)
            except NotInstalledError as reason:  # its rows will say so, and the rest goes on
                progress.console.print(f"{name} could not be installed: {reason}")
        for work, cases in measured:
            about, rows = report.environment({r.environment for c in cases for r in c.routes}), []
            for case in cases:
                rows += measure(work, case, lambda text: progress.update(task, description=text))
                progress.advance(task)
            report.write(work.name, report.of_work(work, rows, about, report.read(work.name, folder)), folder)
            failed += [f"{work.name}, {row['case']}, {row['route']}: {row['note']}" for row in rows
                       if "note" in row and (not row["peer"] or "agreement" in row)]  # fmt: skip
        if growing:
            about, grew = report.environment(set()), {}
            for name, cases_by_size in growing.items():
                progress.update(task, description=f"growth: {name}")
                grew[name] = grown(cases_by_size)
                progress.advance(task)
            order = list(series(smoke=False))
            report.write(GROWTH, report.of_growth(order, grew, about, report.read(GROWTH, folder)), folder)
    return failed


if __name__ == "__main__":
    sys.exit(execute(Bench, prog="python -m benchmarks", description=__doc__ or ""))
