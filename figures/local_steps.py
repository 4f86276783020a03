"""Loss by rounds and by gradient steps for several numbers of local steps, iid and by label (C7)."""

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.figure import Figure
from figures.style import draw_seeds, label_decades, new_figure, whole_rounds
from verification.context import Context
from verification.engine import Results
from verification.jobs.curves import Curve, Scheme
from verification.jobs.training import Training
from verification.papers import DENG

__all__ = ["FIGURE"]

_CLIENTS = 4
_SCHEMES: dict[Scheme, str] = {"iid": "iid", "training": "by label"}

# Samples, width, seeds, numbers of local steps, least number of rounds, least number of gradient steps.
_SIZES = {
    "smoke": (8, 2**6, 2, (1, 5), 3, 10),
    "quick": (16, 2**9, 4, (1, 2, 5, 10, 20, 50), 30, 300),
    "full": (64, 2**12, 8, (1, 2, 5, 10, 20, 50), 100, 2000),
}


def _needs(context: Context) -> list[Curve]:
    samples, width, seeds, steps, rounds, total = _SIZES[context.preset.name]
    problem = context.problems(samples)[0]
    # One step size for both splits: half of what is stable for the larger of their clients' eigenvalues is below it.
    step_size = 0.5 / float(np.linalg.eigvalsh(problem.gram)[-1])
    drawn = context.seeds("figure local_steps", seeds)
    return [
        Curve(Training(problem.source, _CLIENTS, width, step_size, tau, max(rounds, total // tau), drawn), scheme)
        for scheme in _SCHEMES
        for tau in steps
    ]


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a split, number of local steps, seed, round and quantity: trained and predicted loss."""
    tables = []
    for job in _needs(context):
        losses = results[job][["loss", "predicted_loss"]].to_dataframe().reset_index()
        tau = job.training.local_steps
        losses["split"], losses["local steps"] = _SCHEMES[job.scheme], tau
        tables.append(losses.assign(step=losses["round"] * tau))
    return pd.concat(tables, ignore_index=True)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Rows: iid and by label; columns: by rounds and by gradient steps. Trained as lines, predicted dotted."""
    *_, steps, rounds, total = _SIZES[context.preset.name]
    figure = new_figure(7.2, 5.2)
    panels = figure.subplots(2, 2, sharey=True, sharex="col")
    colours = sns.color_palette("viridis", len(steps))
    for row, (name, part) in zip(panels, table.groupby("split", sort=False), strict=True):
        for axes, x in zip(row, ("round", "step"), strict=True):
            for tau, colour in zip(steps, colours, strict=True):
                _curve(axes, part[part["local steps"] == tau], x, colour)
            axes.set_title(f"{name}", loc="right", fontsize="medium")
        row[0].set_ylabel("loss $L(t)$")
    for axes, name, end in zip(panels[1], ("round $t$", r"gradient steps $\tau t$"), (rounds, total), strict=True):
        axes.set(xlabel=name, xlim=(0, end))
        whole_rounds(axes)
    _show_what_is_seen(panels[0, 0], table, rounds, total)
    handles = [Line2D([], [], color=c, label=rf"$\tau={tau}$") for tau, c in zip(steps, colours, strict=True)]
    handles.append(Line2D([], [], color="0.3", linestyle=":", label="predicted"))
    shape = {"ncols": 7, "handlelength": 1.2, "columnspacing": 1}
    figure.legend(handles=handles, loc="outside lower center", frameon=False, **shape)
    return figure


def _caption(context: Context, table: pd.DataFrame) -> str:
    samples, width, seeds, *_ = _SIZES[context.preset.name]
    return (
        f"Local GD with τ local steps by rounds (left) and by gradient steps (right), samples dealt out to clients at "
        f"random (top) and by label (bottom): digits 3 against 8, n = {samples}, m = {width}, K = {_CLIENTS} clients, "
        f"η = 0.5/λ_max(H^∞). Means of {seeds} seeds, bands their range; dotted: mean of the kernel-regime predictions "
        f"from each network's own Gram matrix at the start. Claim C7."
    )


def _curve(axes: Axes, table: pd.DataFrame, x: str, colour: object) -> None:
    trained, predicted = (table.pivot(index="seed", columns=x, values=name) for name in ("loss", "predicted_loss"))
    draw_seeds(axes, trained.columns.to_numpy(), trained.to_numpy(), color=colour, linewidth=1.2)
    axes.plot(predicted.columns, predicted.mean(), ":", color=colour, linewidth=1.2)


def _show_what_is_seen(axes: Axes, table: pd.DataFrame, rounds: int, total: int) -> None:
    """A common y axis from the losses inside either column, since curves go on to the right."""
    seen = table[(table["round"] <= rounds) | (table.step <= total)].loss
    axes.set(yscale="log", ylim=(seen.min() / 1.3, seen.max() * 1.3))
    label_decades(axes)


_SHOWS = "More local steps save rounds (left), and cost gradient steps (right), as predicted (dotted)."

FIGURE = Figure(DENG.name, ("C7",), _needs, _data, _draw, _caption, _SHOWS)
