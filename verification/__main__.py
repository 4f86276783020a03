"""``python -m verification list | run | report``."""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Literal

import jax
import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ntk_localsgd.command_line import execute
from ntk_localsgd.errors import InputError
from verification import report as report_module
from verification.claims import CLAIMS, load_families, load_scripts, select
from verification.context import PRESETS, Context
from verification.papers import OTHER, PAPERS
from verification.runner import run

_HERE = pathlib.Path(__file__).parent
_GALLERY = _HERE.parent / "figures" / "gallery"


@dataclasses.dataclass(frozen=True)
class List:
    """List the claims."""

    scripts: pathlib.Path | None = None
    """A folder with your own checks."""

    def __call__(self) -> int:
        """Print id, letter, statement and source, paper by paper."""
        if self.scripts:
            load_scripts(self.scripts)
        table = Table("id", "", "statement", "source")
        for paper in (*PAPERS, OTHER):
            entries = [entry for entry in CLAIMS.values() if report_module.section_of(entry.id) is paper]
            if entries:
                table.add_row("", "", f"[bold]{paper.title}[/bold]", "")
            for entry in entries:
                table.add_row(*(escape(text) for text in (entry.id, entry.letter, entry.statement, entry.source)))
            table.add_section()
        Console().print(table)
        return 0


@dataclasses.dataclass(frozen=True)
class Run:
    """Check claims and write evidence.json and paper_checks.md."""

    ids: tyro.conf.Positional[tuple[str, ...]] = ()
    """Claims; an id selects its parts (K4: K4a, K4b, …). None: all, or with --preset gpu those made for one."""
    preset: Literal["smoke", "quick", "full", "gpu"] = "quick"
    """Sizes: smoke takes a minute, quick less than five on two cores, full hours; gpu is for one GPU."""
    out: pathlib.Path = pathlib.Path("results")
    """Folder that everything is written to."""
    seed: int = 0
    """Decides all randomness; another one repeats the study with fresh seeds."""
    scripts: pathlib.Path | None = None
    """A folder with your own checks."""

    def __call__(self) -> int:
        """Run."""
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}, needs to be at least 0.")
        if self.scripts:
            load_scripts(self.scripts)
        preset = PRESETS[self.preset]
        return run(select(self.ids or preset.claims), Context(preset, self.seed, self.out))


@dataclasses.dataclass(frozen=True)
class Report:
    """Render paper_checks.md from the committed evidence."""

    evidence: pathlib.Path = _HERE / "evidence"
    """Folder with evidence files."""
    to: pathlib.Path = pathlib.Path("paper_checks.md")
    """File to write."""

    def __call__(self) -> int:
        """Render."""
        rows = report_module.committed_evidence(self.evidence)
        if not any(rows.values()):
            raise InputError(f"evidence folder {self.evidence} holds no evidence: python -m verification run makes it.")
        images = report_module.gallery(_GALLERY, self.to.parent)
        self.to.write_text(report_module.render(rows, images=images), encoding="utf-8")
        print(self.to)
        return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    load_families()
    # The one place where these scripts set JAX's flags: float64 where a run asks for it.
    jax.config.update("jax_enable_x64", True)
    commands = (
        Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Run, tyro.conf.subcommand("run")]
        | Annotated[Report, tyro.conf.subcommand("report")]
    )
    description = "Check the theory's claims against measurements."
    return execute(commands, prog="python -m verification", description=description, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
