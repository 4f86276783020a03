"""Runs the selected claims: first the runs they declare, each once, then the checks; writes evidence and report.

Both leave files behind as they go, runs in ``runs/`` and the evidence of every claim in ``claims/``, named by all that
they depend on: what was interrupted goes on where it stopped.
"""

import ast
import dataclasses
import functools
import inspect
import json
import pathlib
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ntk_localsgd import results
from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import Evidence, Verdict
from verification import report
from verification.claims import Claim
from verification.context import Context
from verification.runs import RunSpec

__all__ = ["run", "two_at_a_time"]

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")

_PACKAGE = pathlib.Path(__file__).parent


def run(claims: Sequence[Claim], context: Context) -> int:
    """Check the claims, write ``evidence.json`` and ``paper_checks.md`` into the context's folder.

    Returns
    -------
    0 if nothing was refuted, every control broke and no script crashed; 1 otherwise.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    _require_writable(context.out)
    evidence: list[Evidence] = []
    crashed: dict[str, str] = {}
    specs = list(dict.fromkeys(spec for entry in claims for spec in entry.runs(context)))
    columns = (
        TextColumn("{task.description:<40}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("runs", total=len(specs))

        def compute(spec: RunSpec) -> None:
            progress.update(task, description=f"run: {spec.kind}, m = {spec.width}, {len(spec.seeds)} seeds")
            try:
                context.run(spec)
            except InputError:
                raise
            except Exception:  # the claims that need this run will say so; the others go on
                traceback.print_exc(file=sys.stderr)
            progress.advance(task)

        list(two_at_a_time(compute, specs))
        task = progress.add_task("claims", total=len(claims))
        for entry in claims:  # one at a time: C8-traps breaks the certificate's own functions while it looks
            progress.update(task, description=f"claim {entry.id}")
            try:
                evidence += _check(entry, context)
            except InputError:
                raise
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                crashed[entry.id] = f"{type(error).__name__}: {error}".splitlines()[0]
            progress.advance(task)
    _write(context.out / "evidence.json", _json(evidence))
    _write(context.out / "paper_checks.md", report.render({context.preset.name: evidence}, crashed))
    return _conclude(evidence, crashed, context.out)


def two_at_a_time(function: Callable[[_Item], _Found], items: Iterable[_Item]) -> Iterator[_Found]:
    """The function of every run's specification, in their order.

    While one run is traced and compiled, which takes one core, the other's rounds use the second.
    """
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield from pool.map(function, items)


def _check(entry: Claim, context: Context) -> list[Evidence]:
    """The claim's evidence: stored if the same code has found it before, otherwise measured and stored."""
    scripts = results.code_fingerprint(*_scripts(pathlib.Path(inspect.getfile(entry.check))))
    identity = {"claim": entry.id, "preset": dataclasses.asdict(context.preset), "seed": context.seed, "code": scripts}
    path = results.path_for(identity, context.out / "claims").with_suffix(".json")
    if path.exists():
        return [Evidence.from_json(fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
    found = _measure(entry, context)
    path.parent.mkdir(exist_ok=True)
    _write(path, _json(found))
    return found


@functools.cache
def _scripts(script: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """The script of a check, and all of this package's that it imports, directly or through others."""
    found, wanted = set(), [script]
    while wanted:
        found.add(path := wanted.pop())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("verification"):
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                files = (_PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py") for name in names)
                wanted += [file for file in files if file.exists() and file not in found]
    return tuple(sorted(found))


def _measure(entry: Claim, context: Context) -> list[Evidence]:
    start, found = time.perf_counter(), []
    for piece in entry.check(context):
        now = time.perf_counter()
        found.append(
            dataclasses.replace(
                piece, seed=context.seed, device=results.device_name(), versions=results.versions(), elapsed=now - start
            )
        )
        start = now
    return found


def _conclude(evidence: list[Evidence], crashed: dict[str, str], out: pathlib.Path) -> int:
    """Print the summary and decide the exit code."""
    console = Console()
    console.print(report.summary_table(evidence))
    for name, reason in crashed.items():
        console.print(f"[red]{name} crashed: {reason}[/red]")
    refuted = [e for e in evidence if e.verdict is Verdict.REFUTED]
    unbroken = [e for e in evidence if not e.control.broke]
    for label, rows in (("refuted", refuted), ("control unbroken", unbroken)):
        for row in rows:
            console.print(f"[red]{label}: {row.claim}, {row.setting}[/red]")
    console.print(f"evidence: {out / 'evidence.json'}\nreport:   {out / 'paper_checks.md'}")
    return int(bool(refuted or unbroken or crashed))


def _require_writable(folder: pathlib.Path) -> None:
    """Refuse a folder that cannot be written before hours of work, not after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"out folder {folder} cannot be written ({error.strerror}): a writable folder is needed."
        ) from error


def _json(evidence: Sequence[Evidence]) -> str:
    return json.dumps([piece.to_json() for piece in evidence], indent=1, allow_nan=False)


def _write(path: pathlib.Path, text: str) -> None:
    """Write beside and move into place, so that no reader sees half a file."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text + "\n" if not text.endswith("\n") else text, encoding="utf-8")
    temporary.replace(path)
