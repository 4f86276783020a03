"""A dashboard of verdicts: claims × data, five colours, symbols besides colours."""

import matplotlib.figure
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.figure import Figure
from figures.style import DATA_COLOURS, VERDICT_COLOURS, VERDICT_SYMBOLS, new_figure
from ntk_localsgd.evidence import Verdict
from verification.checking import jobs_of
from verification.context import Context
from verification.engine import Results
from verification.registry import in_order
from verification.report.pages import SUMMARY
from verification.store import Job

__all__ = ["FIGURE"]

# Random and planted networks, and whatever else has no data set that the others draw.
_OTHER = "other"
_COLUMNS = (*DATA_COLOURS, _OTHER)


def _needs(context: Context) -> list[Job]:
    """What all claims need: a verdict is judged from it, as in a run."""
    return jobs_of(in_order(), context)


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row an evidence: paper, claim, data set, verdict, whether its control broke."""
    rows = [
        {
            "claim": row.claim,
            "data": _column(str(row.setting.get("data", ""))),
            "setting": row.where,
            "verdict": str(row.verdict),
            "control": "broke" if row.control.broke else "unbroken",
        }
        for entry in in_order()
        for row in entry.rows(context, results)
    ]
    return pd.DataFrame(rows)


def _column(data: str) -> str:
    return next((kind for kind in DATA_COLOURS if data.startswith(kind)), _OTHER)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """One symbol a row of evidence; a ring around it if the control did not break."""
    claims = list(dict.fromkeys(table.claim))
    middle = -(-len(claims) // 2)
    figure = new_figure(7.2, 0.9 + 0.17 * middle)
    for axes, half in zip(figure.subplots(1, 2), (claims[:middle], claims[middle:]), strict=True):
        _cells(axes, table, half)
    seen = [verdict for verdict in Verdict if (table.verdict == verdict).any()]
    handles = [
        Line2D([], [], linestyle="none", marker=VERDICT_SYMBOLS[v], color=VERDICT_COLOURS[v], label=str(v))
        for v in seen
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _cells(axes: Axes, table: pd.DataFrame, claims: list[str]) -> None:
    for (claim, kind), rows in table[table.claim.isin(claims)].groupby(["claim", "data"], sort=False):
        apart = min(0.12, 0.9 / len(rows))  # so that a full cell stays inside its column
        for k, row in enumerate(rows.itertuples()):
            x, y = _COLUMNS.index(str(kind)) + apart * (k - (len(rows) - 1) / 2), claims.index(str(claim))
            verdict = Verdict(str(row.verdict))
            axes.plot(x, y, VERDICT_SYMBOLS[verdict], color=VERDICT_COLOURS[verdict], markersize=6, markeredgewidth=0)
            if row.control != "broke":
                axes.plot(x, y, "o", markersize=9, markerfacecolor="none", markeredgecolor="black", markeredgewidth=0.8)
    axes.set(xticks=range(len(_COLUMNS)), xticklabels=_COLUMNS, yticks=range(len(claims)), yticklabels=claims)
    axes.set(xlim=(-0.5, len(_COLUMNS) - 0.5), ylim=(len(claims) - 0.5, -0.5), xlabel="data")


def _caption(context: Context, table: pd.DataFrame) -> str:
    """Setting of the figure."""
    return (
        f"Verdicts of the {context.preset.name} preset: {len(table)} rows of {table.claim.nunique()} claims, one "
        "symbol a setting, side by side where a claim is checked in several on the same data. verified: premise met, "
        "conclusion holds; observed: the conclusion holds although the premise is not met. A ring marks a control that "
        "did not break. Other: random and planted networks, symbolic settings."
    )


FIGURE = Figure(SUMMARY, (), _needs, _data, _draw, _caption)
