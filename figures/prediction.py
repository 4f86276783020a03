"""Predicted and trained losses of Local GD at several widths, and the prediction's error against the width (C7)."""

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from figures.data_sets import problems
from figures.figure import Figure
from figures.style import colours, draw_slope, new_figure, power
from verification.claims.prediction import sweep
from verification.context import Context
from verification.engine import Results
from verification.jobs.predicted import PredictedTraining
from verification.papers import OWN

__all__ = ["FIGURE"]

# Solid and filled: by the network's own Gram matrix; dashed and open: by the infinite one.
_STYLES = {"network": ("-", "full", r"$\Theta(W(0))$"), "infinite": ("--", "none", r"$H^\infty$")}


def _needs(context: Context) -> list[PredictedTraining]:
    shown = problems(context, context.preset.prediction.samples)
    return [job for problem in shown for job in sweep(context, problem)]


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a data set, width, seed and quantity: trained and predicted loss by round, error at the end."""
    rows = []
    for job in _needs(context):
        run = results[job]
        for k, seed in enumerate(job.seeds):
            about = {"data": job.data.label, "width": job.width, "seed": seed}
            for quantity, losses in (
                ("trained loss", run.loss[k]),
                ("predicted loss", run.predicted_loss[k].sel(predictor="network")),
            ):
                rows += [
                    about | {"quantity": quantity, "round": t, "value": float(v)} for t, v in enumerate(losses.values)
                ]
            errors = run.error[k]
            rows += [
                about
                | {"quantity": f"error, {name}", "round": job.num_rounds, "value": float(errors.sel(predictor=name))}
                for name in _STYLES
            ]
    return pd.DataFrame(rows)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Left: one network a width on the digits; right: errors with 95% intervals, fitted slopes in the legend."""
    figure = new_figure(7.2, 4.0)
    left, right = figure.subplots(1, 2)
    _losses(left, table[(table.data == "digits") & (table.seed == table.seed.min())])
    _errors(right, table)
    return figure


def _caption(context: Context, table: pd.DataFrame) -> str:
    sizes = context.preset.prediction
    return (
        f"Local GD against its kernel-regime prediction, n = {sizes.samples} samples (digits 3 against 8; the sphere "
        f"in 32 dimensions), K = {sizes.clients} clients split by label, τ = {sizes.local_steps} local steps, "
        f"η = 0.5/max_c λ_max(H^∞_cc). Left: loss on the digits, one network a width, predicted (line) from its Gram "
        f"matrix Θ(W(0)) and its residual at the start, and trained (circles). Right: relative error of the predicted "
        f"residual after {sizes.rounds} rounds, predicted from Θ(W(0)) and from H^∞; means of {sizes.seeds} seeds "
        f"with 95% intervals; grey: m^(−1/2). Claim C7."
    )


def _losses(axes: Axes, table: pd.DataFrame) -> None:
    widths = sorted(table.width.unique())
    for width, colour in zip(widths, sns.color_palette("viridis", len(widths)), strict=True):
        predicted, trained = (
            table[(table.width == width) & (table.quantity == name)] for name in ("predicted loss", "trained loss")
        )
        axes.plot(predicted["round"], predicted.value, color=colour, linewidth=1.2)
        axes.plot(trained["round"], trained.value, "o", color=colour, markersize=4, fillstyle="none")
    handles = [
        Line2D([], [], color=colour, marker="o", markersize=4, fillstyle="none", label=f"$m=${power(width)}")
        for width, colour in zip(widths, sns.color_palette("viridis", len(widths)), strict=True)
    ]
    axes.set(yscale="log", xlabel="round", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(
        handles=handles,
        title="digits: line predicted, circles trained",
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        frameon=False,
    )


def _errors(axes: Axes, table: pd.DataFrame) -> None:
    for kind, colour in colours(table).items():
        for name, (line, fill, symbol) in _STYLES.items():
            part = table[(table.data == kind) & (table.quantity == f"error, {name}")]
            marked = {"linestyle": line, "fillstyle": fill, "markeredgecolor": colour}
            draw_slope(axes, part, f"{kind}, {symbol}", color=colour, **marked)
    widths = np.array(sorted(table.width.unique()), float)
    top = table[table.quantity.str.startswith("error") & (table.width == widths[0])].groupby(["data", "quantity"])
    axes.plot(widths, 1.3 * top.value.mean().max() * (widths / widths[0]) ** -0.5, color="0.5", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="width $m$", ylabel=r"$\|r-\hat r\|/\|\hat r\|$")
    axes.set_xticks(widths, [power(width) for width in widths])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(
        title="predicted from: slope in $m$",
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        frameon=False,
        handlelength=2.5,
    )


_SHOWS = "The prediction from the kernel at the start is off by ever less as the width grows."

FIGURE = Figure(OWN.name, ("C7",), _needs, _data, _draw, _caption, _SHOWS)
