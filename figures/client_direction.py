"""Local steps leave the gradient: asymmetry of their Gram matrix, and the cosine of a round, against τ (F1, F2)."""

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns

from figures import data_sets
from figures.figure import Figure
from figures.style import new_figure
from verification.claims.federated.direction import by_local_steps, sweep
from verification.context import Context
from verification.data import Split
from verification.engine import Results
from verification.jobs.client_kernels import ClientKernels
from verification.papers import HUANG

__all__ = ["FIGURE"]

_SPLITS: dict[Split, str] = {"label": "by label", "iid": "iid"}


def _jobs(context: Context) -> list[tuple[str, str, ClientKernels]]:
    """Data, what is shown, and the job."""
    problems = data_sets.problems(context, context.preset.federated.samples)
    wide = [(p.source.label, "asymmetry", job) for p in problems for job in sweep(context, p)]
    return wide + [
        (p.source.label, name, job)
        for p in problems
        for split, name in _SPLITS.items()
        for job in by_local_steps(context, p, split)
    ]


def _needs(context: Context) -> list[ClientKernels]:
    return [job for _, _, job in _jobs(context)]


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row a number: asymmetry by local step of the first round, measured and predicted cosine by τ."""
    rows = []
    for data, shown, job in _jobs(context):
        first = results[job].isel(round=0)
        for place, seed in enumerate(job.seeds):
            if shown == "asymmetry":
                values = first.asymmetry.values[place]
                rows += [(data, shown, job.width, seed, k + 1, value, np.nan) for k, value in enumerate(values)]
                continue
            cosines = float(first.cosine[place]), float(first.predicted_cosine[place])
            rows.append((data, shown, job.width, seed, job.local_steps, *cosines))
    return pd.DataFrame(rows, columns=["data", "shown", "m", "seed", "step", "value", "predicted"])


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Columns: data; above the asymmetry at every width, below cosines of both splits, predicted dotted."""
    kinds = list(dict.fromkeys(table.data))
    figure = new_figure(3.4 * max(2, len(kinds)), 5.0)
    panels = np.asarray(figure.subplots(2, len(kinds), squeeze=False))
    for (above, below), kind in zip(panels.T, kinds, strict=True):
        part = table[table.data == kind]
        asymmetry = part[(part.shown == "asymmetry") & (part.step > 1)]
        widths = sorted(set(asymmetry.m))
        for m, colour in zip(widths, sns.color_palette("viridis", len(widths)), strict=True):
            means = asymmetry[asymmetry.m == m].groupby("step").value.mean()
            above.plot(means.index, means, ".-", color=colour, label=f"$m = {m}$")
        above.set(title=kind, xlabel="local steps $k$", yscale="log")
        for name, colour in zip(_SPLITS.values(), sns.color_palette("colorblind"), strict=False):
            means = part[part.shown == name].groupby("step")[["value", "predicted"]].mean()
            below.plot(means.index, means.value, "o-", color=colour, label=name, markersize=4)
            below.plot(means.index, means.predicted, "x:", color=colour, markersize=6)
        below.set(xlabel=r"local steps $\tau$", xscale="log")
    panels[0, 0].set_ylabel(r"$\|H - H^\top\|_F/\|H\|_F$")
    panels[1, 0].set_ylabel(r"$\cos(\Delta, -\nabla L)$")
    for axes in panels[0]:
        axes.margins(y=0.35)  # room for the legend below the lines
    panels[0, -1].legend(loc="lower right", ncols=2, fontsize="small")
    panels[1, -1].legend()
    return figure


def _caption(context: Context, table: pd.DataFrame) -> str:
    sizes = context.preset.federated
    return (
        f"Local steps leave the gradient. Above: asymmetry of the Gram matrix between the averaged network and "
        f"clients' local ones in the first round; below: cosine between a round's movement and the negative gradient, "
        f"m = {sizes.widths[0]}, dotted as the kernel regime predicts. n = {sizes.samples}, K = {sizes.clients}, "
        f"means of {sizes.seeds} seeds. Claims F1, F2."
    )


_SHOWS = (
    "Local steps break the Gram matrix's symmetry, less so in wide networks; they turn the round away from the "
    "gradient, as predicted (dotted)."
)

FIGURE = Figure(HUANG.name, ("F1", "F2"), _needs, _data, _draw, _caption, _SHOWS)
