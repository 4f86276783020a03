"""One look for every figure: seaborn's paper context, colour-blind safe colours, text kept as text."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy import ndarray

from ntk_localsgd.evidence import Verdict
from ntk_localsgd.statistics import slope

__all__ = [
    "DATA_COLOURS",
    "VERDICT_COLOURS",
    "VERDICT_SYMBOLS",
    "at_least_a_decade",
    "colours",
    "draw_seeds",
    "draw_slope",
    "label_decades",
    "legend_below",
    "new_figure",
    "power",
    "whole_rounds",
]

_PALETTE = sns.color_palette("colorblind")

#: Colour of each data set, by kind.
DATA_COLOURS = {"digits": _PALETTE[0], "sphere": _PALETTE[1]}


def colours(table: pd.DataFrame) -> dict[str, Any]:
    """The colours of the data sets that stand in a table's column ``data``."""
    return {kind: colour for kind, colour in DATA_COLOURS.items() if kind in set(table.data)}


#: Five verdicts: symbols besides colours, so that neither carries the meaning alone.
VERDICT_COLOURS = {
    Verdict.VERIFIED: _PALETTE[2],
    Verdict.OBSERVED: _PALETTE[0],
    Verdict.SILENT: _PALETTE[7],
    Verdict.INCONCLUSIVE: _PALETTE[8],
    Verdict.REFUTED: _PALETTE[3],
}
#: Matplotlib markers of the verdicts.
VERDICT_SYMBOLS = {
    Verdict.VERIFIED: "P",
    Verdict.OBSERVED: "o",
    Verdict.SILENT: ".",
    Verdict.INCONCLUSIVE: "D",
    Verdict.REFUTED: "X",
}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in the house style, without pyplot's global state; sizes in inches."""
    sns.set_theme(context="paper", style="ticks", palette="colorblind")
    mpl.rcParams.update({"pdf.fonttype": 42, "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3})
    return Figure(figsize=(width, height), layout="constrained")


def draw_seeds(axes: Axes, x: ndarray, values: Float[ndarray, "seeds points"], *, color: Any, **line: Any) -> Line2D:
    """The mean over seeds as a line, and the seeds' range as a band."""
    (drawn,) = axes.plot(x, values.mean(axis=0), color=color, **line)
    axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=color, alpha=0.2, linewidth=0)
    return drawn


def draw_slope(axes: Axes, table: pd.DataFrame, name: str, **line: Any) -> None:
    """Column ``value`` against ``width``: the mean over seeds with its interval, and the exponent in the legend."""
    seeds = table.pivot(index="seed", columns="width", values="value")
    fitted = slope(seeds.columns.to_numpy(float), seeds.to_numpy())
    label = f"{name}: {fitted.estimate:.2f} ± {fitted.half_width:.2f}"
    sns.lineplot(table, x="width", y="value", ax=axes, label=label, marker="o", errorbar=("ci", 95), seed=0, **line)


def legend_below(axes: Axes, **options: Any) -> None:
    """A legend under the axes, where it covers no data."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), frameon=False, **options)


def at_least_a_decade(axes: Axes, decades: float = 1.0) -> None:
    """A logarithmic y axis widened about its middle to at least so many decades, so that what is flat looks flat."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    spare = max(1.0, (10**decades * low / high) ** 0.5)
    axes.set_ylim(low / spare, high * spare)


def label_decades(axes: Axes) -> None:
    """A logarithmic y axis with at most a handful of labels, and at least two: powers of ten, or 1, 2, 5."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_minor_formatter(NullFormatter())
    if high / low < 100:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")


def whole_rounds(axes: Axes) -> None:
    """Whole numbers along the x axis."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))


def power(number: float) -> str:
    """A number as a power of two or ten, where it is one."""
    for base in (2, 10):
        exponent = round(np.log(number) / np.log(base))
        if base**exponent == number:
            return f"${base}^{{{exponent}}}$"
    return f"{number:g}"
