"""The digits that are hardest to fit, as images, each with its nearest neighbour of the other class (K3)."""

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from figures.figure import Figure
from figures.style import new_figure
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.curves import Curve
from verification.jobs.training import Training
from verification.papers import OWN

__all__ = ["FIGURE"]

_CLIENTS, _STEPS, _SHOWN = 4, 5, 5

# Samples, width, rounds, seeds.
_SIZES = {"smoke": (8, 2**6, 4, 2), "quick": (64, 2**9, 60, 6), "full": (200, 2**12, 400, 12)}


def _needs(context: Context) -> list[Curve]:
    problem = _problem(context)
    _, width, rounds, seeds = _SIZES[context.preset.name]
    step, drawn = 0.5 / problem.largest_client_eigenvalue(_CLIENTS), context.seeds("figure hard_samples", seeds)
    return [Curve(Training(problem.source, _CLIENTS, width, step, _STEPS, rounds, drawn))]


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a sample, the hardest first.

    ``residual`` is the mean over seeds of |f(x) − y| after the last round, ``weight`` the sample's squared entry in the
    eigenvector of λ0, ``neighbour`` the nearest sample of the other class and ``distance`` how far it is.
    """
    problem, (job,) = _problem(context), _needs(context)
    residual = np.abs(results[job].residual.values)
    targets = problem.dataset.targets
    distances = np.linalg.norm(problem.inputs[:, None] - problem.inputs[None], axis=2)
    distances[targets[:, None] == targets] = np.inf
    nearest = distances.argmin(axis=1)
    weight = np.linalg.eigh(problem.gram)[1][:, 0] ** 2
    table = pd.DataFrame(
        {
            "sample": np.arange(problem.num_samples),
            "target": targets,
            "residual": residual.mean(axis=0),
            "least": residual.min(axis=0),
            "most": residual.max(axis=0),
            "weight": weight,
            "neighbour": nearest,
            "distance": distances.min(axis=1),
        }
    )
    return table.sort_values("residual", ascending=False, ignore_index=True)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Above: the hardest samples; below each: its nearest neighbour of the other class. Last: λ0's two samples."""
    images = _problem(context).inputs
    figure = new_figure(7.2, 2.8)
    panels = figure.subplots(2, _SHOWN + 1, width_ratios=[1] * _SHOWN + [1.15])
    for k, (above, below) in enumerate(panels.T[:-1]):
        _image(above, images[table["sample"][k]])
        _image(below, images[table["neighbour"][k]])
        above.set_title(rf"$|f-y|={table['residual'][k]:.2f}$", fontsize="medium")
        below.set_xlabel(rf"$\|x-x'\|={table['distance'][k]:.2f}$")
    for axes, k in zip(panels[:, -1], table["weight"].nlargest(2).index, strict=True):
        _image(axes, images[table["sample"][k]])
        axes.set_xlabel(f"{table['weight'][k]:.0%} of $v$, $y={table['target'][k]:g}$")
    panels[0, 0].set_ylabel("hardest")
    panels[1, 0].set_ylabel("nearest of the\nother class")
    panels[0, -1].set_title(r"$\lambda_0$ is due to", fontsize="medium")
    return figure


def _caption(context: Context, table: pd.DataFrame) -> str:
    samples, width, rounds, seeds = _SIZES[context.preset.name]
    first, second = table.weight.nlargest(2).index
    distance = np.linalg.norm(np.subtract(*_problem(context).inputs[table["sample"][[first, second]]]))
    return (
        f"Digits 3 against 8, n = {samples}: the samples with the largest residual after {rounds} rounds of Local GD "
        f"(m = {width}, K = {_CLIENTS} clients split by label, τ = {_STEPS} local steps, η = 0.5/max_c λ_max(H^∞_cc), "
        f"mean of |f(x) − y| over {seeds} seeds), and below each the nearest sample x' of the other class; the median "
        f"of these distances is {table.distance.median():.2f}. Last column: the two samples with the largest squared "
        f"entries in the eigenvector v of λ0, {distance:.2f} apart; as to their residuals they are number {first + 1} "
        f"and number {second + 1} of {samples}. Images are scaled each to its darkest pixel."
    )


def _image(axes: Axes, pixels: np.ndarray) -> None:
    side = round(len(pixels) ** 0.5)
    axes.imshow(pixels.reshape(side, side), cmap="gray_r", vmin=0)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)


def _problem(context: Context) -> Problem:
    return context.problems(_SIZES[context.preset.name][0])[0]


_SHOWS = "The hardest images look like their nearest of the other class."

FIGURE = Figure(OWN.name, (), _needs, _data, _draw, _caption, _SHOWS)
