"""Entropy of layers: against the slope before and after training, and along training (E2, E4)."""

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.figure import Figure
from figures.style import draw_seeds, new_figure
from verification.claims.entropy.paper import KULATHUNGA
from verification.claims.entropy.training import trainings
from verification.context import Context
from verification.engine import Results
from verification.jobs.leaky_training import LeakyTraining
from verification.presets import Shape

__all__ = ["FIGURE"]


def _needs(context: Context) -> list[LeakyTraining]:
    return [job for shape in context.preset.entropy.shapes for job in trainings(context, shape)]


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a shape, slope, seed, round and layer: entropy; and the round's loss and test accuracy."""
    tables = []
    for job in _needs(context):
        table = results[job][["entropy", "loss", "test"]].to_dataframe().reset_index()
        tables.append(table.assign(width=job.width, depth=job.depth, slope=job.slope))
    return pd.concat(tables, ignore_index=True)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Above: entropy of every layer against α, a panel a shape; below: that of the last layer along training."""
    shapes = context.preset.entropy.shapes
    figure = new_figure(7.2, 5.0)
    grid = figure.subplots(2, len(shapes), sharey="row", squeeze=False)
    for (above, below), shape in zip(grid.T, shapes, strict=True):
        own = table[(table.width == shape.width) & (table.depth == shape.depth)]
        _against_slope(above, own, shape, _palette(table))
        _along_training(below, own[own.layer == shape.depth])
    grid[0, 0].set_ylabel("entropy of a layer (nats)")
    grid[1, 0].set_ylabel("entropy of the last layer")
    styles = [Line2D([], [], color="0.3", linestyle="--", label="before"), Line2D([], [], color="0.3", label="after")]
    layers = [Line2D([], [], color=c, label=f"$h_{k}$") for k, c in enumerate(_palette(table))]
    slopes = [
        Line2D([], [], color=f"C{k}", label=rf"$\alpha={s:g}$") for k, s in enumerate(sorted(table.slope.unique()))
    ]
    figure.legend(handles=[*layers, *styles, *slopes], loc="outside lower center", ncols=6, frameon=False)
    return figure


def _palette(table: pd.DataFrame) -> list[tuple[float, float, float]]:
    """A colour a layer, of the deepest shape."""
    return list(sns.color_palette("viridis", int(table.layer.max()) + 1))


def _against_slope(axes: Axes, table: pd.DataFrame, shape: Shape, palette: list[tuple[float, float, float]]) -> None:
    places = {slope: place for place, slope in enumerate(sorted(table.slope.unique()))}
    for style, chosen in (("--", 0), ("-", table["round"].max())):
        for layer, colour in enumerate(palette[: shape.depth + 1]):
            part = table[(table["round"] == chosen) & (table.layer == layer)]
            seeds = part.pivot(index="seed", columns="slope", values="entropy")
            line = {"marker": "o", "markersize": 2.5, "linewidth": 1, "linestyle": style}
            draw_seeds(axes, np.array([places[s] for s in seeds.columns]), seeds.to_numpy(), color=colour, **line)
    axes.set_xticks(list(places.values()), [f"{slope:g}" for slope in places])
    axes.set_xlabel(r"slope $\alpha$")
    axes.set_title(f"$m={shape.width}$, $L={shape.depth}$", fontsize="medium")


def _along_training(axes: Axes, table: pd.DataFrame) -> None:
    for place, (_, part) in enumerate(table.groupby("slope")):
        seeds = part.pivot(index="seed", columns="round", values="entropy")
        draw_seeds(axes, seeds.columns.to_numpy(float), seeds.to_numpy(), color=f"C{place}", linewidth=1)
    axes.set_xlabel("epoch")


def _caption(context: Context, table: pd.DataFrame) -> str:
    sizes = context.preset.entropy
    return (
        "Shannon entropy of what layers of leaky ReLU networks put out, all units and samples together, in bins of "
        "width m^−½/100. Above: layers against the slope α (0: ReLU, 1: linear), before and after training. Below: "
        f"the last layer along training. Digits, {sizes.images} images, {sizes.epochs} epochs of SGD on the hidden "
        f"layers; means of {sizes.seeds} seeds, bands their range. Claims E2, E4."
    )


_SHOWS = "Entropy falls with the slope α, where E1 says that information is lost, and moves along training."

FIGURE = Figure(KULATHUNGA.name, ("E2", "E4"), _needs, _data, _draw, _caption, _SHOWS)
