"""Checks claims: first the jobs they need, each once, then their judges; writes evidence and report."""

import contextlib
import dataclasses
import pathlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from rich.console import Console

from ntk_localsgd.errors import InputError, StorageError
from ntk_localsgd.evidence import Evidence, Header, Verdict, write_evidence
from ntk_localsgd.provenance import commit, device_name, versions
from ntk_localsgd.results import require_writable
from verification.context import Context
from verification.engine import Results, compute
from verification.registry import Claim
from verification.report import html, markdown, pages
from verification.store import Job, Store

__all__ = ["Outcome", "check", "conclude", "fits", "header_of", "jobs_of", "judge"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Rows of evidence, and the claims that crashed with the reason."""

    rows: list[Evidence]
    crashed: dict[str, str]

    @property
    def failed(self) -> bool:
        """Whether something was refuted, a control did not break, or a claim crashed."""
        return bool(self.crashed) or any(r.verdict is Verdict.REFUTED or not r.control.broke for r in self.rows)


def jobs_of(claims: Sequence[Claim], context: Context) -> list[Job]:
    """All jobs that the claims need, each once; a claim that cannot say what it needs crashes when it is judged."""
    jobs: dict[Job, None] = {}
    for entry in claims:
        with contextlib.suppress(Exception):
            jobs |= dict.fromkeys(entry.jobs(context))
    return list(jobs)


def judge(claims: Sequence[Claim], context: Context, results: Results) -> Outcome:
    """The rows of all claims; one that raises has crashed, and the others go on."""
    rows: list[Evidence] = []
    crashed: dict[str, str] = {}
    for entry in claims:
        try:
            rows += entry.rows(context, results)
        except Exception as error:
            if not isinstance(error, InputError):
                traceback.print_exc(file=sys.stderr)
            crashed[entry.id] = f"{type(error).__name__}: {error}".splitlines()[0]
    return Outcome(rows, crashed)


def header_of(context: Context, crashed: Mapping[str, str] | None = None, device: str | None = None) -> Header:
    """What all rows of this run have in common, and what crashed; without a device it is that of this process."""
    return Header(context.preset.name, context.seed, device or device_name(), commit(), versions(), crashed or {})


def check(
    claims: Sequence[Claim],
    context: Context,
    out: pathlib.Path,
    *,
    fresh: bool = False,
    executor: Executor | None = None,
    where: Mapping[str, str] | None = None,
) -> int:
    """Check the claims, write ``evidence.json``, ``paper_checks.md`` and ``report.html`` into a folder.

    Parameters
    ----------
    claims, context
        What is checked, at which sizes and with which seed.
    out
        Made if missing; results of jobs are kept in its folder ``runs`` and read from there.
    fresh
        Compute every job, stored or not.
    executor
        Who computes the jobs, as in `engine.compute`; an attribute ``device`` says on what.
    where
        What the settings of rows must say, by name: only these rows are kept. `Context.only` measures only their data.

    Returns
    -------
    0 if nothing was refuted, every control broke and no claim crashed; 1 otherwise.

    Raises
    ------
    InputError
        If the folder cannot be written, or no row has such a setting.
    """
    require_writable(out)
    where = where or {}
    device = getattr(executor, "device", None) or device_name()
    results = compute(jobs_of(claims, context), Store(out / "runs", fresh, device=device), executor=executor)
    outcome = judge(claims, context, results)
    rows = [dataclasses.replace(row, device=device) for row in outcome.rows if fits(row, where)]
    if where and not (rows or outcome.crashed):
        settings = _settings(outcome.rows)
        raise InputError(f"no row has the setting {_in_words(where)}; there are {settings}.")
    outcome = dataclasses.replace(outcome, rows=rows)
    header = header_of(context, outcome.crashed, device)
    report = pages.report([(header, outcome.rows)], expected=[entry.id for entry in claims])
    try:
        write_evidence(out / "evidence.json", header, outcome.rows)
        (out / "paper_checks.md").write_text(markdown.render(report), encoding="utf-8")
        (out / "report.html").write_text(html.render(report, pages.links_from(out)), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{out} cannot be written ({error.strerror}): room to write is needed.") from error
    return conclude(outcome, out)


def fits(row: Evidence, where: Mapping[str, str]) -> bool:
    """Whether a row's setting says this."""
    return all(name in row.setting and str(row.setting[name]) == value for name, value in where.items())


def _in_words(where: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in where.items())


def _settings(rows: Sequence[Evidence]) -> str:
    """By name, all values that rows have, as ``where`` takes them."""
    values: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, value in row.setting.items():
            values.setdefault(name, {})[str(value)] = None
    return "; ".join(f"{name}={' or '.join(held)}" for name, held in values.items())


def conclude(outcome: Outcome, out: pathlib.Path) -> int:
    """Print the summary and decide the exit code."""
    console = Console()
    console.print(markdown.summary_table(outcome.rows))
    for name, reason in outcome.crashed.items():
        console.print(f"{name} crashed: {reason}", style="red", markup=False)
    for row in outcome.rows:
        if row.verdict is Verdict.REFUTED:
            console.print(f"refuted: {row.claim}, {row.where}", style="red", markup=False)
        if not row.control.broke:
            console.print(f"control unbroken: {row.claim}, {row.where}", style="red", markup=False)
    console.print(
        f"evidence: {out / 'evidence.json'}\nreport:   {out / 'report.html'} (short: {out / 'paper_checks.md'})"
    )
    return int(outcome.failed)
