"""Lazy training: movement, flipped patterns and kernel movement against the width, two-layer and deep (S4, S5, S6)."""

from collections.abc import Iterator

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from numpy import ndarray

from figures.data_sets import deep_problems, problems
from figures.figure import Figure
from figures.style import at_least_a_decade, colours, draw_slope, label_decades, new_figure, power
from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.bounds.exponents import powers
from verification.claims.deep import training as deep
from verification.claims.training import lazy
from verification.context import Context
from verification.engine import Results
from verification.jobs.training import Training
from verification.papers import DU

__all__ = ["FIGURE"]

_PANELS = {
    "neuron_movement": r"$\max_r\,\|w_r(t)-w_r(0)\|$",
    "frobenius_movement": r"$\|W(t)-W(0)\|_F$",
    "flip_fraction": "share of flips",
    "gram_movement": r"$\|H(t)-H(0)\|_2$",
}
_DEEP_PANELS = {
    "layer_spectral_movement": r"$\|W_l(t)-W_l(0)\|_2\,/\,\|r(0)\|$",
    "layer_flip_fraction": "share of flips",
}
# Where patterns flip as many as D3 allows and the radius falls like m^(−1/2), their share falls with half its exponent.
_ADVERSARIAL = -float(powers(BOUNDS["D3"].expression)["omega"]) / 2
# Exponents of the guides by quantity, dashed, dotted and dash-dotted.
_GUIDES = {
    "frobenius_movement": {"--": 0.0},
    "gram_movement": {"--": -0.5, ":": -0.75},
    "layer_flip_fraction": {"--": -0.5, "-.": _ADVERSARIAL},
}
_HALF = {"--": -0.5}


def _needs(context: Context) -> list[Training]:
    """Two-layer networks, then deep ones."""
    shallow = problems(context, context.preset.sweep_samples)
    jobs = [job for problem in shallow for job in lazy.sweep(context, problem)]
    return jobs + [job for problem in deep_problems(context) for job in deep.sweep(context, problem)]


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a data set, quantity, layer (0: all of them), width and seed: its value at the run's end."""
    rows = []
    for job in _needs(context):
        for quantity, layer, ends in _ends(job, results[job]):
            about = {"data": job.data.label, "quantity": quantity, "layer": layer, "width": job.width}
            rows += [about | {"seed": seed, "value": float(v)} for seed, v in zip(job.seeds, ends, strict=True)]
    return pd.DataFrame(rows)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Means over seeds with 95% intervals and guides; fitted slopes in the legends."""
    figure = new_figure(7.2, 6.6)
    shallow, deep = figure.subplots(2, 4)
    for axes, (quantity, label) in zip(shallow, _PANELS.items(), strict=True):
        part = table[table.quantity == quantity]
        _panel(axes, {name: (part[part.data == name], colour) for name, colour in colours(part).items()}, quantity)
        axes.set_title(label, fontsize="small")
    names = list(colours(table[table.layer > 0]))
    places = [(quantity, name) for quantity in _DEEP_PANELS for name in names]
    for axes in deep[len(places) :]:
        axes.remove()
    deep = deep[: len(places)]
    shades = sns.color_palette("viridis", context.preset.deep.depths[0])
    for axes, (quantity, name) in zip(deep, places, strict=True):
        part = table[(table.quantity == quantity) & (table.data == name)]
        layers = {f"layer {k}": (part[part.layer == k], colour) for k, colour in enumerate(shades, start=1)}
        _panel(axes, layers, quantity)
        axes.set_title(f"{_DEEP_PANELS[quantity]}\n{name}", fontsize="small")
    for place in range(len(_DEEP_PANELS)):
        _same_range(deep[place * len(names) : (place + 1) * len(names)])
    return figure


def _caption(context: Context, table: pd.DataFrame) -> str:
    preset, sizes = context.preset, context.preset.deep
    return (
        f"Lazy training under Local GD, two-layer networks (top) and deep ones (bottom): quantities at the run's end "
        f"against the width. Top: n = {preset.sweep_samples} samples (digits 3 against 8; the sphere in 32 "
        f"dimensions), {preset.sweep_rounds} rounds, K = {lazy.NUM_CLIENTS} clients split by label, τ = "
        f"{lazy.LOCAL_STEPS} local steps, η = 0.5/λ_max, {preset.sweep_seeds} seeds. Bottom: L = "
        f"{sizes.depths[0]} trained layers, n = {sizes.samples[0]} (the sphere in 64 dimensions with a pair at "
        f"{sizes.separations[0]:g}), {sizes.rounds} rounds, K = {sizes.clients[0]}, τ = {sizes.local_steps[0]}, "
        f"{sizes.seeds} seeds, layer by layer. Means over seeds with 95% intervals, fitted slopes with theirs in "
        f"the legends; dashed: m^(−1/2) (‖W(t) − W(0)‖_F: m^0), dotted: m^(−3/4), dash-dotted: m^(−1/3). Claims S4, "
        f"S5, S6."
    )


def _ends(job: Training, run: xr.Dataset) -> Iterator[tuple[str, int, ndarray]]:
    """Quantity, layer and its values at the run's end by seed."""
    if job.depth is None:
        for quantity in _PANELS:
            yield quantity, 0, run[quantity].isel({run[quantity].dims[-1]: -1}).values
        return
    # Less than one flip has no logarithm; it stands for half a one.
    least = {"layer_spectral_movement": 0.0, "layer_flip_fraction": 0.5 / (job.data.num_samples * job.width)}
    scales = {"layer_spectral_movement": np.sqrt(2 * run.loss.isel(round=0).values), "layer_flip_fraction": 1.0}
    for quantity in _DEEP_PANELS:
        ends = run[quantity].isel(round=-1)
        for place in range(job.depth):
            yield quantity, place + 1, np.maximum(ends.isel(layer=place).values, least[quantity]) / scales[quantity]


def _panel(axes: Axes, curves: dict[str, tuple[pd.DataFrame, object]], quantity: str) -> None:
    """One curve a data set or layer, its slope in the legend."""
    for name, (part, colour) in curves.items():
        draw_slope(axes, part, name, color=colour)
    everything = pd.concat([part for part, _ in curves.values()])
    widths = sorted(everything.width.unique())
    _guides(axes, everything, _GUIDES.get(quantity, _HALF))
    axes.set(xscale="log", xlabel="width $m$", ylabel="")
    axes.set_xticks(widths, [power(m) for m in widths])
    axes.minorticks_off()
    at_least_a_decade(axes)
    label_decades(axes)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        title="slope in $m$",
        frameon=False,
        fontsize="x-small",
        title_fontsize="x-small",
    )


def _same_range(pair: ndarray) -> None:
    ends = np.array([axes.get_ylim() for axes in pair])
    for axes in pair:
        axes.set_ylim(ends[:, 0].min(), ends[:, 1].max())
        label_decades(axes)


def _guides(axes: Axes, part: pd.DataFrame, exponents: dict[str, float]) -> None:
    """Power laws from a little above the data at the smallest width."""
    widths = np.array(sorted(part.width.unique()), float)
    start = 1.3 * part[part.width == widths[0]].groupby(["data", "layer"]).value.mean().max()
    for style, exponent in exponents.items():
        axes.plot(widths, start * (widths / widths[0]) ** exponent, style, color="0.4", linewidth=1)


_SHOWS = "The wider, the lazier: a neuron's movement, flips and the kernel's change fall like m^(−1/2) (dashed)."

FIGURE = Figure(DU.name, ("S4", "S5", "S6", "S4-deep", "S5-deep"), _needs, _data, _draw, _caption, _SHOWS)
