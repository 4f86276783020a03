"""``ntk-localsgd predict``: the whole loss curve of Local (S)GD before training, from the Gram matrix at the start."""

import dataclasses
import math
import pathlib
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich.console import Console
from rich.table import Table

from ntk_localsgd import diagnosis, prediction
from ntk_localsgd.cli.inputs import ProblemOptions
from ntk_localsgd.cli.output import check_folder, new_plot, show, shown_rounds, write_results
from ntk_localsgd.cli.parsing import command
from ntk_localsgd.cli.start import Start, read_start
from ntk_localsgd.clients import Clients
from ntk_localsgd.evidence import finite
from ntk_localsgd.local_sgd.config import LocalSGD

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Predict"]

# Predicted share of flipped patterns beyond which the kernel cannot be taken to stay put.
_PLAUSIBLE_FLIPS = 0.05


@command
@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict(ProblemOptions):
    """Predict the loss curve of Local (S)GD on your own data from the kernel, without training."""

    rounds: int
    """Rounds R to predict."""
    batch_size: int | None = None
    """Also predict minibatches of b samples, in the mean over all draws of them; takes a few n³ operations a round."""
    out: pathlib.Path = pathlib.Path("results")
    """Folder that predict-DATA.json and predict-DATA.png are written to."""

    def __call__(self) -> int:
        """Print a summary, write curve and plot."""
        check_folder("out folder", self.out)
        start = read_start(self)
        config, step_size = start.config(self, self.rounds, self.batch_size), start.step_size
        gram, split, residual, notes = start.gram.matrix, start.clients, start.residual, start.notes
        with Console(stderr=True).status(f"following {self.rounds} rounds of {len(gram)} residuals"):
            contraction = prediction.contraction(gram, split, dataclasses.replace(config, batch_size=None))
            lazy = prediction.laziness(gram, split, residual, config, width=start.net.width)
            followed = _curves(gram, split, residual, config)
        two_layers = start.net.input_weights is None
        if two_layers and lazy.flips > _PLAUSIBLE_FLIPS:
            notes.append(
                f"the kernel regime is not plausible here: {lazy.flips:.0%} of the patterns would flip, and "
                "the trained loss will differ; smaller targets, more neurons or a --scale help"
            )
        curves = {name: start.factor * values for name, values in followed.items()}
        content = {
            **start.described(self),
            "config": dataclasses.asdict(dataclasses.replace(config, step_size=step_size.value)),
            "largest_step_size": step_size.allowed,
            "smallest_eigenvalue": [start.factor * bound for bound in start.gram.smallest],
            "contraction": finite(contraction._asdict()),
            "laziness": finite(lazy._asdict()),
            "loss": finite({name: values.tolist() for name, values in curves.items()}),
            "notes": notes,
        }
        figure = _plot(curves, start.dataset.name)
        paths = write_results(self.out, "predict", self.data, content, figure)
        table = Table("quantity", "value", title=start.title)
        _fill(table, start, config, contraction, curves)
        norm = math.hypot(*(float(np.linalg.norm(weights)) for weights in start.net.trained))
        table.add_row("weights move by, of their norm", f"{lazy.movement:.4g}, {norm:.4g}")
        if two_layers:
            table.add_row("share of patterns that flip", f"{lazy.flips:.2%}")
        show(table, notes, paths)
        return 0


def _curves(
    gram: Float[ndarray, "n n"], split: Clients, residual: Float[ndarray, " n"], config: LocalSGD
) -> dict[str, Float[ndarray, "rounds+1"]]:
    """Predicted losses by round: of full batches; and for minibatches their mean and what noise does not add to it."""
    path = prediction.local_gd(gram, split, residual, dataclasses.replace(config, batch_size=None))
    curves = {"full_batch": (path**2).sum(axis=1) / 2}
    if config.batch_size is not None:
        curves["minibatch"] = prediction.local_sgd_second_moment(gram, split, residual, config) / 2
        mean = prediction.local_sgd_mean(gram, split, residual, config)
        curves["minibatch_without_noise"] = (mean**2).sum(axis=1) / 2
    return curves


def _fill(
    table: Table,
    start: Start,
    config: LocalSGD,
    contraction: prediction.Contraction,
    curves: dict[str, Float[ndarray, "rounds+1"]],
) -> None:
    split, gram = start.clients, start.gram
    sizes = f"{min(split.sizes)} … {max(split.sizes)}" if len(set(split.sizes)) > 1 else f"{split.sizes[0]}"
    table.add_row("clients K, samples each", f"{split.num_clients}, {sizes}")
    table.add_row("step size η, largest with proof", f"{start.step_size.value:.6g}, {start.step_size.allowed:.6g}")
    lower, upper = (start.factor * bound for bound in gram.smallest)
    table.add_row("λ_min(Θ(W))", f"[{lower:.6g}, {upper:.6g}]")
    table.add_row("contraction of a round, ‖B‖ in the M-norm", f"{contraction.norm:.6g}")
    table.add_row("‖B‖₂ (above 1: the loss may rise for a while)", f"{contraction.operator_norm:.6g}")
    table.add_row(
        "rounds for a tenth of the loss, in the end",
        shown_rounds(diagnosis.rounds_per_tenth(contraction.asymptotic_rate)),
    )
    for name, losses in curves.items():
        label = name.replace("_", " ")
        table.add_row(f"{label}: loss at round 0, {config.num_rounds}", f"{losses[0]:.6g}, {losses[-1]:.6g}")
        if name != "minibatch_without_noise":
            table.add_row(f"{label}: first round below 1% of the loss", _first_below(losses, 0.01 * losses[0]))


def _first_below(losses: Float[ndarray, "rounds+1"], level: float) -> str:
    below = np.flatnonzero(losses <= level)
    return f"{below[0]}" if below.size else f"not within {len(losses) - 1} rounds"


def _plot(curves: dict[str, Float[ndarray, "rounds+1"]], name: str) -> "Figure":
    from matplotlib.ticker import MaxNLocator

    figure = new_plot()
    axes = figure.subplots()
    styles = {"full_batch": "-", "minibatch": "--", "minibatch_without_noise": ":"}
    for curve, losses in curves.items():
        shown = np.where((losses > 0) & np.isfinite(losses), losses, np.nan)  # what has a logarithm
        axes.plot(np.arange(len(losses)), shown, styles[curve], label=curve.replace("_", " "))
    axes.set(yscale="log", xlabel="round", ylabel="predicted loss", title=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure
