"""A certificate as it is shown: its table, its plain values, and the plot of the run beside the bound."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich.table import Table

from ntk_localsgd import local_sgd
from ntk_localsgd.certificate import Certificate
from ntk_localsgd.cli.output import new_plot
from ntk_localsgd.cli.start import Start
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.evidence import finite
from ntk_localsgd.networks import Stack

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plain", "plot_run", "summary"]


def plot_run(
    proof: Certificate,
    net: Stack,
    dataset: Dataset,
    split: Clients,
    config: local_sgd.LocalSGD,
    losses: ndarray,
    *,
    factor: float = 1.0,
    key: jax.Array | None = None,
) -> "Figure":
    """The loss so far and ahead, and the certified bound beside it, all times ``factor``."""
    from matplotlib.ticker import MaxNLocator

    ahead = 40
    if proof.certified and proof.rate > 0:  # far enough to fall a thousandfold
        ahead = int(np.clip(math.log(1e-3) / (2 * math.log(proof.rate)), 10, 400))
    run = local_sgd.run(net, dataset, split, dataclasses.replace(config, num_rounds=ahead), key=key)
    coming, here = factor * np.asarray(run.trajectory.loss.values), len(losses) - 1
    figure = new_plot()
    axes = figure.subplots()
    if here:
        axes.plot(np.arange(here + 1), factor * losses, "-", label="trained")
    axes.plot(here + np.arange(len(coming)), coming, "--" if here else "-", label="run from here")
    if proof.certified:
        t = np.arange(ahead + 1)
        bound = factor * (proof.constant * proof.rate**t * proof.residual_norm) ** 2 / 2
        axes.plot(here + t, bound, ":", color="black", label="certified bound")
    axes.set(yscale="log", xlabel="round", ylabel="loss", title=dataset.name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def plain(proof: Certificate) -> dict[str, Any]:
    """Finite plain values only: what is unknown or infinite becomes null."""
    values = {name: getattr(proof, name) for name in proof.__dataclass_fields__ if name != "switching"}
    return finite(values) | {"switching_pairs": len(proof.switching)}


def summary(
    start: Start, scale: float | None, proof: Certificate | None, losses: Float[ndarray, " rounds"], seconds: float
) -> Table:
    """What is proved, or what stands in the way, in the units of the user's function."""
    table, factor = Table("quantity", "value", title=start.title), math.sqrt(start.factor)
    table.add_row("clients K", f"{start.clients.num_clients}")
    table.add_row("step size η, largest with proof", f"{start.step_size.value:.6g}, {start.step_size.allowed:.6g}")
    if len(losses) > 1:
        table.add_row("trained rounds, loss ratio", f"{len(losses) - 1}, {losses[-1] / losses[0]:.3g}")
    if proof is None:
        table.add_row("converges to zero loss", f"not decided within {seconds:g} s")
        table.add_row("what may decide it", "a larger --scale, which takes less time too, or --time-limit")
        return table
    table.add_row("residual norm ‖r(0)‖ here", f"{factor * proof.residual_norm:.6g}")
    table.add_row(
        "converges to zero loss", f"proved, by the {proof.method} method" if proof.certified else "not proved"
    )
    if proof.certified:
        if proof.delta:
            whole = proof.method == "energy"
            table.add_row("all of this" if whole else "rate", f"with probability ≥ {1 - proof.delta:g}")
        table.add_row("rate per round, of the residual norm", f"{proof.rate:.8g}")
        table.add_row("constant", f"{proof.constant:.6g}")
        table.add_row("no neuron moves by more than", f"{proof.radius:.6g}")
        table.add_row("pairs that may switch", f"{len(proof.switching)}")
        return table
    table.add_row("obstacle", proof.explanation)
    if proof.residual_estimate > 0:
        share = proof.residual_estimate / proof.residual_norm
        table.add_row("roughly the residual norm that would do", f"{factor * proof.residual_estimate:.2g}")
        table.add_row("or the width", f"{proof.width_estimate:.1g}")
        table.add_row("or the lazy scale κ", f"{(scale or 1) / share:.1g}")
    return table
