"""Depth: the constants that the bounds of deep networks imply, over the width and over the depth (D1 … D5)."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from verification.depth_runs import KINDS, DepthRun
from verification.sampling import DELTA

from figures.data_sets import data_name, deep_problems
from figures.style import DATA_COLOURS, at_least_a_decade, draw_seeds, label_decades, new_figure, power
from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.statistics import implied_constant
from verification.context import Context, Problem

__all__ = ["caption", "data", "draw", "needs"]


@dataclasses.dataclass(frozen=True)
class _Panel:
    """A bound, the stored quantity, its multiple that the bound speaks of, and the axis' label."""

    claim: str
    quantity: str
    factor: float
    label: str


_PANELS = (
    _Panel("D1", "norms", 1, r"D1: $\max|\|h_{i,l}\|-1|$"),
    _Panel("D2-upper", "largest", 2, r"D2: $\max\,\|\nabla F\|^2/F$"),
    _Panel("D2-lower", "smallest", 2, r"D2: $\min\,\|\nabla F\|^2/F$"),
    _Panel("D5", "error", 1, r"D5: $\|\Theta/m-\Theta^\infty\|_2$"),
    _Panel("D3", "flips", 1, r"D3: $\max\,\|D'-D\|_0$"),
    _Panel("D4", "moved", 1, r"D4: $\max\,\|h'_l-h_l\|$"),
)
_STYLES: dict[str, Literal["--", "-"]] = {"random": "--", "adversarial": "-"}
# A count of 0 flips has no logarithm; it stands for less than one.
_LEAST_FLIPS = 0.5


def needs(context: Context) -> list[DepthRun]:
    """The stored runs that the figure reads, each once."""
    return list(dict.fromkeys(spec for made in deep_problems(context) for _, spec in _sweeps(context, made)))


def data(context: Context) -> pd.DataFrame:
    """One row a claim, data set, sweep, shape, choice of W' and seed: the implied constant."""
    rows = []
    for made in deep_problems(context):
        for parameter, spec in _sweeps(context, made):
            run = context.run(spec)
            for panel in _PANELS:
                measured = run[panel.quantity]
                for how in KINDS if "how" in measured.dims else ("",):
                    values = panel.factor * (measured.sel(how=how) if how else measured).values
                    least = _LEAST_FLIPS if panel.quantity == "flips" else 0.0
                    constants = implied_constant(np.maximum(values, least), np.array(_shape(panel.claim, made, spec)))
                    rows += [
                        {"claim": panel.claim, "data": data_name(made.kind), "over": parameter, "width": spec.width,
                         "depth": spec.depth, "how": how, "seed": seed, "constant": float(constant)}
                        for seed, constant in zip(spec.seeds, constants, strict=True)
                    ]  # fmt: skip
    return pd.DataFrame(rows)


def draw(context: Context) -> Figure:
    """A pair of panels a bound, over m and over L, with one y axis of at least a decade and a half."""
    table = data(context)
    figure = new_figure(7.2, 5.4)
    halves = figure.add_gridspec(1, 2)
    for side in (0, 1):
        grid = figure.add_subfigure(halves[0, side]).subplots(3, 2, sharex="col", sharey="row")
        for row, panel in zip(grid, _PANELS[side::2], strict=True):
            for axes, (parameter, column) in zip(row, (("m", "width"), ("L", "depth")), strict=True):
                _curves(axes, table[(table.claim == panel.claim) & (table.over == parameter)], column)
            at_least_a_decade(row[0], 1.5)
            label_decades(row[0])
            row[0].set_title(panel.label, loc="left", fontsize="small")
        for axes, parameter in zip(grid[-1], ("m", "L"), strict=True):
            _x_axis(axes, parameter, sorted(value for over, value in _values(context) if over == parameter))
    handles = [Line2D([], [], color=colour, label=kind) for kind, colour in DATA_COLOURS.items()]
    handles += [Line2D([], [], color="0.3", linestyle=_STYLES[how], label=f"{how} $W'$") for how in KINDS]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    figure.supylabel("implied constant: measured / bound", fontsize="medium")
    return figure


def caption(context: Context) -> str:
    """Setting of the figure."""
    sizes = context.preset.deep
    spec = needs(context)[0]
    return (
        "Depth: the constants C = measured / bound that the O(·) and Ω(·) of deep ReLU networks imply, over the width "
        f"m (at L = {sizes.depths[0]}) and over the number of trained layers L (at m = {sizes.widths[0]}); flat is "
        "what the bounds say, falling (for the minimum: rising) is room. At initialization: layer norms over "
        "√(L log(nL/δ)/m), 2λ_max(Θ) over Lnm/o, 2λ_min(Θ) over mφ/(on²), the limit's error times √m (of L, D5 says "
        f"nothing). Beside it, ‖W'_l‖₂ ≤ ω = {spec.radius:g}: flipped patterns over mLω^(2/3), change of the layers' "
        f"outputs over ωL^(5/2)√log m. n = {spec.num_samples} samples (digits 3 against 8; the sphere in 64 dimensions "
        f"with a pair at {sizes.separations[0]:g}); means of {len(spec.seeds)} seeds, bands their range. Claims D1, "
        "D2, D3, D4, D5."
    )


def _values(context: Context) -> list[tuple[str, int]]:
    """The sweeps: parameter and value, all else at the preset's first value."""
    sizes = context.preset.deep
    return [("m", m) for m in sizes.start_widths] + [("L", depth) for depth in sorted(sizes.depths)]


def _sweeps(context: Context, made: Problem) -> list[tuple[str, DepthRun]]:
    sizes = context.preset.deep
    return [
        (over, DepthRun(
            made.kind, made.num_samples, made.seed, 1, value if over == "m" else sizes.widths[0], step_size=0.0,
            local_steps=0, num_rounds=0, seeds=tuple(48_000 * (context.seed + 1) + k for k in range(sizes.few_seeds)),
            depth=value if over == "L" else sizes.depths[0],
        ))
        for over, value in _values(context)
    ]  # fmt: skip


def _shape(claim: str, made: Problem, spec: DepthRun) -> float:
    """The bound at the run's numbers; that of D5 is m^(−1/2)."""
    if claim == "D5":
        return spec.width**-0.5
    numbers: Mapping[str, float] = {
        "m": spec.width, "L": spec.depth, "n": spec.num_samples, "phi": made.dataset.separation, "o": 1,
        "delta": DELTA, "loss": 1.0, "omega": spec.radius,
    }  # fmt: skip
    return BOUNDS[claim].evaluate(**{symbol: numbers[symbol] for symbol in BOUNDS[claim].needs})


def _curves(axes: Axes, table: pd.DataFrame, column: str) -> None:
    for (kind, how), part in table.groupby(["data", "how"], sort=False):
        seeds = part.pivot(index="seed", columns=column, values="constant")
        draw_seeds(axes, seeds.columns.to_numpy(float), seeds.to_numpy(), color=DATA_COLOURS[str(kind)],
                   linestyle=_STYLES.get(str(how), "-"), marker="o", markersize=2.5, linewidth=1)  # fmt: skip
    axes.set(xscale="log", yscale="log")


def _x_axis(axes: Axes, parameter: str, values: list[int]) -> None:
    axes.set_xticks(values, [power(value) if parameter == "m" else str(value) for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"${parameter}$")
