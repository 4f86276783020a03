"""A dashboard of verdicts: claims × data, five colours, symbols besides colours."""

import json

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from verification.runs import RunSpec

from figures.style import VERDICT_COLOURS, VERDICT_SYMBOLS, new_figure
from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import Evidence, Verdict
from verification.context import Context

__all__ = ["caption", "data", "draw", "evidence", "needs", "remake"]

# Random and planted networks, data of the user's own and whatever else a setting begins with.
_COLUMNS = ("digits", "sphere", "other")


def needs(context: Context) -> list[RunSpec]:  # noqa: ARG001 (all figures have the same interface)
    """No runs: the evidence is read."""
    return []


def data(context: Context) -> pd.DataFrame:
    """One row an evidence: claim, data set, verdict, whether its control broke."""
    rows = [
        {"claim": row.claim, "data": _column(row.setting), "setting": row.setting, "verdict": row.verdict,
         "control": "broke" if row.control.broke else "unbroken"}
        for row in evidence(context)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def draw(context: Context) -> Figure:
    """One symbol a row of evidence; a ring around it if the control did not break."""
    table = data(context)
    claims = list(dict.fromkeys(table.claim))
    figure = new_figure(3.6, 0.9 + 0.19 * len(claims))
    axes = figure.subplots()
    for (claim, kind), rows in table.groupby(["claim", "data"], sort=False):
        apart = min(0.16, 0.9 / len(rows))  # so that a full cell stays inside its column
        for k, row in enumerate(rows.itertuples()):
            x, y = _COLUMNS.index(str(kind)) + apart * (k - (len(rows) - 1) / 2), claims.index(str(claim))
            verdict = Verdict(str(row.verdict))
            axes.plot(x, y, VERDICT_SYMBOLS[verdict], color=VERDICT_COLOURS[verdict], markersize=7, markeredgewidth=0)
            if row.control != "broke":
                axes.plot(
                    x, y, "o", markersize=10, markerfacecolor="none", markeredgecolor="black", markeredgewidth=0.8
                )
    axes.set(xticks=range(len(_COLUMNS)), xticklabels=_COLUMNS, yticks=range(len(claims)), yticklabels=claims)
    axes.set(xlim=(-0.5, len(_COLUMNS) - 0.5), ylim=(len(claims) - 0.5, -0.5), xlabel="data", ylabel="claim")
    handles = [
        Line2D([], [], linestyle="none", marker=VERDICT_SYMBOLS[v], color=VERDICT_COLOURS[v], label=str(v))
        for v in Verdict
        if (table.verdict == v).any()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def caption(context: Context) -> str:
    """Setting of the figure."""
    return (
        f"Verdicts of the {context.preset.name} preset, one symbol a setting. verified: premise met, conclusion holds; "
        "observed: the conclusion holds although the premise is not met. A ring marks a control that did not break. "
        "Other: random and planted networks."
    )


def _column(setting: str) -> str:
    first = setting.split()[0].strip(",;") if setting.split() else ""
    return first if first in _COLUMNS else _COLUMNS[-1]


def evidence(context: Context) -> list[Evidence]:
    """The stored rows of evidence.

    Raises
    ------
    InputError
        If the file is missing or unreadable; the sentence names the command that makes it.
    """
    path = context.out / "evidence.json"
    try:
        return [Evidence.from_json(fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is missing or unreadable: {remake(context)} makes it.") from error


def remake(context: Context) -> str:
    """The command that makes the evidence."""
    return f"python -m verification run --preset {context.preset.name} --seed {context.seed} --out {context.out}"
