"""``python -m figures``: every figure, from stored results."""

import dataclasses
import logging
import pathlib
import sys
import warnings
from collections.abc import Sequence
from typing import Literal

import jax
from rich.progress import track
from verification.runner import run, two_at_a_time

from figures import (
    certificate,
    depth,
    hard_samples,
    heterogeneity,
    key_property,
    lazy_training,
    local_steps,
    loss_curves,
    prediction,
    spectrum,
    tightness,
    verdicts,
)
from ntk_localsgd.cli.parsing import execute
from ntk_localsgd.errors import InputError
from verification.claims import load_families, select
from verification.context import PRESETS, Context

#: Every figure's module by its name; it has needs, data, draw and caption.
FIGURES = {
    "loss_curves": loss_curves,
    "local_steps": local_steps,
    "heterogeneity": heterogeneity,
    "lazy_training": lazy_training,
    "key_property": key_property,
    "depth": depth,
    "prediction": prediction,
    "spectrum": spectrum,
    "certificate": certificate,
    "tightness": tightness,
    "hard_samples": hard_samples,
    "verdicts": verdicts,
}


@dataclasses.dataclass(frozen=True)
class Draw:
    """Draw figures from stored results, with a caption file beside each."""

    results: pathlib.Path = pathlib.Path("results")
    """Folder that python -m verification run wrote."""
    out: pathlib.Path | None = None
    """Folder for the figures; by default a folder figures in the results."""
    preset: Literal["smoke", "quick", "full"] = "quick"
    """Preset whose results are drawn."""
    seed: int = 0
    """Seed of those results."""
    missing: Literal["error", "run"] = "error"
    """What to do about results that are not there: refuse, or compute them."""
    formats: tuple[Literal["pdf", "png"], ...] = ("pdf", "png")
    """File formats."""
    dpi: int = 200
    """Resolution of PNG files."""
    csv: bool = False
    """Also write the drawn data."""

    def __call__(self) -> int:
        """Draw."""
        context = Context(PRESETS[self.preset], self.seed, self.results)
        self._provide(context)
        out = self.out or self.results / "figures"
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"out folder {out} cannot be written ({error.strerror}).") from error
        for name, module in FIGURES.items():
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # missing glyphs and empty legends are defects
                figure = module.draw(context)
                for kind in self.formats:
                    figure.savefig(out / f"{name}.{kind}", dpi=self.dpi)
            for suffix in ("md", "tex"):
                (out / f"{name}.{suffix}").write_text(module.caption(context) + "\n", encoding="utf-8")
            if self.csv:
                module.data(context).to_csv(out / f"{name}.csv", index=False)
        print(out)
        return 0

    def _provide(self, context: Context) -> None:
        """Refuse unreadable results; refuse missing ones, or compute them."""
        remake = (
            f"python -m figures --missing run --preset {self.preset} --seed {self.seed} --results {self.results} makes"
        )
        specs = list(dict.fromkeys(spec for module in FIGURES.values() for spec in module.needs(context)))
        absent = [spec for spec in specs if not context.path(spec).exists()]
        for spec in specs:
            try:
                if spec not in absent:
                    context.run(spec)
            except InputError as error:
                raise InputError(f"{str(error).rstrip('.')}; then {remake} it.") from error
        evidence_absent = not (context.out / "evidence.json").exists()
        if (absent or evidence_absent) and self.missing == "error":
            first = f"{verdicts.remake(context)}, then " if evidence_absent else ""
            raise InputError(
                f"results {self.results} lack {len(absent)} runs of this code, preset and seed"
                f"{' and evidence.json' if evidence_absent else ''}: {first}{remake} them."
            )
        if evidence_absent:
            load_families()
            run(select(()), context)
        runs = two_at_a_time(context.run, absent)
        for _ in track(runs, total=len(absent), description="missing runs", disable=not absent):
            pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    jax.config.update("jax_enable_x64", True)
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # what it says of the fonts' own dates concerns nobody
    return execute(Draw, prog="python -m figures", description="Draw the figures from stored results.", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
