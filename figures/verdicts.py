"""All verdicts on a page: paper by paper a line a claim, a symbol a setting; colours, and symbols besides colours."""

from collections.abc import Iterator, Sequence

import matplotlib.figure
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.figure import Figure
from figures.style import VERDICT_COLOURS, VERDICT_SYMBOLS, new_figure
from ntk_localsgd.evidence import Verdict
from verification.checking import jobs_of
from verification.context import Context
from verification.engine import Results
from verification.registry import in_order
from verification.report.pages import SUMMARY
from verification.store import Job

__all__ = ["FIGURE"]

# Columns of claims, and settings that stand side by side without drawing closer.
_COLUMNS, _SETTINGS = 3, 16

# Inches a line.
_LINE = 0.145


def _needs(context: Context) -> list[Job]:
    """What all claims need: a verdict is judged from it, as in a run."""
    return jobs_of(in_order(), context)


def _data(context: Context, results: Results) -> pd.DataFrame:
    """One row an evidence: paper, claim, setting, verdict, whether its control broke."""
    rows = [
        {
            "paper": entry.paper.title,
            "claim": row.claim,
            "setting": row.where,
            "verdict": str(row.verdict),
            "control": "broke" if row.control.broke else "unbroken",
        }
        for entry in in_order()
        for row in entry.rows(context, results)
    ]
    return pd.DataFrame(rows)


def _draw(context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Lines of claims under their papers' names, in columns; a ring around a symbol if the control did not break."""
    columns = list(_columns(table))
    figure = new_figure(7.2, 0.9 + _LINE * max(map(len, columns)))
    for axes, lines in zip(figure.subplots(1, _COLUMNS), columns, strict=True):
        _draw_lines(axes, table, lines, max(map(len, columns)))
    seen = [verdict for verdict in Verdict if (table.verdict == verdict).any()]
    handles = [
        Line2D([], [], linestyle="none", marker=VERDICT_SYMBOLS[v], color=VERDICT_COLOURS[v], label=_MEANINGS[v])
        for v in seen
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=7)
    return figure


_MEANINGS = {
    Verdict.VERIFIED: "verified: premise met, conclusion holds",
    Verdict.OBSERVED: "observed: premise not met, conclusion holds",
    Verdict.SILENT: "silent: premise not met, conclusion fails",
    Verdict.INCONCLUSIVE: "inconclusive: an interval leaves it open",
    Verdict.REFUTED: "refuted: premise met, conclusion fails",
}


def _columns(table: pd.DataFrame) -> Iterator[list[tuple[str, str]]]:
    """Lines, each a paper's heading ("heading", title) or a claim ("claim", id), about as many in every column.

    A column that begins within a paper repeats its heading.
    """
    claims = table.drop_duplicates("claim")[["paper", "claim"]].itertuples(index=False)
    pairs = [(str(paper), str(claim)) for paper, claim in claims]
    size = -(-len(pairs) // _COLUMNS)
    for first in range(0, _COLUMNS * size, size):
        lines: list[tuple[str, str]] = []
        for paper, claim in pairs[first : first + size]:
            heading = ("heading", paper)
            lines += [("claim", claim)] if heading in lines else [heading, ("claim", claim)]
        yield lines


def _draw_lines(axes: Axes, table: pd.DataFrame, lines: Sequence[tuple[str, str]], height: int) -> None:
    for y, (kind, text) in enumerate(lines):
        if kind == "heading":
            axes.text(-7.5, y, _short(text), fontsize=6.5, fontweight="bold", va="center")
            continue
        axes.text(-0.6, y, text, fontsize=6, ha="right", va="center")
        rows = table[table.claim == text]
        apart = min(1.0, _SETTINGS / len(rows))
        for k, row in enumerate(rows.itertuples()):
            verdict = Verdict(str(row.verdict))
            axes.plot(
                k * apart, y, VERDICT_SYMBOLS[verdict], color=VERDICT_COLOURS[verdict], markersize=4, markeredgewidth=0
            )
            if row.control != "broke":
                axes.plot(k * apart, y, "o", markersize=7, markerfacecolor="none", markeredgecolor="black")
    axes.set(xlim=(-7.5, _SETTINGS + 0.5), ylim=(height - 0.5, -0.7))
    axes.set_axis_off()


def _short(title: str) -> str:
    """Who wrote it, cut to what a column holds."""
    who = title.partition(":")[0]
    return who if len(who) <= 36 else who[:35].rsplit(" ", 1)[0].rstrip(":,;") + " …"


def _shows(table: pd.DataFrame) -> str:
    """Counts of what holds inside the premises, and what does not."""
    counts = table.verdict.value_counts()
    inside = sum(int(counts.get(str(verdict), 0)) for verdict in (Verdict.VERIFIED, Verdict.REFUTED))
    unbroken = int((table.control != "broke").sum())
    plural = "s" * (unbroken > 1)
    controls = f"{unbroken} control{plural} did not break" if unbroken else "every control broke"
    return f"{counts.get(str(Verdict.REFUTED), 0)} of {inside} rows inside their premise are refuted; {controls}"


def _caption(context: Context, table: pd.DataFrame) -> str:
    """Setting of the figure."""
    return (
        f"Verdicts of the {context.preset.name} preset: {len(table)} rows of {table.claim.nunique()} claims, a line a "
        "claim, a symbol a setting in the order of its rows, closer together where there are more than "
        f"{_SETTINGS}. verified: premise met, conclusion holds; observed: the conclusion holds although the premise is "
        "not met. A ring marks a control that did not break."
    )


FIGURE = Figure(SUMMARY, (), _needs, _data, _draw, _caption, _shows)
