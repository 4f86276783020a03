"""``python -m tests.mutations``: one formula broken at a time, in a copy of the sources; the named tests must fail.

A mutation counts as caught only by a test that ran and failed. One that cannot even be collected, or that no test
notices, survives; a run past its time limit (an endless loop, say) is caught, and marked.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ntk_localsgd.cli.parsing import execute
from ntk_localsgd.errors import InputError
from tests.mutations.cases import MUTATIONS
from tests.mutations.mutation import Mutation

_ROOT = pathlib.Path(__file__).parents[2]

# What the tests read; the guides, because a test runs the examples in them.
_COPIED = ("ntk_localsgd", "verification", "figures", "tests", "pyproject.toml", "README.md", "CONTRIBUTING.md")

# Prints where the packages come from; run once in the copy, whose path they must begin with.
_WHERE = "import ntk_localsgd, verification; print(ntk_localsgd.__file__, verification.__file__, sep='\\n')"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one mutation: ``caught`` by ``by`` (a test's node id, or why it was not)."""

    verdict: Literal["caught", "timed out", "survived"]
    by: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Check:
    """Break one formula at a time and see that the named tests notice."""

    only: str = ""
    """Only mutations whose file or description holds this text."""
    jobs: int = 2
    """Mutations tried at the same time."""
    timeout: float = 600.0
    """Seconds that one mutation's tests may take; longer counts as caught."""

    def __call__(self) -> int:
        """Run, print the table; 1 if a mutation survives."""
        chosen = [m for m in MUTATIONS if self.only in f"{m.file} {m.breaks}"]
        if not chosen:
            raise InputError(f"only is {self.only!r}, which no mutation's file or description holds.")
        if self.jobs < 1:
            raise InputError(f"jobs is {self.jobs}, needs to be at least 1.")
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        # All that follows copies this first copy: the sources may be edited in the meantime.
        with (
            _Copy(_ROOT) as pristine,
            Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress,
        ):
            _require_green(pristine, chosen, self.jobs)
            task = progress.add_task("mutations", total=len(chosen))

            def tried(mutation: Mutation) -> Outcome:
                outcome = _tried(pristine, mutation, self.timeout)
                progress.advance(task)
                if outcome.verdict == "survived":  # said at once: the others may take minutes
                    progress.console.print(Text(f"survived: {mutation.file}: {mutation.breaks} ({outcome.by})", "red"))
                return outcome

            with ThreadPoolExecutor(self.jobs) as pool:
                outcomes = list(pool.map(tried, chosen))
        Console().print(_table(chosen, outcomes))
        survivors = sum(outcome.verdict == "survived" for outcome in outcomes)
        print(f"{len(chosen)} mutations, {len(chosen) - survivors} caught, {survivors} survived")
        return int(survivors > 0)


def _require_green(pristine: pathlib.Path, chosen: list[Mutation], jobs: int) -> None:
    """Refuse to go on if a named test fails without any mutation, or if the copy is not what the tests import."""
    tests = list(dict.fromkeys(test for mutation in chosen for test in mutation.caught_by))
    with _Copy(pristine) as folder:
        found = _python(folder, "-c", _WHERE).stdout.split("\n")[:2]
        if not all(pathlib.Path(path).is_relative_to(folder) for path in found):
            raise InputError(f"{' and '.join(found)} are imported, but the mutated copy lies in {folder}.")
        print(f"{len(chosen)} mutations; first their {len(tests)} tests without any", file=sys.stderr)
        done = _python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(jobs), *tests)
    if done.returncode:
        raise InputError(f"tests fail without any mutation:\n{done.stdout}{done.stderr}")


def _tried(pristine: pathlib.Path, mutation: Mutation, timeout: float) -> Outcome:
    start = time.perf_counter()
    with _Copy(pristine) as folder:
        path = folder / mutation.file
        path.write_text(mutation.applied(path.read_text(encoding="utf-8")), encoding="utf-8")
        arguments = ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *mutation.caught_by)
        try:
            done = _python(folder, *arguments, timeout=timeout)
        except subprocess.TimeoutExpired:
            return Outcome("timed out", f"no end within {timeout:g} s", time.perf_counter() - start)
    seconds = time.perf_counter() - start
    # With -x an error while collecting ends with the exit code of a failed test: only the summary tells them apart.
    failed = re.search(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", done.stdout, re.M)
    if done.returncode == 1 and failed:
        return Outcome("caught", failed[1], seconds)
    why = "no test failed" if done.returncode == 0 else f"pytest ended with {done.returncode} before any test ran"
    return Outcome("survived", why, seconds)


class _Copy(tempfile.TemporaryDirectory[str]):
    """A temporary folder with the sources in it."""

    def __init__(self, root: pathlib.Path) -> None:
        super().__init__(prefix="mutation-")
        self._root = root

    def __enter__(self) -> pathlib.Path:
        folder = pathlib.Path(super().__enter__()).resolve()
        for name in _COPIED:
            if (self._root / name).is_dir():
                shutil.copytree(self._root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(self._root / name, folder / name)
        return folder


def _python(folder: pathlib.Path, *arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """This interpreter in the copy, which comes before the editable install; one thread each for linear algebra."""
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, timeout=timeout, check=False,
                          capture_output=True, text=True)  # fmt: skip


def _table(mutations: list[Mutation], outcomes: list[Outcome]) -> Table:
    table = Table("mutation", "file", "", "by", "s")
    for column in table.columns:
        column.overflow = "fold"  # names stay whole in a narrow terminal
    for mutation, outcome in zip(mutations, outcomes, strict=True):
        by, style = outcome.by.removeprefix("tests/"), "red" if outcome.verdict == "survived" else ""
        cells = (mutation.breaks, mutation.file, outcome.verdict, by, f"{outcome.seconds:.0f}")
        table.add_row(*map(Text, cells), style=style)  # as plain text: brackets are no markup
    return table


if __name__ == "__main__":
    sys.exit(execute(Check, prog="python -m tests.mutations", description="Break one formula at a time."))
