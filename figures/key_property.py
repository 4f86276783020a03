"""The key property of Local SGD: gradients of local models against distances, on and off the trajectory (S1b, S0)."""

from collections.abc import Iterator

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
import sympy as sp
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from figures.data_sets import deep_problems
from figures.figure import Figure
from figures.style import colours, new_figure
from ntk_localsgd.bounds import BOUNDS, symbols
from ntk_localsgd.bounds.exponents import powers
from verification.claims.deep.key_property import across_kink, fits, pairs, tracked
from verification.context import Context
from verification.engine import Results
from verification.papers import DENG
from verification.store import Job

__all__ = ["FIGURE"]

_MARKERS = ("o", "s", "^", "D", "v")
_ALONG, _ACROSS, _FITTED = "along the run", "across a kink", "fitted"


def _needs(context: Context) -> Iterator[Job]:
    for problem in deep_problems(context):
        yield from tracked(context, problem)
        yield across_kink(context, problem)


def _data(context: Context, results: Results) -> pd.DataFrame:
    """Pairs: one row a seed, round and local step, means over clients, or a gap across a kink; fits: one a seed."""
    tables = []
    for problem in deep_problems(context):
        trainings, kink = tracked(context, problem), across_kink(context, problem)
        fitted = fits(results, trainings)
        for place, job in enumerate(trainings):
            about = {"data": job.data.label, "width": job.width}
            seen = pairs(results[job])
            seeds = np.repeat(job.seeds, seen.gradients.shape[1])
            columns = {name: getattr(seen, name).ravel() for name in ("gradients", "distances", "losses")}
            tables.append(pd.DataFrame(about | {"where": _ALONG, "seed": seeds} | columns))
            constants = {"a": fitted.a, "b": fitted.direct, "radius": fitted.radius}
            of_width = {name: values[:, place] for name, values in constants.items()}
            tables.append(pd.DataFrame(about | {"where": _FITTED, "seed": list(job.seeds)} | of_width))
        about = {"data": kink.data.label, "width": kink.width, "where": _ACROSS, "seed": kink.seed}
        columns = {name: results[kink][name].values for name in ("gradients", "distances", "losses")}
        tables.append(pd.DataFrame(about | columns))
    return pd.concat(tables, ignore_index=True)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Scatter with the fitted a, the fitted constants against width and radius, and the quotient off the trajectory."""
    figure = new_figure(7.2, 5.2)
    (scatter, quotient), (in_width, in_radius) = figure.subplots(2, 2)
    _scatter(scatter, table)
    _quotient(quotient, table)
    _constants(in_width, in_radius, table[table["where"] == _FITTED])
    power = _radius_exponent()
    _guide(in_radius, float(power), f"slope {power}")
    for axes in (in_width, in_radius):
        axes.set(xscale="log", yscale="log")
        axes.legend(frameon=False)
    widths = sorted(table.width.unique())
    in_width.set(xlabel="width $m$", ylabel="$a / m^2$", ylim=(1, 100))
    in_width.set_xticks(widths, [f"$2^{{{int(np.log2(m))}}}$" for m in widths])
    in_width.minorticks_off()
    in_radius.set(xlabel=r"radius $\omega=\max_{l,t}\|W_l(t)-W_l(0)\|_2$", ylabel="$b / m$")
    for axis in (in_radius.xaxis, in_radius.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    return figure


def _caption(context: Context, table: pd.DataFrame) -> str:
    sizes = context.preset.deep
    return (
        f"The key property along Local GD of deep ReLU networks (L = {sizes.depths[0]}, n = {sizes.samples[0]}, K = "
        f"{sizes.clients[0]} clients split by label, τ = {sizes.local_steps[0]}, {sizes.rounds} rounds, "
        f"{sizes.few_seeds} seeds). Top left: (1/K) Σ_c ‖∇L_c(W_c) − ∇L_c(W̄)‖²/m² against (1/K) Σ_c ‖W_c − W̄‖² at "
        "every round and local step; lines: their geometric mean quotient. Top right: the quotient along the run, and "
        "off it, across a kink of one neuron, where it grows like the inverse square of the distance (S0). Bottom: the "
        "fitted a/m² against the width (mean and 95% interval); b/m, measured as ‖(J_c(W_c) − J_c(W̄))ᵀ r(W̄)‖²/(m L), "
        "against the radius, one point a seed and width; dashed: "
        f"ω^({_radius_exponent()}). Claims S1b, S0."
    )


def _radius_exponent() -> sp.Rational:
    """The recalled exponent of ω in b."""
    return powers(BOUNDS["S1b"].expression.coeff(symbols("loss")))["omega"]


def _scatter(axes: Axes, table: pd.DataFrame) -> None:
    along = table[table["where"] == _ALONG]
    for kind, colour in colours(table).items():
        for marker, width in zip(_MARKERS, sorted(along.width.unique()), strict=False):
            part = along[(along.data == kind) & (along.width == width)]
            label = f"{kind}, $m=2^{{{int(np.log2(width))}}}$"
            style = {"color": colour, "markersize": 2.5, "alpha": 0.4, "markeredgewidth": 0}
            axes.plot(part.distances, part.gradients / width**2, marker, label=label, **style)
        part = along[along.data == kind]
        level = float(np.exp(np.log(part.gradients / part.distances / part.width**2).mean()))
        ends = np.array([part.distances.min(), part.distances.max()])
        axes.plot(ends, level * ends, color=colour, linewidth=1)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=r"$\|W_c-\bar W\|^2$",
        ylabel=r"$\|\nabla L_c(W_c)-\nabla L_c(\bar W)\|^2/m^2$",
    )
    axes.set_ylim(bottom=axes.get_ylim()[0] / 20)  # room for the legend below the points
    axes.legend(frameon=False, fontsize="x-small", markerscale=2, ncols=2, loc="lower right")


def _quotient(axes: Axes, table: pd.DataFrame) -> None:
    for kind, colour in colours(table).items():
        part = table[(table.data == kind) & (table.width == table.width.min())]
        for where, marker in ((_ALONG, "."), (_ACROSS, "x--")):
            seen = part[part["where"] == where].sort_values("distances")
            style = {"color": colour, "markersize": 4, "linewidth": 1, "label": f"{kind}, {where}"}
            axes.plot(np.sqrt(seen.distances), seen.gradients / seen.distances, marker, **style)
    axes.set(xscale="log", yscale="log", xlabel=r"distance $\|W-W'\|$", ylabel=r"$\|\Delta\nabla\|^2/\|\Delta W\|^2$")
    axes.legend(frameon=False, fontsize="x-small")


def _constants(in_width: Axes, in_radius: Axes, table: pd.DataFrame) -> None:
    widths = sorted(table.width.unique())
    for kind, colour in colours(table).items():
        own = table[table.data == kind]
        squared = own.assign(a=own.a / own.width**2)
        sns.lineplot(
            squared, x="width", y="a", ax=in_width, color=colour, marker="o", errorbar=("ci", 95), seed=0, label=kind
        )
        for marker, width in zip(_MARKERS, widths, strict=False):
            part = own[own.width == width]
            label = kind if width == widths[0] else None
            in_radius.plot(part.radius, part.b / width, marker, color=colour, markersize=4, label=label)


def _guide(axes: Axes, exponent: float, label: str) -> None:
    points = np.concatenate([np.column_stack(line.get_data()) for line in axes.lines])
    ends = np.array([points[:, 0].min(), points[:, 0].max()])
    middle = np.exp(np.log(points).mean(axis=0))
    axes.plot(ends, 0.5 * middle[1] * (ends / middle[0]) ** exponent, "--", color="0.4", linewidth=1, label=label)


_SHOWS = (
    "Gradients of local and averaged models stay close along training, although across a kink their quotient "
    "has no bound."
)

FIGURE = Figure(DENG.name, ("S1b", "S0"), _needs, _data, _draw, _caption, _SHOWS)
