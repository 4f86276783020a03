"""What changed between two runs: verdicts, and numbers beyond a relative tolerance, row by row."""

import dataclasses
import html
import math
from collections import defaultdict
from collections.abc import Sequence

import pandas as pd

from ntk_localsgd.evidence import Evidence

__all__ = ["Change", "changes", "page"]


@dataclasses.dataclass(frozen=True)
class Change:
    """A row of two runs; None on the side where it is missing."""

    claim: str
    setting: str
    before: Evidence | None
    after: Evidence | None

    @property
    def verdicts(self) -> str:
        """Both verdicts."""
        return " → ".join("none" if row is None else str(row.verdict) for row in (self.before, self.after))

    @property
    def same_verdict(self) -> bool:
        """Whether the row is in both runs, with one verdict."""
        return self.before is not None and self.after is not None and self.before.verdict is self.after.verdict

    @property
    def numbers(self) -> str:
        """Both measured numbers."""
        sides = (None if row is None else row.measured for row in (self.before, self.after))
        return " → ".join("–" if side is None else f"{side:.6g}" for side in sides)


def changes(before: Sequence[Evidence], after: Sequence[Evidence], *, rtol: float = 1e-6) -> list[Change]:
    """Rows that are new, gone, or differ: those whose verdict changed first.

    Rows of one claim, preset and setting are the same row; where a setting occurs more than once, in their order.

    Parameters
    ----------
    before, after
        Rows of two runs.
    rtol
        Relative difference of the measured numbers that counts as none.
    """
    rows: dict[tuple[str, str, str, int], list[Evidence | None]] = defaultdict(lambda: [None, None])
    for side, run in enumerate((before, after)):
        seen: dict[tuple[str, str, str], int] = defaultdict(int)
        for row in run:
            name = (row.claim, row.preset, row.where)
            rows[*name, seen[name]][side] = row
            seen[name] += 1
    pairs = [Change(name[0], name[2], old, new) for name, (old, new) in rows.items()]
    found = [change for change in pairs if _differs(change, rtol)]
    return sorted(found, key=lambda change: change.same_verdict)


def page(found: Sequence[Change]) -> str:
    """The changes as an HTML page."""
    records = [(change.claim, change.setting, change.verdicts, change.numbers) for change in found]
    table = pd.DataFrame(records, columns=["claim", "setting", "verdict", "measured"])
    head = '<!doctype html><meta charset="utf-8"><title>Changes</title><style>:root{color-scheme:light dark}'
    style = "body{font:15px system-ui;margin:2rem}td,th{text-align:left;padding:2px 12px 2px 0}</style>"
    return f"{head}{style}<h1>{html.escape(str(len(found)))} rows changed</h1>{table.to_html(index=False, border=0)}\n"


def _differs(change: Change, rtol: float) -> bool:
    if change.before is None or change.after is None or not change.same_verdict:
        return True
    old, new = change.before.measured, change.after.measured
    return old is not new if old is None or new is None else not math.isclose(old, new, rel_tol=rtol)
