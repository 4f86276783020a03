"""The tightness map: exponents that theorems ask for beside measured ones, and step sizes against local steps (C6)."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from verification.runs import RunSpec
from verification.thresholds import exponents

from figures.style import DATA_COLOURS, new_figure
from ntk_localsgd.statistics import Interval
from verification import concentration_threshold, step_thresholds, width_thresholds
from verification.context import Context

__all__ = ["caption", "data", "draw", "needs"]

_COLOURS = {"digits": DATA_COLOURS["digits"], "planted": DATA_COLOURS["sphere"]}
_NAMES = {"digits": "digits", "planted": "sphere, close pair"}
_SYMBOLS = {"λ0": r"\lambda_0", "φ": r"\varphi", "τ": r"\tau", "n": "n", "K": "K", "L": "L"}
_MARKERS = ("o", "s", "D")


def needs(context: Context) -> list[RunSpec]:  # noqa: ARG001 (thresholds are stored by the claims that measure them)
    """No runs: the claims K4-threshold, C6-width and C6-step store what is drawn."""
    return []


def data(context: Context) -> pd.DataFrame:
    """Exponents: one row a bound, data set and parameter; step sizes: one row a data set, width, τ and repeat."""
    return pd.DataFrame([*_exponents(context), *_steps(context)])


def draw(context: Context) -> Figure:
    """Left: a row for every bound and parameter. Right: the largest step size that is stable, or has C4's rate."""
    table = data(context)
    rows = table[table.quantity == "exponent"]
    labels = list(dict.fromkeys(zip(rows.bound, rows.parameter, strict=True)))
    figure = new_figure(7.2, 1.9 + 0.17 * max(8, len(labels)))
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    below = -0.5 / (figure.get_figheight() - 1.2)  # half an inch under the axes, in units of their height
    _draw_exponents(left, rows, labels, below)
    _draw_steps(right, table[table.quantity != "exponent"], below)
    return figure


def caption(context: Context) -> str:
    """Setting of the figure."""
    sizes = step_thresholds.sizes_of(context)
    return (
        "The tightness map. Left: the power of each parameter with which the width, or the step size, that a theorem "
        "asks for grows (open squares; constants 1), and the one needed for its conclusion with probability at least "
        "0.9 (dots; 95% intervals over data sets). K4b: λ_min(H(0)) ≥ ¾λ0 at probability 0.95; C1, C4: their rates; "
        "C2, C3: what the kernel regime learns, in twice its rounds. Right: the largest step size in units of "
        f"1/max_c λ_max(H^∞_cc) against the local steps, n = {sizes.samples[0]}, at most 4 clients by label: at which "
        "the run is stable, at which it has C4's rate, and what C4 asks for; geometric means over data sets. The "
        "kernel regime is stable below 2 whatever τ. Claims K4-threshold, C6-width, C6-step, C6-stability."
    )


def _exponents(context: Context) -> Iterator[dict[str, Any]]:
    points = concentration_threshold.stored_thresholds(context)
    found, asked = (concentration_threshold.exponents(points, column) for column in (2, 3))
    for name, sign, own, claimed in zip(("n", "λ0"), (1, -1), found, asked, strict=True):
        ends = sorted((sign * own.lower, sign * own.upper))
        yield _row("K4b: width", "planted", name, Interval(sign * own.estimate, *ends), sign * claimed.estimate)
    widths = width_thresholds.sizes_of(context)
    for bound in widths.bounds:
        for kind in widths.kinds:
            yield from _rows(f"{bound}: width", kind, width_thresholds.stored_thresholds(context, bound, kind))
    steps = step_thresholds.sizes_of(context)
    for kind in steps.kinds:
        yield from _rows("C4: step", kind, step_thresholds.stored_steps(context, kind, steps.widths[0], "rate"))


def _rows(bound: str, kind: str, found: xr.Dataset) -> Iterator[dict[str, Any]]:
    asked: Mapping[str, Interval] = exponents(found, "asked")
    for name, own in exponents(found).items():
        yield _row(bound, kind, name, own, asked[name].estimate)


def _row(bound: str, kind: str, name: str, own: Interval, asked: float) -> dict[str, Any]:
    return {"quantity": "exponent", "bound": bound, "data": kind, "parameter": name, "value": own.estimate,
            "lower": own.lower, "upper": own.upper, "asked": asked}  # fmt: skip


def _steps(context: Context) -> Iterator[dict[str, Any]]:
    sizes = step_thresholds.sizes_of(context)
    for kind in sizes.kinds:
        for width in sizes.widths:
            stable, rate = (step_thresholds.stored_steps(context, kind, width, name) for name in ("stable", "rate"))
            shown = {"stable": (stable, "threshold"), "rate": (rate, "threshold"), "asked": (rate, "asked")}
            for quantity, (found, name) in shown.items():
                which = found.parameter.values == "τ"
                for at, values in zip(found["at"].values[:, which], found[name].values[:, which], strict=True):
                    yield from ({"quantity": quantity, "data": kind, "width": width, "x": tau, "value": value}
                                for tau, value in zip(at, values, strict=True))  # fmt: skip


def _draw_exponents(axes: Axes, rows: pd.DataFrame, labels: list[tuple[str, str]], below: float) -> None:
    kinds = [kind for kind in _COLOURS if kind in set(rows.data)]
    for row in rows.to_dict("records"):
        at = labels.index((row["bound"], row["parameter"])) + 0.18 * (2 * kinds.index(row["data"]) - len(kinds) + 1)
        colour = _COLOURS[row["data"]]
        axes.plot([row["lower"], row["upper"]], [at, at], "-", color=colour, linewidth=1)
        axes.plot([row["value"]], [at], "o", color=colour, markersize=3.5)
        axes.plot([row["asked"]], [at], "s", markerfacecolor="none", color="0.3", markersize=5)
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_yticks(range(len(labels)), [f"{bound}, ${_SYMBOLS[name]}$" for bound, name in labels])
    axes.set(ylim=(len(labels) - 0.5, -0.5), xlabel="exponent")
    handles = [Line2D([], [], color=_COLOURS[kind], marker="o", markersize=3.5, label=_NAMES[kind]) for kind in kinds]
    handles.append(Line2D([], [], color="0.3", marker="s", markerfacecolor="none", linestyle="", label="asked for"))
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.4, below), frameon=False, ncols=3,
                handlelength=1.2, columnspacing=1)  # fmt: skip


def _draw_steps(axes: Axes, table: pd.DataFrame, below: float) -> None:
    widths = sorted(table.width.unique(), reverse=True)
    for (kind, width, quantity), part in table.groupby(["data", "width", "quantity"]):
        means = np.exp(np.log(part.value).groupby(part.x).mean())
        if quantity == "asked" and width != widths[0]:
            continue  # the same at every width
        line = {"stable": "-", "rate": "--", "asked": ":"}[str(quantity)]
        marker = "" if quantity == "asked" else _MARKERS[widths.index(width)]
        axes.plot(means.index, means, line, marker=marker, markersize=3.5, color=_COLOURS[str(kind)], linewidth=1)
    axes.axhline(2, color="0.4", linewidth=0.8)
    ticks = sorted(table.x.unique())
    axes.set(xscale="log", yscale="log", xlabel=r"local steps $\tau$",
             ylabel=r"largest $\eta\,\max_c\lambda_{\max}(H^\infty_{cc})$")  # fmt: skip
    axes.set_xticks(ticks, [f"{tau:g}" for tau in ticks])
    axes.minorticks_off()
    lines: dict[str, Any] = {"stable": "-", "with C4's rate": "--", "C4 asks for": ":"}
    handles = [Line2D([], [], color="0.3", linestyle=line, label=name) for name, line in lines.items()]
    handles += [Line2D([], [], color="0.3", marker=_MARKERS[k], linestyle="", markersize=4, label=f"$m={width:g}$")
                for k, width in enumerate(widths)]  # fmt: skip
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, below), frameon=False, ncols=2)
