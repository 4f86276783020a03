"""Lazy training: movement, flipped patterns and kernel movement against the width (S4, S5, S6)."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from figures.style import DATA_COLOURS, new_figure
from ntk_localsgd.evidence import slope
from verification.context import Context
from verification.lazy_training import LOCAL_STEPS, NUM_CLIENTS, sweep
from verification.runs import RunSpec

__all__ = ["caption", "data", "draw", "needs"]

_PANELS = {
    "neuron_movement": r"$\max_r\,\|w_r(t)-w_r(0)\|$",
    "flip_fraction": "flipped activations (share)",
    "gram_movement": r"$\|H(t)-H(0)\|_2$",
}


def needs(context: Context) -> list[RunSpec]:
    """The stored runs that the figure reads."""
    return [spec for made in context.problems(context.preset.sweep_samples) for spec in sweep(context, made)]


def data(context: Context) -> pd.DataFrame:
    """One row a data set, width, seed and quantity: its value at the run's end."""
    rows = []
    for spec in needs(context):
        run = context.run(spec)
        for quantity in _PANELS:
            ends = run[quantity].isel({run[quantity].dims[-1]: -1}).values
            rows += [
                {"data": spec.kind, "width": spec.width, "seed": seed, "quantity": quantity, "value": float(value)}
                for seed, value in zip(spec.seeds, ends, strict=True)
            ]
    return pd.DataFrame(rows)


def draw(context: Context) -> Figure:
    """Means over seeds with 95% intervals, guides of slope −½ (and −¾ for the kernel), fitted slopes in the legend."""
    table = data(context)
    figure = new_figure(7.2, 3.1)
    for axes, (quantity, label) in zip(figure.subplots(1, 3), _PANELS.items(), strict=True):
        part = table[table.quantity == quantity]
        for kind, colour in DATA_COLOURS.items():
            seeds = part[part.data == kind].pivot(index="seed", columns="width", values="value")
            found = slope(seeds.columns.to_numpy(float), seeds.to_numpy())
            name = f"{kind}: {found.estimate:.2f} ± {found.half_width:.2f}"
            sns.lineplot(part[part.data == kind], x="width", y="value", ax=axes, color=colour, label=name, marker="o",
                         errorbar=("ci", 95), seed=0)  # fmt: skip
        _guides(axes, part, (-0.5, -0.75) if quantity == "gram_movement" else (-0.5,))
        axes.set(xscale="log", yscale="log", xlabel="width $m$", ylabel=label)
        axes.set_xticks(
            sorted(part.width.unique()), [f"$2^{{{int(np.log2(m))}}}$" for m in sorted(part.width.unique())]
        )
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), title="slope in $m$", frameon=False)
    return figure


def caption(context: Context) -> str:
    """Setting of the figure."""
    preset = context.preset
    return (
        f"Lazy training under Local GD: quantities after {preset.sweep_rounds} rounds against the width, n = "
        f"{preset.sweep_samples} samples (digits 3 against 8; the sphere in 32 dimensions), K = {NUM_CLIENTS} "
        f"clients split by label, τ = {LOCAL_STEPS} local steps, η = 0.5/λ_max. Means of {preset.sweep_seeds} seeds "
        f"with 95% intervals; dashed: m^(−1/2), dotted: m^(−3/4). Claims S4, S5, S6."
    )


def _guides(axes: Axes, part: pd.DataFrame, exponents: tuple[float, ...]) -> None:
    """Power laws through the mean at the smallest width, a little above the data."""
    widths = np.array(sorted(part.width.unique()), float)
    start = 1.3 * part[part.width == widths[0]].groupby("data").value.mean().max()
    for exponent, style in zip(exponents, ("--", ":"), strict=False):
        axes.plot(widths, start * (widths / widths[0]) ** exponent, style, color="0.4", linewidth=1)
