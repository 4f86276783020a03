"""The exit code: whatever is refuted, unbroken or crashed ends with 1, and nothing else does."""

import pytest

from ntk_localsgd.evidence import Condition, Control, Evidence
from verification.runner import _conclude


def _row(*, premise=True, holds=True, broke=True):
    return Evidence("K1", "s", Condition("p", premise), Condition("c", holds), 1.0, 2.0, Control("k", broke, 3.0))


@pytest.mark.parametrize(
    ("row", "crashed", "code"),
    [
        (_row(), {}, 0),
        (_row(holds=None), {}, 0),  # inconclusive
        (_row(premise=False, holds=False), {}, 0),  # silent
        (_row(holds=False), {}, 1),
        (_row(broke=False), {}, 1),
        (_row(), {"K2": "ValueError"}, 1),
    ],
)
def test_refuted_unbroken_or_crashed_ends_with_1(row, crashed, code, tmp_path):
    assert _conclude([_row(), row], crashed, tmp_path) == code
