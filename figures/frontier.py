"""The frontier of certificates: the smallest lazy scale κ against samples, width and depth, and what it costs (C9)."""

from collections.abc import Iterator
from typing import Any, Literal

import matplotlib.figure
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.figure import Figure
from figures.style import label_decades, legend_below, new_figure
from verification.context import Context
from verification.data import Source
from verification.engine import Results
from verification.jobs.frontiers import Frontier
from verification.papers import OWN

__all__ = ["FIGURE"]

_CLIENTS, _STEPS = 4, 5

_LINES: dict[str, Literal["-", "--"]] = {"digits": "-", "sphere": "--"}


def _jobs(context: Context) -> list[Frontier]:
    """By depth and data: every n at the first width, every m at the first n, each once."""
    sizes = context.preset.frontier
    shapes = dict.fromkeys(
        [(n, sizes.widths[0]) for n in sizes.samples] + [(sizes.samples[0], m) for m in sizes.widths]
    )
    seeds = context.seeds("figure frontier", sizes.seeds)
    return [
        Frontier(Source(kind, n, context.seed), _CLIENTS, _STEPS, m, depth, seeds)  # type: ignore[arg-type]
        for kind in sizes.kinds
        for depth in sizes.depths
        for n, m in shapes
    ]


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a data set, depth (0: two layers), n, m and seed."""
    return pd.DataFrame([row for job in _jobs(context) for row in _rows(job, results)])


def _rows(job: Frontier, results: Results) -> Iterator[dict[str, Any]]:
    found = results[job]
    about = {"data": job.data.kind, "depth": job.depth or 0, "n": job.data.num_samples, "m": job.width}
    for k, seed in enumerate(job.seeds):
        values = {name: float(found[name][k]) for name in ("scale", "below", "rate", "seconds", "mebibytes")}
        yield about | {"seed": seed} | values


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """κ against n and against m; seconds and memory against n."""
    sizes = context.preset.frontier
    figure = new_figure(9.6, 3.4)
    axes = figure.subplots(1, 4)
    by_samples, by_width = table[table.m == sizes.widths[0]], table[table.n == sizes.samples[0]]
    depths = sorted(table.depth.unique())
    colours = {depth: f"C{k}" for k, depth in enumerate(depths)}
    for panel, part, x, y in (
        (axes[0], by_samples, "n", "scale"),
        (axes[1], by_width, "m", "scale"),
        (axes[2], by_samples, "n", "seconds"),
        (axes[3], by_samples, "n", "mebibytes"),
    ):
        for (kind, depth), rows in part.groupby(["data", "depth"]):
            largest = rows.groupby(x)[y].max()
            panel.plot(largest.index, largest, _LINES[str(kind)], marker="o", markersize=3.5, color=colours[depth])
        _log_axes(panel, sorted(part[x].unique()))
    axes[0].set(xlabel="samples $n$", ylabel="smallest $\\kappa$ with a proof")
    axes[1].set(xlabel="width $m$", ylabel="smallest $\\kappa$ with a proof")
    axes[2].set(xlabel="samples $n$", ylabel="seconds of one core")
    axes[3].set(xlabel="samples $n$", ylabel="peak memory (MiB)")
    names = {depth: f"L = {depth}" if depth else "two layers" for depth in depths}
    legend_below(axes[0], handles=[Line2D([], [], color=colours[d], label=names[d]) for d in depths], ncols=2)
    lines = [Line2D([], [], color="0.3", linestyle=_LINES[kind], label=kind) for kind in sizes.kinds]
    legend_below(axes[1], handles=lines, ncols=2)
    return figure


def _log_axes(axes: Axes, numbers: list[int]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(numbers, [str(n) for n in numbers])
    axes.minorticks_off()
    label_decades(axes)


def _caption(context: Context, table: pd.DataFrame) -> str:
    sizes = context.preset.frontier
    lost = int((table.scale == float("inf")).sum())
    networks = "one network" if sizes.seeds == 1 else f"the largest of {sizes.seeds} networks"
    text = (
        "The frontier of certificates at random initialization: the smallest lazy scale κ of f = κ(g(W) − g(W(0))) at "
        "which Local GD is proved to converge at a linear rate, to a factor 2 by bisection from κ = 1 ("
        f"{networks}), against n at m = {sizes.widths[0]} and against m at n = {sizes.samples[0]}; seconds "
        f"and memory of one certificate there. K = {_CLIENTS} clients by label, τ = {_STEPS}, η = 0.9/max_c "
        "λ_max(Θ_cc); digits 3 against 8, and the sphere in 32 dimensions. Large κ are trivially lazy: the smallest "
        "that is proved is the result. Claim C9."
    )
    return text + (f" Without any proof up to κ = 10⁹: {lost} networks." if lost else "")


_SHOWS = "The smallest lazy scale κ with a proof, at random initialization: the lower, the less lazy what is proved."

FIGURE = Figure(OWN.name, ("C9",), _jobs, _data, _draw, _caption, _SHOWS)
