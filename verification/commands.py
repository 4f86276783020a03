"""The commands of ``python -m verification``: list, run, report, diff, recheck."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Literal

import jax
import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ntk_localsgd.cli.parsing import execute
from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import read_evidence
from ntk_localsgd.starting import compile_fast
from verification import checking, registry
from verification.context import Context
from verification.engine import executors, plan
from verification.presets import PRESETS
from verification.recheck import read_certificate, recheck
from verification.report import difference, html, markdown, pages
from verification.store import Store

_HERE = pathlib.Path(__file__).parent
# Columns of a list that is piped.
_PIPED = 160

_GALLERY = _HERE.parent / "figures" / "gallery"


@dataclasses.dataclass(frozen=True)
class List:
    """List the claims."""

    scripts: pathlib.Path | None = None
    """A folder with your own checks."""
    whole: bool = False
    """Statements in full, with their sources."""

    def __call__(self) -> int:
        """Print id, letter and statement, paper by paper: a line a claim."""
        if self.scripts:
            registry.load_scripts(self.scripts)
        table = Table.grid(padding=(0, 2)) if not self.whole else Table("id", "", "statement", "source")
        if not self.whole:
            longest = max(map(len, registry.CLAIMS))
            for least in (longest, max(map(len, registry.LETTERS)), None):
                table.add_column(no_wrap=True, overflow="ellipsis", min_width=least)
        for paper, entries in registry.papers():
            table.add_row("", "", f"[bold]{escape(paper.title)}[/bold] ({paper.name})")
            for entry in entries:
                cells = (entry.id, entry.letter, entry.statement, entry.source)
                table.add_row(*(escape(text) for text in (cells if self.whole else cells[:3])))
            if self.whole:
                table.add_section()
        console = Console()
        # What is piped is not cut to the 80 columns that rich takes for it.
        (console if console.is_terminal or self.whole else Console(width=_PIPED)).print(table)
        return 0


@dataclasses.dataclass(frozen=True)
class Run:
    """Check claims and write evidence.json and paper_checks.md."""

    ids: tyro.conf.Positional[tuple[str, ...]] = ()
    """Claims or papers; the beginning of ids selects all of them (K4: K4a, K4b, …; C8-: its parts), an id itself that
    one alone. None: all, or the preset's own choice (gpu)."""
    where: tuple[str, ...] = ()
    """Only rows whose settings say this, as NAME=VALUE: "data=digits 3 vs 8" n=16. The report's cards print it."""
    preset: Literal["smoke", "quick", "full", "gpu"] = "quick"
    """Sizes: smoke takes a minute, quick about six on two cores, full hours; gpu is for one GPU."""
    out: pathlib.Path = pathlib.Path("results")
    """Folder that everything is written to."""
    seed: int = 0
    """Decides all randomness; another one repeats the study with fresh seeds."""
    scripts: pathlib.Path | None = None
    """A folder with your own checks; what they measure is always computed anew."""
    fresh: bool = False
    """Compute everything, whether it is stored or not."""
    attack: bool = False
    """Search for counterexamples too, by random restarts and gradients, where a claim says how."""
    workers: int | None = None
    """Compute in so many processes, which share out the cores, or the GPUs if there are any. None: in this process."""

    dry_run: bool = False
    """Only say how many jobs there are, which results are stored, and what the rest is estimated to take."""
    cluster: str | None = None
    """Compute on other machines: tcp://host:port or tls://host:port of a Dask scheduler, or slurm."""
    cluster_config: pathlib.Path | None = None
    """TOML for slurm: jobs, memory, and if wanted partition, cores, walltime, gpus (of each job), address."""

    def __call__(self) -> int:
        """Run."""
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}, needs to be at least 0 and below 2^32.")
        if self.scripts:
            registry.load_scripts(self.scripts)
        preset = PRESETS[self.preset]
        compile_fast(brief=preset.brief)
        claims = registry.select(self.ids or preset.claims)
        context = Context(preset, self.seed, self.attack)
        where = dict(_named(each) for each in self.where)
        context = context.only(where["data"]) if "data" in where else context
        if self.dry_run:
            device = executors.expected_device(self.workers)
            jobs = checking.jobs_of(claims, context)
            plan.show(plan.plan(jobs, Store(self.out / "runs", self.fresh, device=device)), self.workers or 2)
            return 0
        with executors.chosen(self.workers, self.cluster, self.cluster_config) as executor:
            return checking.check(claims, context, self.out, fresh=self.fresh, executor=executor, where=where)


@dataclasses.dataclass(frozen=True)
class Report:
    """Render paper_checks.md, or report.html with all rows, from the committed evidence."""

    evidence: pathlib.Path | None = None
    """Folder with evidence files. None: the committed ones."""
    to: pathlib.Path = pathlib.Path("paper_checks.md")
    """File to write: HTML if its name ends so, else Markdown."""

    def __call__(self) -> int:
        """Render."""
        files = pages.evidence_of(self.evidence or _HERE / "evidence")
        shown = pages.report(files, images=pages.gallery(_GALLERY, self.to.parent))
        as_html = self.to.suffix == ".html"
        _write(self.to, html.render(shown, pages.links_from(self.to.parent)) if as_html else markdown.render(shown))
        return 0


@dataclasses.dataclass(frozen=True)
class Diff:
    """Say which verdicts and numbers changed between two runs."""

    before: tyro.conf.Positional[pathlib.Path]
    """evidence.json of one run."""
    after: tyro.conf.Positional[pathlib.Path]
    """evidence.json of another."""
    rtol: float = 1e-6
    """Relative difference of numbers that counts as none."""
    to: pathlib.Path | None = None
    """An HTML file to write as well."""

    def __call__(self) -> int:
        """Compare; 1 if a row is new, gone or has another verdict."""
        (_, before), (_, after) = read_evidence(self.before), read_evidence(self.after)
        found = difference.changes(before, after, rtol=self.rtol)
        table = Table("claim", "setting", "verdict", "measured")
        for change in found:
            table.add_row(*(escape(text) for text in (change.claim, change.setting, change.verdicts, change.numbers)))
        Console().print(table if found else f"No difference in {len(before)} row{'' if len(before) == 1 else 's'}.")
        if self.to:
            _write(self.to, difference.page(found))
        return int(any(not change.same_verdict for change in found))


@dataclasses.dataclass(frozen=True)
class Recheck:
    """Decide anew, in ball arithmetic, what a certificate of two layers claims; slow."""

    certificate: tyro.conf.Positional[pathlib.Path]
    """A file that ntk-localsgd certify --record wrote: full batches of all clients, at most 32 samples."""
    rounds: int = 4000
    """Rounds that are followed at most."""

    def __call__(self) -> int:
        """Say whether all claims are true; 1 if one is false or not shown to be true."""
        if self.rounds < 0:
            raise InputError(f"rounds is {self.rounds}, needs to be at least 0.")
        stated = read_certificate(self.certificate)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("round 0", total=1.0)
            found = recheck(
                stated, self.rounds, lambda _, share, what: bar.update(task, completed=share, description=what)
            )
        print(f"{found.text}.")
        return 0 if found.confirmed else 1


def _named(text: str) -> tuple[str, str]:
    """Name and value of a setting."""
    name, equal, value = text.partition("=")
    if not (name and equal):
        raise InputError(f"where is {text!r}, needs to be NAME=VALUE, such as n=16.")
    return name, value


def _write(path: pathlib.Path, text: str) -> None:
    """A report into its file, whose folder is made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"report {path} cannot be written ({error.strerror}).") from error
    print(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    registry.discover()
    # The one place where these scripts set JAX's flags: float64 where a run asks for it.
    jax.config.update("jax_enable_x64", True)
    commands = (
        Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Run, tyro.conf.subcommand("run")]
        | Annotated[Report, tyro.conf.subcommand("report")]
        | Annotated[Diff, tyro.conf.subcommand("diff")]
        | Annotated[Recheck, tyro.conf.subcommand("recheck")]
    )
    description = "Check the theory's claims against measurements."
    return execute(commands, prog="python -m verification", description=description, argv=argv)
