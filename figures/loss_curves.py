"""Loss by rounds at several widths, two-layer and deep, Local GD and Local SGD, with the predicted curves (C7)."""

from typing import NamedTuple

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from verification.figure_runs import CurveRun

from figures.style import draw_seeds, label_decades, new_figure, power, whole_rounds
from verification.context import Context

__all__ = ["caption", "data", "draw", "needs"]

_CLIENTS, _STEPS, _BATCH = 4, 5, 2
_NAMES = {0: "Local GD", _BATCH: f"Local SGD, $b={_BATCH}$"}

_DEPTH = 3  # trained layers of the deep half


class _Sizes(NamedTuple):
    """n, m of either half, rounds and seeds."""

    samples: int
    widths: tuple[int, ...]
    deep_widths: tuple[int, ...]
    rounds: int
    seeds: int


_SIZES = {
    "smoke": _Sizes(8, (2**6, 2**8), (2**6, 2**7), 4, 2),
    "quick": _Sizes(16, (2**6, 2**8, 2**10, 2**12), (2**6, 2**8, 2**10), 60, 4),
    "full": _Sizes(64, tuple(2**k for k in range(6, 15)), tuple(2**k for k in range(6, 12)), 200, 12),
}


def needs(context: Context) -> list[CurveRun]:
    """The stored runs that the figure reads: two-layer networks, then deep ones."""
    sizes = _sizes(context)
    made = context.problems(sizes.samples)[0]
    steps = {
        0: 0.5 / made.largest_client_eigenvalue(_CLIENTS),
        _DEPTH: 0.5 / made.largest_deep_eigenvalue(_CLIENTS, _DEPTH),
    }
    return [
        CurveRun(
            made.kind, made.num_samples, made.seed, _CLIENTS, width,
            step_size=steps[depth] / (width if depth else 1), local_steps=_STEPS, num_rounds=sizes.rounds,
            seeds=tuple(44_000 * (context.seed + 1) + k for k in range(sizes.seeds)), batch_size=batch, depth=depth,
        )
        for depth, widths in _halves(sizes).items() for batch in _NAMES for width in widths
    ]  # fmt: skip


def data(context: Context) -> pd.DataFrame:
    """One row a depth (0: two-layer), algorithm, width, seed and round: trained and predicted loss."""
    tables = []
    for spec in needs(context):
        losses = context.run(spec)[["loss", "predicted_loss"]].to_dataframe().reset_index()
        tables.append(losses.assign(**{"depth": spec.depth, "batch size": spec.batch_size, "width": spec.width}))
    return pd.concat(tables, ignore_index=True)


def draw(context: Context) -> Figure:
    """A row of panels a depth, a column an algorithm; trained as lines with bands, predicted dotted."""
    table = data(context)
    halves = _halves(_sizes(context))
    every = sorted({width for widths in halves.values() for width in widths})
    colours = dict(zip(every, sns.color_palette("viridis", len(every)), strict=True))
    figure = new_figure(7.2, 5.4)
    grid = figure.subplots(2, 2, sharex=True, sharey="row")
    for row, (depth, widths) in zip(grid, halves.items(), strict=True):
        for axes, (batch, name) in zip(row, _NAMES.items(), strict=True):
            half = table[(table.depth == depth) & (table["batch size"] == batch)]
            for width in widths:
                _curve(axes, half[half.width == width], colours[width])
            network = f"{depth} trained layers" if depth else "two layers"
            axes.set_title(f"{network}, {name}", loc="right", fontsize="medium")
            axes.set_xlim(0, table["round"].max())
            whole_rounds(axes)
        row[0].set_ylabel("loss $L(t)$")
        label_decades(row[0])
    for axes in grid[-1]:
        axes.set_xlabel("round $t$")
    handles = [Line2D([], [], color=colour, label=f"$m=${power(width)}") for width, colour in colours.items()]
    handles.append(Line2D([], [], color="0.3", linestyle=":", label="predicted"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), 7), frameon=False, handlelength=1.2
    )
    return figure


def caption(context: Context) -> str:
    """Setting of the figure."""
    sizes = _sizes(context)
    return (
        f"Loss by rounds at several widths, two-layer networks (top) and deep ones with L = {_DEPTH} trained layers "
        f"(bottom), full batches (left) and fresh batches of {_BATCH} samples in every local step (right): digits 3 "
        f"against 8, n = {sizes.samples}, K = {_CLIENTS} clients split by label, τ = {_STEPS} local steps, η = "
        f"0.5/max_c λ_max of H^∞_cc, deep of m Θ^∞_cc. Means of {sizes.seeds} seeds, bands their range; dotted: mean "
        f"of the kernel-regime predictions from each network's own Gram matrix at the start, for batches their "
        f"expectation. Claims C7, C7-bias."
    )


def _sizes(context: Context) -> _Sizes:
    return _SIZES.get(context.preset.name, _SIZES["full"])


def _halves(sizes: _Sizes) -> dict[int, tuple[int, ...]]:
    """Widths by depth; 0 is the two-layer network."""
    return {0: sizes.widths, _DEPTH: sizes.deep_widths}


def _curve(axes: Axes, table: pd.DataFrame, colour: object) -> None:
    trained, predicted = (
        table.pivot(index="seed", columns="round", values=name) for name in ("loss", "predicted_loss")
    )
    draw_seeds(axes, trained.columns.to_numpy(), trained.to_numpy(), color=colour, linewidth=1.2)
    axes.plot(predicted.columns, predicted.mean(), ":", color=colour, linewidth=1.2)
