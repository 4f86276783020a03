"""The command of ``python -m figures``: every figure, from stored results."""

import dataclasses
import json
import logging
import pathlib
import warnings
from collections import ChainMap
from collections.abc import Sequence
from typing import Literal

import jax
import tyro

from figures.figure import Figure, discover
from ntk_localsgd.cli.parsing import execute
from ntk_localsgd.errors import InputError, unknown_name
from ntk_localsgd.evidence import read_evidence
from ntk_localsgd.results import require_writable
from ntk_localsgd.starting import compile_fast
from verification import registry
from verification.context import Context
from verification.engine import Results, compute
from verification.presets import PRESETS
from verification.store import Store

#: The figures that are committed.
GALLERY = pathlib.Path(__file__).parent / "gallery"


@dataclasses.dataclass(frozen=True)
class Draw:
    """Draw figures from stored results, with a caption file beside each."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Figures; none: all."""
    results: pathlib.Path = pathlib.Path("results")
    """Folder that python -m verification run wrote."""
    out: pathlib.Path | None = None
    """Folder for the figures; by default a folder figures in the results."""
    preset: Literal["smoke", "quick", "full"] = "quick"
    """Preset whose results are drawn."""
    seed: int = 0
    """Seed of those results."""
    missing: Literal["error", "run"] = "error"
    """What to do about results that are not there: refuse, or compute what these figures need."""
    formats: tuple[Literal["pdf", "png"], ...] = ("pdf", "png")
    """File formats."""
    dpi: int = 200
    """Resolution of PNG files."""
    csv: bool = False
    """Also write the drawn data."""

    def __call__(self) -> int:
        """Draw."""
        figures = self._chosen()
        compile_fast(brief=PRESETS[self.preset].brief)
        context = Context(PRESETS[self.preset], self.seed)
        results = self._results(figures, context)
        out = self.out or self.results / "figures"
        require_writable(out)
        for name, figure in figures.items():
            self._write(figure, context, results, out / name)
        # Those that an earlier call has drawn stay in the report.
        drawn = {name: figure for name, figure in discover().items() if (out / f"{name}.md").exists()}
        index = {name: {"paper": figure.paper, "claims": figure.claims} for name, figure in drawn.items()}
        (out / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        print(out)
        return 0

    def _device(self) -> str | None:
        """What the results were computed on, as their evidence says: workers and clusters are not this process."""
        evidence = self.results / "evidence.json"
        return read_evidence(evidence)[0].device if evidence.exists() else None

    def _chosen(self) -> dict[str, Figure]:
        figures = discover()
        if unknown := [name for name in self.names if name not in figures]:
            raise InputError(unknown_name("figure", unknown[0], figures))
        return {name: figure for name, figure in figures.items() if name in self.names or not self.names}

    def _results(self, figures: dict[str, Figure], context: Context) -> Results:
        """What the figures need; missing results are refused, or computed here, which may be another device."""
        folder = self.results / "runs"
        measured, here = Store(folder, device=self._device()), Store(folder)
        jobs = list(dict.fromkeys(job for figure in figures.values() for job in figure.needs(context)))
        stored = {job: None for job in jobs if measured.has(job)}
        rest = [job for job in jobs if job not in stored]
        absent = [job for job in rest if not here.has(job)]
        if absent and self.missing == "error":
            setting = f"--preset {self.preset} --seed {self.seed}"
            raise InputError(
                f"results {self.results} lack {len(absent)} of {len(jobs)} results of this code, preset and seed: "
                f"python -m verification run {setting} --out {self.results} makes those of claims, "
                f"python -m figures {' '.join((*self.names, '--missing run'))} {setting} --results {self.results} all."
            )
        there, own = (
            compute(part, store) if part else Results({}) for part, store in ((stored, measured), (rest, here))
        )
        return Results(ChainMap(there.computed, own.computed), {**there.failed, **own.failed})  # type: ignore[arg-type]

    def _write(self, figure: Figure, context: Context, results: Results, path: pathlib.Path) -> None:
        """The picture in every format, the caption for Markdown and LaTeX, the data if asked for."""
        table = figure.data(context, results.only(figure.needs(context)))
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # missing glyphs and empty legends are defects
            drawn = figure.picture(context, table)
            for kind in self.formats:
                drawn.savefig(path.with_name(f"{path.name}.{kind}"), dpi=self.dpi)
        for suffix in ("md", "tex"):
            text = f"{figure.caption(context, table)} Sizes: preset {context.preset.name}.\n"
            path.with_name(f"{path.name}.{suffix}").write_text(text, encoding="utf-8")
        if self.csv:
            table.to_csv(path.with_name(f"{path.name}.csv"), index=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    jax.config.update("jax_enable_x64", True)
    registry.discover()
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # what it says of the fonts' own dates concerns nobody
    return execute(Draw, prog="python -m figures", description="Draw the figures from stored results.", argv=argv)
