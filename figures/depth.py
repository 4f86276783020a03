"""Depth: the constants that the bounds of deep networks imply, over the width and over the depth (D1 … D5)."""

import dataclasses
from collections.abc import Iterator
from typing import Literal

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from figures.data_sets import deep_problems
from figures.figure import Figure
from figures.style import DATA_COLOURS, at_least_a_decade, colours, draw_seeds, label_decades, new_figure, power
from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.statistics import implied_constant
from verification.claims.deep.initialization import (
    Sweep,
    deviation,
    largest,
    over_depth,
    over_width,
    shape_of,
    smallest,
)
from verification.claims.deep.perturbation import LEAST, MIDDLE, columns, perturbation
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.deep_perturbation import CHOICES, Perturbation
from verification.papers import ALLEN_ZHU
from verification.store import Job

__all__ = ["FIGURE"]


@dataclasses.dataclass(frozen=True)
class _Panel:
    """A bound, the quantity of `Perturbation` that it speaks of ("": one at initialization), and the axis' label."""

    claim: str
    quantity: str
    label: str


_PANELS = (
    _Panel("D1", "", r"D1: $\max|\|h_{i,l}\|-1|$"),
    _Panel("D2-upper", "", r"D2: $\max\,\|\nabla F\|^2/F$"),
    _Panel("D2-lower", "", r"D2: $\min\,\|\nabla F\|^2/F$"),
    _Panel("D5", "", r"D5: $\|\Theta/m-\Theta^\infty\|_2$"),
    _Panel("D3", "flips", r"D3: $\max\,\|D'-D\|_0$"),
    _Panel("D4", "moved", r"D4: $\max\,\|h'_l-h_l\|$"),
)
_STYLES: dict[str, Literal["--", "-"]] = {"random": "--", "adversarial": "-"}


def _sweeps(context: Context, problem: Problem) -> tuple[Sweep, Sweep]:
    return over_width(context, problem), over_depth(context, problem)


def _beside(context: Context, problem: Problem, swept: Sweep) -> list[Perturbation]:
    """W' beside every network of a sweep."""
    return [perturbation(context, problem, start.width, start.depth, MIDDLE) for start in swept.starts]


def _needs(context: Context) -> Iterator[Job]:
    for problem in deep_problems(context):
        for swept in _sweeps(context, problem):
            yield from swept.starts
            yield from _beside(context, problem, swept)


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a claim, data set, sweep, shape, choice of W' and seed: the implied constant."""
    tables = []
    for problem in deep_problems(context):
        for swept in _sweeps(context, problem):
            jobs = _beside(context, problem, swept)
            for panel in _PANELS:
                for choice in CHOICES if panel.quantity else ("",):
                    if panel.quantity:
                        values = np.maximum(columns(results, jobs, choice, panel.quantity), LEAST[panel.quantity])
                        bound = BOUNDS[panel.claim]
                        shape = [bound.evaluate(m=job.width, L=job.depth, omega=job.radius) for job in jobs]
                    else:
                        values, shape = _at_start(results, swept, panel.claim)
                    constants = implied_constant(values, np.array(shape))
                    about = {"claim": panel.claim, "data": problem.source.label, "over": swept.parameter, "how": choice}
                    for value, column in zip(swept.values, constants.T, strict=True):
                        seeds = np.arange(len(column))
                        tables.append(pd.DataFrame(about | {"value": value, "seed": seeds, "constant": column}))
    return pd.concat(tables, ignore_index=True)


def _at_start(results: Results, swept: Sweep, claim: str) -> tuple[np.ndarray, list[float]]:
    """What is measured at initialization, [seeds points], and the bound; that of D5 is m^(−1/2)."""
    if claim == "D5":
        errors = [results[start].error.sel(multiple=1).values for start in swept.starts]
        return np.stack(errors, axis=1), [start.width**-0.5 for start in swept.starts]
    measure = {"D1": deviation, "D2-upper": largest, "D2-lower": smallest}[claim]
    return measure(results, swept), list(shape_of(claim, swept))


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """A pair of panels a bound, over m and over L, with one y axis of at least a decade and a half."""
    figure = new_figure(7.2, 5.4)
    halves = figure.add_gridspec(1, 2)
    for side in (0, 1):
        grid = figure.add_subfigure(halves[0, side]).subplots(3, 2, sharex="col", sharey="row")
        for row, panel in zip(grid, _PANELS[side::2], strict=True):
            for axes, parameter in zip(row, ("m", "L"), strict=True):
                _curves(axes, table[(table.claim == panel.claim) & (table.over == parameter)])
            at_least_a_decade(row[0], 1.5)
            label_decades(row[0])
            row[0].set_title(panel.label, loc="left", fontsize="small")
        for axes, parameter in zip(grid[-1], ("m", "L"), strict=True):
            _x_axis(axes, parameter, sorted(table[table.over == parameter].value.unique()))
    handles = [Line2D([], [], color=colour, label=kind) for kind, colour in colours(table).items()]
    handles += [Line2D([], [], color="0.3", linestyle=_STYLES[how], label=f"{how} $W'$") for how in CHOICES]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    figure.supylabel("implied constant: measured / bound", fontsize="medium")
    return figure


def _caption(context: Context, table: pd.DataFrame) -> str:
    sizes = context.preset.deep
    return (
        "Depth: the constants C = measured / bound that the O(·) and Ω(·) of deep ReLU networks imply, over the width "
        f"m (at L = {sizes.depths[0]}) and over the number of trained layers L (at m = {sizes.widths[0]}); flat is "
        "what the bounds say, falling (for the minimum: rising) is room. At initialization: layer norms over "
        "√(L log(nL/δ)/m), 2λ_max(Θ) over Lnm/o, 2λ_min(Θ) over mφ/(on²), the limit's error times √m (of L, D5 says "
        f"nothing). Beside it, ‖W'_l‖₂ ≤ ω = {MIDDLE:g}: flipped patterns over mLω^(2/3), change of the layers' "
        f"outputs over ωL^(5/2)√log m. n = {sizes.samples[0]} samples (digits 3 against 8; the sphere in 64 dimensions "
        f"with a pair at {sizes.separations[0]:g}); means of {sizes.start_seeds} seeds "
        f"at initialization and {sizes.few_seeds} beside it, bands their range. Claims D1, "
        "D2, D3, D4, D5."
    )


def _curves(axes: Axes, table: pd.DataFrame) -> None:
    for (kind, how), part in table.groupby(["data", "how"], sort=False):
        seeds = part.pivot(index="seed", columns="value", values="constant")
        style = {"color": DATA_COLOURS[str(kind)], "linestyle": _STYLES.get(str(how), "-"), "marker": "o"}
        draw_seeds(axes, seeds.columns.to_numpy(float), seeds.to_numpy(), markersize=2.5, linewidth=1, **style)
    axes.set(xscale="log", yscale="log")


def _x_axis(axes: Axes, parameter: str, values: list[float]) -> None:
    axes.set_xticks(values, [power(int(value)) if parameter == "m" else str(int(value)) for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"${parameter}$")


_SHOWS = "Flat: the bound has the right shape. Falling, or of a lower bound (D2: min) rising: it leaves room."

FIGURE = Figure(ALLEN_ZHU.name, ("D1", "D2", "D3", "D4", "D5"), _needs, _data, _draw, _caption, _SHOWS)
