"""The plot of a run beside the bound that a certificate proves."""

import dataclasses
import math
from typing import TYPE_CHECKING

import jax
import numpy as np
from numpy import ndarray

from ntk_localsgd import local_sgd
from ntk_localsgd.certificate import Certificate
from ntk_localsgd.cli.output import new_plot
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.networks import Stack

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_run"]


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
