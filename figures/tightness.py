"""The tightness map: exponents that theorems ask for beside measured ones, and step sizes against local steps (C6)."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.figure import Figure
from figures.style import DATA_COLOURS, new_figure
from ntk_localsgd.statistics import Interval
from verification.claims.kernel import threshold
from verification.claims.tightness import steps, sweeps, widths
from verification.context import Context
from verification.engine import Results
from verification.papers import OWN
from verification.store import Job

__all__ = ["FIGURE"]

_COLOURS = {"digits": DATA_COLOURS["digits"], "planted": DATA_COLOURS["sphere"]}
_NAMES = {"digits": "digits", "planted": "sphere, close pair"}
_SYMBOLS = {"λ0": r"\lambda_0", "φ": r"\varphi", "τ": r"\tau", "n": "n", "K": "K", "L": "L"}
_MARKERS = ("o", "s", "D")


# Local steps of the sweep over step sizes, more than the claim's: a line takes more than two points.
_LOCAL_STEPS = {"smoke": (1, 8), "quick": (1, 2, 4, 8, 16), "full": (5, 1, 2, 10, 25)}


def _needs(context: Context) -> list[Job]:
    """The thresholds that K4-threshold, C6-width, C6-step and C6-stability judge."""
    jobs: list[Job] = list(threshold.repeats(context))
    for repeats in (*_widths(context).values(), *_step_sizes(context).values()):
        jobs += sweeps.jobs_of(repeats)
    return jobs


_Key = tuple[str, ...]


def _widths(context: Context) -> dict[_Key, list[list[sweeps.Point]]]:
    """Points by bound and kind of data."""
    sizes = context.preset.widths
    return {(bound, kind): widths.sweeps(context, bound, kind) for bound in sizes.bounds for kind in sizes.kinds}


def _step_sizes(context: Context) -> dict[tuple[str, int, str], list[list[sweeps.Point]]]:
    """Points by kind of data, width and conclusion."""
    sizes = dataclasses.replace(context.preset.steps, local_steps=_LOCAL_STEPS[context.preset.name])
    context = dataclasses.replace(context, preset=dataclasses.replace(context.preset, steps=sizes))
    return {
        (kind, width, conclusion): steps.sweeps(context, kind, width, conclusion)
        for kind in sizes.kinds
        for width in sizes.widths
        for conclusion in ("stable", "rate")
    }


def _data(context: Context, results: Results) -> pd.DataFrame:
    """Exponents: one row a bound, data set and parameter; step sizes: one row a data set, width, τ and repeat."""
    return pd.DataFrame([*_exponents(context, results), *_steps(context, results)])


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Left: a row for every bound and parameter. Right: the largest step size that is stable, or has C4's rate."""
    rows = table[table.quantity == "exponent"]
    labels = list(dict.fromkeys(zip(rows.bound, rows.parameter, strict=True)))
    figure = new_figure(7.2, 1.9 + 0.17 * max(8, len(labels)))
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    below = -0.5 / (figure.get_figheight() - 1.2)  # half an inch under the axes, in units of their height
    _draw_exponents(left, rows, labels, below)
    _draw_steps(right, table[table.quantity != "exponent"], below)
    return figure


def _caption(context: Context, table: pd.DataFrame) -> str:
    sizes = context.preset.steps
    return (
        "The tightness map. Left: the power of each parameter with which the width, or the step size, that a theorem "
        "asks for grows (open squares; constants 1), and the one needed for its conclusion with probability at least "
        "0.9 (dots; 95% intervals over data sets). K4b: λ_min(H(0)) ≥ ¾λ0 at probability 0.95; C1, C4: their rates; "
        "C2, C3: what the kernel regime learns, in twice its rounds. Right: the largest step size in units of "
        f"1/max_c λ_max(H^∞_cc) against the local steps, n = {sizes.samples[0]}, at most 4 clients by label: at which "
        "the run is stable, at which it has C4's rate, and what C4 asks for; geometric means over data sets. The "
        "kernel regime is stable below 2 whatever τ. Claims K4-threshold, C6-width, C6-step, C6-stability."
    )


def _exponents(context: Context, results: Results) -> Iterator[dict[str, Any]]:
    points = [results[job] for job in threshold.repeats(context)]
    measured, asked = (threshold.exponents(points, quantity) for quantity in ("measured", "asked"))
    for name, sign, own, claimed in zip(("n", "λ0"), (1, -1), measured, asked, strict=True):
        ends = sorted((sign * own.lower, sign * own.upper))
        yield _row(
            "K4b: width", "planted", name, Interval(sign * own.estimate, ends[0], ends[1]), sign * claimed.estimate
        )
    for (bound, kind), repeats in _widths(context).items():
        yield from _rows(f"{bound}: width", kind, sweeps.measured(results, repeats))
    for (kind, width, conclusion), repeats in _step_sizes(context).items():
        if conclusion == "rate" and width == context.preset.steps.widths[0]:
            yield from _rows("C4: step", kind, sweeps.measured(results, repeats))


def _rows(bound: str, kind: str, table: xr.Dataset) -> Iterator[dict[str, Any]]:
    asked = sweeps.exponents(table, "asked")
    for name, own in sweeps.exponents(table).items():
        yield _row(bound, kind, name, own, asked[name].estimate)


def _row(bound: str, kind: str, name: str, own: Interval, asked: float) -> dict[str, Any]:
    return {
        "quantity": "exponent",
        "bound": bound,
        "data": kind,
        "parameter": name,
        "value": own.estimate,
        "lower": own.lower,
        "upper": own.upper,
        "asked": asked,
    }


def _steps(context: Context, results: Results) -> Iterator[dict[str, Any]]:
    for (kind, width, conclusion), repeats in _step_sizes(context).items():
        table = sweeps.measured(results, repeats)
        over_steps = table.isel(point=table.parameter.values == "τ")
        shown = {"stable": {"stable": "threshold"}, "rate": {"rate": "threshold", "asked": "asked"}}[conclusion]
        for quantity, name in shown.items():
            for at, values in zip(over_steps["at"].values, over_steps[name].values, strict=True):
                about = {"quantity": quantity, "data": kind, "width": width}
                yield from (about | {"x": tau, "value": value} for tau, value in zip(at, values, strict=True))


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
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.4, below),
        frameon=False,
        ncols=3,
        handlelength=1.2,
        columnspacing=1,
    )


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
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=r"local steps $\tau$",
        ylabel=r"largest $\eta\,\max_c\lambda_{\max}(H^\infty_{cc})$",
    )
    axes.set_xticks(ticks, [f"{tau:g}" for tau in ticks])
    axes.minorticks_off()
    lines: dict[str, Any] = {"stable": "-", "with C4's rate": "--", "C4 asks for": ":"}
    handles = [Line2D([], [], color="0.3", linestyle=line, label=name) for name, line in lines.items()]
    handles += [
        Line2D([], [], color="0.3", marker=_MARKERS[k], linestyle="", markersize=4, label=f"$m={width:g}$")
        for k, width in enumerate(widths)
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, below), frameon=False, ncols=2)


_SHOWS = (
    "Dots nearer to 0 than their squares: what is needed grows slower than what a theorem asks for. Steps that are "
    "stable need not shrink with τ; those with C4's rate must."
)

FIGURE = Figure(
    OWN.name, ("K4-threshold", "C6-width", "C6-step", "C6-stability"), _needs, _data, _draw, _caption, _SHOWS
)
