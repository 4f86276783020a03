"""Loss by rounds at several widths, Local GD and Local SGD, with the predicted curves (C7)."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.style import draw_seeds, label_decades, new_figure, power, whole_rounds
from verification.context import Context
from verification.figure_runs import CurveRun

__all__ = ["caption", "data", "draw", "needs"]

_CLIENTS, _STEPS, _BATCH = 4, 5, 2
_NAMES = {0: "Local GD", _BATCH: f"Local SGD, $b={_BATCH}$"}

# Samples, widths, rounds, seeds.
_SIZES = {
    "smoke": (8, (2**6, 2**8), 4, 2),
    "quick": (16, (2**6, 2**8, 2**10, 2**12), 60, 4),
    "full": (64, tuple(2**k for k in range(6, 15)), 200, 12),
}


def needs(context: Context) -> list[CurveRun]:
    """The stored runs that the figure reads."""
    samples, widths, rounds, seeds = _sizes(context)
    made = context.problems(samples)[0]
    return [
        CurveRun(
            made.kind, made.num_samples, made.seed, _CLIENTS, width,
            step_size=0.5 / made.largest_client_eigenvalue(_CLIENTS), local_steps=_STEPS, num_rounds=rounds,
            seeds=tuple(44_000 * (context.seed + 1) + k for k in range(seeds)), batch_size=batch,
        )
        for batch in _NAMES for width in widths
    ]  # fmt: skip


def data(context: Context) -> pd.DataFrame:
    """One row an algorithm, width, seed and round: trained and predicted loss."""
    tables = []
    for spec in needs(context):
        losses = context.run(spec)[["loss", "predicted_loss"]].to_dataframe().reset_index()
        tables.append(losses.assign(**{"batch size": spec.batch_size, "width": spec.width}))
    return pd.concat(tables, ignore_index=True)


def draw(context: Context) -> Figure:
    """One panel an algorithm; trained as lines with bands, predicted dotted."""
    table = data(context)
    _, widths, *_ = _sizes(context)
    figure = new_figure(7.2, 3.3)
    colours = sns.color_palette("viridis", len(widths))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (batch, name) in zip(panels, _NAMES.items(), strict=True):
        for width, colour in zip(widths, colours, strict=True):
            _curve(axes, table[(table["batch size"] == batch) & (table.width == width)], colour)
        axes.set(xlabel="round $t$", xlim=(0, table["round"].max()))
        axes.set_title(name, loc="right", fontsize="medium")
        whole_rounds(axes)
    panels[0].set_ylabel("loss $L(t)$")
    label_decades(panels[0])
    handles = [Line2D([], [], color=c, label=f"$m=${power(m)}") for m, c in zip(widths, colours, strict=True)]
    handles.append(Line2D([], [], color="0.3", linestyle=":", label="predicted"))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, handlelength=1.2)
    return figure


def caption(context: Context) -> str:
    """Setting of the figure."""
    samples, _, _, seeds = _sizes(context)
    return (
        f"Loss by rounds at several widths, full batches (left) and fresh batches of {_BATCH} samples in every local "
        f"step (right): digits 3 against 8, n = {samples}, K = {_CLIENTS} clients split by label, τ = {_STEPS} local "
        f"steps, η = 0.5/max_c λ_max(H^∞_cc). Means of {seeds} seeds, bands their range; dotted: mean of the "
        f"kernel-regime predictions from each network's own Gram matrix at the start, for batches their expectation. "
        f"Claims C7, C7-bias."
    )


def _sizes(context: Context) -> tuple[int, tuple[int, ...], int, int]:
    return _SIZES.get(context.preset.name, _SIZES["full"])


def _curve(axes: Axes, table: pd.DataFrame, colour: object) -> None:
    trained, predicted = (
        table.pivot(index="seed", columns="round", values=name) for name in ("loss", "predicted_loss")
    )
    draw_seeds(axes, trained.columns.to_numpy(), trained.to_numpy(), color=colour, linewidth=1.2)
    axes.plot(predicted.columns, predicted.mean(), ":", color=colour, linewidth=1.2)
