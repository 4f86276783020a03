"""Narrow networks: projected steps against SGD over m/n, and where an exact fit is proved to exist (N2, N4)."""

from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.figure import Figure
from figures.style import label_decades, legend_below, new_figure
from ntk_localsgd.interpolation import least_width
from ntk_localsgd.statistics import mean_interval
from verification.claims.narrow.paper import ZHANG
from verification.claims.narrow.training import pairs
from verification.context import Context
from verification.engine import Results
from verification.jobs.interpolants import Interpolants, Shape
from verification.jobs.narrow_training import NarrowTraining
from verification.store import Job

__all__ = ["FIGURE"]

# Data sets a width whose exact fits are proved: least squares to the last digit take seconds each.
_PROVED = 4

_METHODS = {"projected": ("projected steps", "C0", "o", "-"), "sgd": ("SGD", "C1", "s", "--")}


def _proofs(job: NarrowTraining) -> list[Interpolants]:
    """Proofs for the first data sets of a training, at its width; none below ⌈2n/d⌉, where the theorem is silent."""
    shape = Shape(job.samples, job.inputs, job.width)
    asked = least_width(job.samples, job.inputs)
    return [Interpolants("sphere", (shape,), "tanh", job.seeds[:_PROVED])] * (job.width >= asked)


def _needs(context: Context) -> list[Job]:
    jobs: list[Job] = []
    for pair in pairs(context):
        jobs += [*pair, *_proofs(pair[0])]
    return jobs


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a width, method and data set: the loss where training ended; how many of ``tried`` fits are proved."""
    rows: list[dict[str, Any]] = []
    for pair in pairs(context):
        fits = [bool(fit) for job in _proofs(pair[0]) for fit in results[job].certified.values]
        for job in pair:
            about = {"share": job.width / job.samples, "width": job.width, "method": job.method}
            about |= {"proved": sum(fits), "tried": len(fits)}
            rows += [about | {"loss": float(loss)} for loss in results[job].loss.values]
    return pd.DataFrame(rows)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Geometric means of losses over m/n, filled where exact fits are proved, and how many of them."""
    figure = new_figure(5.2, 3.6)
    axes = figure.subplots()
    for method in _METHODS:
        _losses(axes, table[table.method == method], method)
    _, inputs = context.preset.narrow.trained
    axes.axvline(2 / inputs, color="0.4", linestyle=":", linewidth=1, label="$m = 2n/d$")
    axes.set(xlabel="neurons a sample $m/n$", ylabel=r"loss $\frac{1}{2n}\|r\|^2$ at the end")
    axes.set_xscale("log", base=2)
    shares = sorted(table.share.unique())
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.minorticks_off()
    label_decades(axes)
    handles, _ = axes.get_legend_handles_labels()
    filled = Line2D(
        [], [], color="0.3", marker="o", linestyle="", label="exact fits proved to exist: filled, and how many"
    )
    legend_below(axes, handles=[*handles, filled], ncols=2)
    return figure


def _losses(axes: Axes, table: pd.DataFrame, method: str) -> None:
    """Geometric means with 95% intervals."""
    name, colour, marker, line = _METHODS[method]
    aside = 2 ** (0.04 if method == "sgd" else -0.04)  # so that intervals stand beside each other
    places, middles = [], []
    for share, part in table.groupby("share"):
        mean = mean_interval(np.log(np.maximum(part.loss.to_numpy(), np.finfo(float).tiny)))
        middle, low, high = np.exp(mean[:3])
        proved, tried = part.proved.iloc[0], part.tried.iloc[0]
        face = colour if tried and proved == tried else "white"
        place = float(share) * aside  # type: ignore[arg-type]
        axes.vlines(place, low, high, color=colour, linewidth=1)
        axes.plot(place, middle, marker, color=colour, markerfacecolor=face, markersize=6, zorder=3)
        if tried and method == "projected":
            axes.text(float(share), 0.02, f"{proved}/{tried}", transform=axes.get_xaxis_transform(), ha="center")  # type: ignore[arg-type]
        places.append(place)
        middles.append(middle)
    axes.plot(places, middles, line, color=colour, linewidth=1, marker=marker, markersize=0, label=name)


def _seen(table: pd.DataFrame) -> str:
    """What the figure shows, from its numbers."""
    shares = [f"{share:g}" for share, part in table.groupby("share") if _clearly_lower(part)]
    where = f"at m/n = {', '.join(shares)}" if shares else "nowhere"
    return f"Projected steps end clearly below SGD {where}"


def _clearly_lower(table: pd.DataFrame) -> bool:
    """Whether the interval of the mean difference of log losses lies below 0."""
    own, other = (np.log(table[table.method == method].loss.to_numpy()) for method in _METHODS)
    return mean_interval(own - other).upper < 0


def _caption(context: Context, table: pd.DataFrame) -> str:
    (samples, inputs), sizes = context.preset.narrow.trained, context.preset.narrow
    return (
        f"Projected gradient steps and SGD on networks with fewer neurons than samples. Sphere, n = {samples}, "
        f"d = {inputs}, σ = tanh, both layers trained for {sizes.epochs} epochs: geometric means of the loss over "
        f"{sizes.trained_seeds} data sets, with 95% intervals. Filled: Newton–Kantorovich proves for each of the first "
        f"{_PROVED} of them that some network of this width fits it exactly, so that the loss left is training's; "
        "hollow: not tried, below the m ≥ 2n/d that the theorem asks for, or not proved. The region and the step sizes "
        "are this project's choice. Claims N2, N4."
    )


FIGURE = Figure(ZHANG.name, ("N2", "N4"), _needs, _data, _draw, _caption, _seen)
