"""Loss by rounds at several widths, two-layer and deep, Local GD and Local SGD, with the predicted curves (C7)."""

from collections.abc import Iterator
from typing import NamedTuple

import matplotlib.figure
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.figure import Figure
from figures.style import draw_seeds, label_decades, new_figure, power, whole_rounds
from verification.context import Context
from verification.engine import Results
from verification.jobs.curves import Curve
from verification.jobs.training import Training
from verification.papers import DENG

__all__ = ["FIGURE"]

_CLIENTS, _STEPS, _BATCH = 4, 5, 2

# Columns of panels: the batch size and its name.
_ALGORITHMS = {None: "Local GD", _BATCH: f"Local SGD, $b={_BATCH}$"}

_DEPTH = 3  # trained layers of the deep half


class _Sizes(NamedTuple):
    """n, m of either half, rounds and seeds."""

    samples: int
    widths: tuple[int, ...]
    deep_widths: tuple[int, ...]
    rounds: int
    seeds: int

    @property
    def halves(self) -> dict[str, tuple[int, ...]]:
        """Widths of the two-layer network and of the deep one."""
        return {"two layers": self.widths, f"{_DEPTH} trained layers": self.deep_widths}


_SIZES = {
    "smoke": _Sizes(8, (2**6, 2**8), (2**6, 2**7), 4, 2),
    "quick": _Sizes(16, (2**6, 2**8, 2**10, 2**12), (2**6, 2**8, 2**10), 60, 4),
    "full": _Sizes(64, tuple(2**k for k in range(6, 15)), tuple(2**k for k in range(6, 12)), 200, 12),
}


def _labelled(context: Context) -> Iterator[tuple[str, str, Curve]]:
    """Network, algorithm and job of every curve."""
    sizes = _SIZES[context.preset.name]
    problem = context.problems(sizes.samples)[0]
    largest = problem.largest_client_eigenvalue(_CLIENTS), problem.largest_deep_eigenvalue(_CLIENTS, _DEPTH)
    seeds = context.seeds("figure loss_curves", sizes.seeds)
    for (network, widths), depth, eigenvalue in zip(sizes.halves.items(), (None, _DEPTH), largest, strict=True):
        for batch_size, algorithm in _ALGORITHMS.items():
            for width in widths:
                step = 0.5 / eigenvalue if depth is None else 0.5 / (width * eigenvalue)
                run = Training(
                    problem.source,
                    _CLIENTS,
                    width,
                    step,
                    _STEPS,
                    sizes.rounds,
                    seeds,
                    depth=depth,
                    batch_size=batch_size,
                )
                yield network, algorithm, Curve(run)


def _needs(context: Context) -> list[Curve]:
    return [job for _, _, job in _labelled(context)]


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a network, algorithm, width, seed and round: trained and predicted loss."""
    tables = []
    for network, algorithm, job in _labelled(context):
        losses = results[job][["loss", "predicted_loss"]].to_dataframe().reset_index()
        tables.append(losses.assign(network=network, algorithm=algorithm, width=job.training.width))
    return pd.concat(tables, ignore_index=True)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """A row of panels a network, a column an algorithm; trained as lines with bands, predicted dotted."""
    halves = _SIZES[context.preset.name].halves
    every = sorted({width for widths in halves.values() for width in widths})
    colours = dict(zip(every, sns.color_palette("viridis", len(every)), strict=True))
    figure = new_figure(7.2, 5.4)
    grid = figure.subplots(2, 2, sharex=True, sharey="row")
    for row, (network, widths) in zip(grid, halves.items(), strict=True):
        for axes, algorithm in zip(row, _ALGORITHMS.values(), strict=True):
            part = table[(table.network == network) & (table.algorithm == algorithm)]
            for width in widths:
                _curve(axes, part[part.width == width], colours[width])
            axes.set_title(f"{network}, {algorithm}", loc="right", fontsize="medium")
            axes.set_xlim(0, table["round"].max())
            whole_rounds(axes)
        row[0].set_ylabel("loss $L(t)$")
        label_decades(row[0])
    for axes in grid[-1]:
        axes.set_xlabel("round $t$")
    handles = [Line2D([], [], color=colour, label=f"$m=${power(width)}") for width, colour in colours.items()]
    handles.append(Line2D([], [], color="0.3", linestyle=":", label="predicted"))
    columns = min(len(handles), 7)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, handlelength=1.2)
    return figure


def _caption(context: Context, table: pd.DataFrame) -> str:
    sizes = _SIZES[context.preset.name]
    return (
        f"Loss by rounds at several widths, two-layer networks (top) and deep ones with L = {_DEPTH} trained layers "
        f"(bottom), full batches (left) and fresh batches of {_BATCH} samples in every local step (right): digits 3 "
        f"against 8, n = {sizes.samples}, K = {_CLIENTS} clients split by label, τ = {_STEPS} local steps, η = "
        f"0.5/max_c λ_max of H^∞_cc, deep of m Θ^∞_cc. Means of {sizes.seeds} seeds, bands their range; dotted: mean "
        f"of the kernel-regime predictions from each network's own Gram matrix at the start, for batches their "
        f"expectation. Claims C7, C7-bias."
    )


def _curve(axes: Axes, table: pd.DataFrame, colour: object) -> None:
    trained, predicted = (
        table.pivot(index="seed", columns="round", values=name) for name in ("loss", "predicted_loss")
    )
    draw_seeds(axes, trained.columns.to_numpy(), trained.to_numpy(), color=colour, linewidth=1.2)
    axes.plot(predicted.columns, predicted.mean(), ":", color=colour, linewidth=1.2)


_SHOWS = "Losses follow what the kernel predicts without training (dotted), and fall faster in wider networks."

FIGURE = Figure(DENG.name, ("C7", "C7-bias"), _needs, _data, _draw, _caption, _SHOWS)
