"""``ntk-localsgd predict``: the whole loss curve of Local (S)GD before training, from the Gram matrix at the start."""

import dataclasses
import math
import pathlib
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich.table import Table

from ntk_localsgd import prediction
from ntk_localsgd.cli.inputs import (
    Gram,
    ProblemOptions,
    checked_gram,
    checked_step_size,
    described,
    read_network,
    read_problem,
)
from ntk_localsgd.cli.output import check_folder, finite, new_plot, show, title_of, write_results
from ntk_localsgd.cli.parsing import command
from ntk_localsgd.clients import Clients
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
        dataset, split, scales, notes = read_problem(self)
        net = read_network(self, dataset)
        gram = checked_gram(net, dataset, scales)
        step_size, largest = checked_step_size(gram.matrix, split, self.step_size)
        config = LocalSGD(step_size, self.local_steps, self.rounds, self.batch_size)
        outputs = np.asarray(net(dataset.inputs), np.float64)
        residual = (outputs if scales is None else scales * outputs) - dataset.targets
        full_batch = dataclasses.replace(config, batch_size=None)
        contraction = prediction.contraction(gram.matrix, split, full_batch)
        lazy = prediction.laziness(gram.matrix, split, residual, config, width=net.width)
        if lazy.flips > _PLAUSIBLE_FLIPS:
            notes.append(
                f"the kernel regime is not plausible here: {lazy.flips:.0%} of the patterns would flip, and "
                "the trained loss will differ; smaller targets or more neurons help"
            )
        curves = _curves(gram, split, residual, config)
        content = {
            **described(self, dataset, split, net),
            "config": dataclasses.asdict(config),
            "largest_step_size": largest,
            "smallest_eigenvalue": list(gram.smallest),
            "contraction": finite(contraction._asdict()),
            "laziness": finite(lazy._asdict()),
            "loss": finite({name: values.tolist() for name, values in curves.items()}),
            "notes": notes,
        }
        figure = _plot(curves, dataset.name)
        paths = write_results(self.out, "predict", self.data, content, figure)
        table = Table("quantity", "value", title=title_of(dataset, net))
        _fill(table, gram, split, config, largest, contraction, curves)
        start = float(np.linalg.norm(net.weights))
        table.add_row("weights move by, of their norm", f"{lazy.movement:.4g}, {start:.4g}")
        table.add_row("share of patterns that flip", f"{lazy.flips:.2%}")
        show(table, notes, paths)
        return 0


def _curves(
    gram: Gram, split: Clients, residual: Float[ndarray, " n"], config: LocalSGD
) -> dict[str, Float[ndarray, "rounds+1"]]:
    """Predicted losses by round: of full batches; and for minibatches their mean and what noise does not add to it."""
    path = prediction.local_gd(gram.matrix, split, residual, dataclasses.replace(config, batch_size=None))
    curves = {"full_batch": (path**2).sum(axis=1) / 2}
    if config.batch_size is not None:
        curves["minibatch"] = prediction.local_sgd_second_moment(gram.matrix, split, residual, config) / 2
        mean = prediction.local_sgd_mean(gram.matrix, split, residual, config)
        curves["minibatch_without_noise"] = (mean**2).sum(axis=1) / 2
    return curves


def _fill(
    table: Table,
    gram: Gram,
    split: Clients,
    config: LocalSGD,
    largest: float,
    contraction: prediction.Contraction,
    curves: dict[str, Float[ndarray, "rounds+1"]],
) -> None:
    sizes = f"{min(split.sizes)} … {max(split.sizes)}" if len(set(split.sizes)) > 1 else f"{split.sizes[0]}"
    table.add_row("clients K, samples each", f"{split.num_clients}, {sizes}")
    table.add_row("step size η, largest with proof", f"{config.step_size:.6g}, {largest:.6g}")
    table.add_row("λ_min(Θ(W))", f"[{gram.smallest.lower:.6g}, {gram.smallest.upper:.6g}]")
    table.add_row("contraction of a round, ‖B‖ in the M-norm", f"{contraction.norm:.6g}")
    table.add_row("‖B‖₂ (above 1: the loss may rise for a while)", f"{contraction.operator_norm:.6g}")
    table.add_row("rounds for a tenth of the loss, in the end", _rounds_per_tenth(contraction.asymptotic_rate))
    for name, losses in curves.items():
        label = name.replace("_", " ")
        table.add_row(f"{label}: loss at round 0, {config.num_rounds}", f"{losses[0]:.6g}, {losses[-1]:.6g}")
        if name != "minibatch_without_noise":
            table.add_row(f"{label}: first round below 1% of the loss", _first_below(losses, 0.01 * losses[0]))


def _rounds_per_tenth(rate: float) -> str:
    """The loss goes down by rate² a round."""
    if rate <= 0:
        return "1"
    return f"{math.log(10) / (-2 * math.log(rate)):.6g}" if rate < 1 else "never"


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
