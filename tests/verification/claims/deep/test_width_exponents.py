"""C5: published widths balance, and another radius does not."""

from ntk_localsgd.evidence import Verdict
from verification.context import Context
from verification.engine import Results
from verification.presets import PRESETS
from verification.registry import CLAIMS, discover


def test_published_widths_balance_and_another_radius_does_not():
    discover()
    rows = CLAIMS["C5"].rows(Context(PRESETS["smoke"], 0), Results({}))
    assert [row.verdict for row in rows] == [Verdict.VERIFIED] * 3
    assert all(row.control.broke for row in rows)
    assert "n^12 L^12 φ^-3" in rows[1].conclusion.text
