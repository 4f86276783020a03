"""The page of verdicts: papers over their claims, counts in the heading, a ring where a control did not break."""

import pandas as pd

from figures import verdicts
from ntk_localsgd.evidence import Verdict
from verification.context import Context
from verification.presets import PRESETS

CONTEXT = Context(PRESETS["smoke"], 0)


def _table(rows):
    columns = ["paper", "claim", "setting", "verdict", "control"]
    return pd.DataFrame([(paper, claim, "s", str(v), control) for paper, claim, v, control in rows], columns=columns)


ROWS = [
    ("A 2020: x", "K1", Verdict.VERIFIED, "broke"),
    ("A 2020: x", "K1", Verdict.REFUTED, "unbroken"),
    ("A 2020: x", "K2", Verdict.OBSERVED, "broke"),
    ("B 2021: y", "N1", Verdict.INCONCLUSIVE, "broke"),
]


def test_every_claim_stands_under_its_paper_and_every_row_is_a_symbol():
    figure = verdicts.FIGURE.picture(CONTEXT, _table(ROWS))
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["A 2020", "K1", "A 2020", "K2", "B 2021", "N1"]
    lines = [line for axes in figure.axes for line in axes.lines]
    assert len(lines) == len(ROWS) + 1  # and a ring
    assert figure.get_suptitle() == "1 of 2 rows inside their premise are refuted; 1 control did not break"
    assert verdicts.FIGURE.shows(_table(ROWS[:1])).endswith(
        "0 of 1 rows inside their premise are refuted; every control broke"
    )


def test_long_names_are_cut_and_many_settings_stay_inside_their_column():
    table = _table([("Allen-Zhu, Li and Song 2019; Zou and Gu 2019: deep", "D1", Verdict.SILENT, "broke")] * 60)
    figure = verdicts.FIGURE.picture(CONTEXT, table)
    first = figure.axes[0]
    assert first.texts[0].get_text() == "Allen-Zhu, Li and Song 2019; Zou …"
    places = [float(line.get_xdata()[0]) for line in first.lines]
    assert max(places) < first.get_xlim()[1]
    assert len(set(places)) == 60
