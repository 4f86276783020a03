"""``python -m tests.mutations``: one formula broken at a time, in a copy of the sources; the named tests must fail.

A mutation counts as caught only by a test that ran and failed. One that cannot even be collected, or that no test
notices, survives; a run past its time limit (an endless loop, say) is caught, and marked.
"""

import dataclasses
import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

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

# Run once in the copy: the packages come from it.
_WHERE = """
import ntk_localsgd, verification

def test_packages_come_from_the_copy():
    assert all(package.__file__.startswith({folder!r}) for package in (ntk_localsgd, verification))
"""

# What is loaded before pytest cannot be rewritten by it, and need not be.
_OPTIONS = ("-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")

_Item, _Result = TypeVar("_Item"), TypeVar("_Result")


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
            _Servers(self.jobs) as servers,
            Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress,
        ):
            _require_green(pristine, chosen, servers)
            task = progress.add_task("mutations", total=len(chosen))

            def tried(mutation: Mutation) -> Outcome:
                outcome = _tried(pristine, mutation, servers, self.timeout)
                progress.advance(task)
                if outcome.verdict == "survived":  # said at once: the others may take minutes
                    progress.console.print(Text(f"survived: {mutation.file}: {mutation.breaks} ({outcome.by})", "red"))
                return outcome

            outcomes = servers.map(tried, chosen)
        Console().print(_table(chosen, outcomes))
        survivors = sum(outcome.verdict == "survived" for outcome in outcomes)
        print(f"{len(chosen)} mutations, {len(chosen) - survivors} caught, {survivors} survived")
        return int(survivors > 0)


def _require_green(pristine: pathlib.Path, chosen: list[Mutation], servers: "_Servers") -> None:
    """Refuse to go on if a named test fails without any mutation, or if the copy is not what the tests import."""
    files: dict[str, list[str]] = {}
    for test in dict.fromkeys(test for mutation in chosen for test in mutation.caught_by):
        files.setdefault(test.partition("::")[0], []).append(test)
    print(f"{len(chosen)} mutations; first their tests, of {len(files)} files, without any", file=sys.stderr)
    # In the first copy itself: what is compiled here is there for all that follow.
    (pristine / "tests" / "test_where.py").write_text(_WHERE.format(folder=str(pristine)), encoding="utf-8")
    shares = [list(files.values())[k :: servers.number] for k in range(servers.number)]
    parts = [[test for tests in share for test in tests] for share in shares]
    parts[0].append("tests/test_where.py")
    for code, output in servers.map(lambda part: servers.pytest(pristine, "-q", *part) if part else (0, ""), parts):
        if code:
            raise InputError(f"tests fail without any mutation:\n{output}")


def _tried(pristine: pathlib.Path, mutation: Mutation, servers: "_Servers", timeout: float) -> Outcome:
    start = time.perf_counter()
    with _Copy(pristine, linked=True) as folder:
        path = folder / mutation.file
        mutant = mutation.applied(path.read_text(encoding="utf-8"))
        for known in (path, *(path.parent / "__pycache__").glob(f"{path.stem}.*")):  # links to the first copy's
            known.unlink()
        path.write_text(mutant, encoding="utf-8")
        code, output = servers.pytest(folder, "-x", "-q", *mutation.caught_by, timeout=timeout)
    seconds = time.perf_counter() - start
    if code is None:
        return Outcome("timed out", f"no end within {timeout:g} s", seconds)
    # With -x an error while collecting ends with the exit code of a failed test: only the summary tells them apart.
    failed = re.search(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", output, re.M)
    if code == 1 and failed:
        return Outcome("caught", failed[1], seconds)
    why = "no test failed" if code == 0 else f"pytest ended with {code} before any test ran"
    return Outcome("survived", why, seconds)


class _Copy(tempfile.TemporaryDirectory[str]):
    """A temporary folder with the sources in it; ``linked``: as hard links, to which nobody writes."""

    def __init__(self, root: pathlib.Path, *, linked: bool = False) -> None:
        super().__init__(prefix="mutation-")
        self._root, self._linked = root, linked

    def __enter__(self) -> pathlib.Path:
        folder = pathlib.Path(super().__enter__()).resolve()
        copy: Callable[[str, str], object] = os.link if self._linked else shutil.copy2
        ignore = None if self._linked else shutil.ignore_patterns("__pycache__")
        for name in _COPIED:
            if (self._root / name).is_dir():
                shutil.copytree(self._root / name, folder / name, ignore=ignore, copy_function=copy)
            else:
                copy(str(self._root / name), str(folder / name))
        return folder


class _Servers:
    """Processes of `forked`, each of which runs one pytest at a time; one thread of linear algebra each."""

    def __init__(self, number: int) -> None:
        self.number = number
        environment = os.environ | {"COLUMNS": "200"}
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")
        script = str(pathlib.Path(__file__).with_name("forked.py"))
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._processes = [subprocess.Popen([sys.executable, script], env=environment, **pipes) for _ in range(number)]
        self._free = queue.SimpleQueue[subprocess.Popen[str]]()
        for process in self._processes:
            self._free.put(process)

    def __enter__(self) -> "_Servers":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()

    def pytest(self, folder: pathlib.Path, *arguments: str, timeout: float | None = None) -> tuple[int | None, str]:
        """Exit code, None if there was no end, and output."""
        process = self._free.get()
        request = {"folder": str(folder), "arguments": [*_OPTIONS, *arguments], "timeout": timeout}
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps(request), file=process.stdin, flush=True)
        answer = json.loads(process.stdout.readline())
        self._free.put(process)
        return answer["code"], answer["output"]

    def map(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """As many at a time as there are processes."""
        with ThreadPoolExecutor(self.number) as pool:
            return list(pool.map(function, items))


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
