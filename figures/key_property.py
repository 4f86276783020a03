"""The key property of Local SGD: gradients of local models against distances, on and off the trajectory (S1b, S0)."""

import numpy as np
import pandas as pd
import seaborn as sns
import sympy as sp
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from verification.exponents import powers
from verification.key_property import across_kink, fits, pairs, tracked
from verification.runs import RunSpec

from figures.data_sets import data_name, deep_problems
from figures.style import DATA_COLOURS, new_figure
from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.bounds.bound import symbols
from verification.context import Context, Problem

__all__ = ["caption", "data", "draw", "needs"]

_MARKERS = ("o", "s", "^", "D", "v")


def needs(context: Context) -> list[RunSpec]:
    """The stored runs that the figure reads."""
    return [spec for made in deep_problems(context) for spec in tracked(context, made)]


def data(context: Context) -> pd.DataFrame:
    """One row a pair: on the run one a seed, round and local step, means over clients; across a kink one a gap."""
    rows = []
    for made in deep_problems(context):
        kind = data_name(made.kind)
        for spec in tracked(context, made):
            run = context.run(spec)
            for seed in spec.seeds:
                seen = pairs(run, seed)
                rows += [
                    {"data": kind, "where": "along the run", "width": spec.width, "seed": seed, "gradients": g,
                     "distances": d, "losses": loss}
                    for g, d, loss in zip(seen.gradients, seen.distances, seen.losses, strict=True)
                ]  # fmt: skip
        kink = across_kink(context, made)
        rows += [
            {"data": kind, "where": "across a kink", "width": context.preset.deep.widths[0], "seed": -1, "gradients": g,
             "distances": d, "losses": loss}
            for g, d, loss in zip(kink.gradients.values, kink.distances.values, kink.losses.values, strict=True)
        ]  # fmt: skip
    return pd.DataFrame(rows)


def draw(context: Context) -> Figure:
    """Scatter with the fitted a, the fitted constants against width and radius, and the quotient off the trajectory."""
    table = data(context)
    figure = new_figure(7.2, 5.2)
    (scatter, quotient), (in_width, in_radius) = figure.subplots(2, 2)
    _scatter(scatter, table)
    _quotient(quotient, table)
    for made in deep_problems(context):
        _constants(in_width, in_radius, context, made)
    power = _radius_exponent()
    _guide(in_radius, float(power), f"slope {power}")
    for axes in (in_width, in_radius):
        axes.set(xscale="log", yscale="log")
        axes.legend(frameon=False)
    widths = context.preset.deep.widths
    in_width.set(xlabel="width $m$", ylabel="$a / m^2$", ylim=(1, 100))
    in_width.set_xticks(widths, [f"$2^{{{int(np.log2(m))}}}$" for m in widths])
    in_width.minorticks_off()
    in_radius.set(xlabel=r"radius $\omega=\max_{l,t}\|W_l(t)-W_l(0)\|_2$", ylabel="$b / m$")
    for axis in (in_radius.xaxis, in_radius.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    return figure


def caption(context: Context) -> str:
    """Setting of the figure."""
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
    along = table[table["where"] == "along the run"]
    for kind, colour in DATA_COLOURS.items():
        for marker, width in zip(_MARKERS, sorted(along.width.unique()), strict=False):
            part = along[(along.data == kind) & (along.width == width)]
            axes.plot(part.distances, part.gradients / width**2, marker, color=colour, markersize=2.5, alpha=0.4,
                      markeredgewidth=0, label=f"{kind}, $m=2^{{{int(np.log2(width))}}}$")  # fmt: skip
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
    for kind, colour in DATA_COLOURS.items():
        part = table[(table.data == kind) & (table.width == table.width.min())]
        for where, style in (("along the run", "."), ("across a kink", "x--")):
            seen = part[part["where"] == where].sort_values("distances")
            axes.plot(np.sqrt(seen.distances), seen.gradients / seen.distances, style, color=colour, markersize=4,
                      linewidth=1, label=f"{kind}, {where}")  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel=r"distance $\|W-W'\|$", ylabel=r"$\|\Delta\nabla\|^2/\|\Delta W\|^2$")
    axes.legend(frameon=False, fontsize="x-small")


def _constants(in_width: Axes, in_radius: Axes, context: Context, made: Problem) -> None:
    found, widths = fits(context, made), np.array(context.preset.deep.widths, float)
    colour = DATA_COLOURS[data_name(made.kind)]
    table = pd.DataFrame(found.a / widths**2, columns=widths).melt(var_name="width", value_name="a")
    sns.lineplot(table, x="width", y="a", ax=in_width, color=colour, marker="o", errorbar=("ci", 95), seed=0,
                 label=data_name(made.kind))  # fmt: skip
    for marker, place in zip(_MARKERS, range(len(widths)), strict=False):
        label = data_name(made.kind) if place == 0 else None
        values = found.direct[:, place] / widths[place]
        in_radius.plot(found.radius[:, place], values, marker, color=colour, markersize=4, label=label)


def _guide(axes: Axes, exponent: float, label: str) -> None:
    points = np.concatenate([np.column_stack(line.get_data()) for line in axes.lines])
    ends = np.array([points[:, 0].min(), points[:, 0].max()])
    middle = np.exp(np.log(points).mean(axis=0))
    axes.plot(ends, 0.5 * middle[1] * (ends / middle[0]) ** exponent, "--", color="0.4", linewidth=1, label=label)
