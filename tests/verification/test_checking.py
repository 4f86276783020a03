"""The exit code, and what becomes of a claim that crashes."""

import pytest

from ntk_localsgd.errors import InputError
from tests.verification.rows import row
from verification import checking, papers, registry
from verification.context import Context
from verification.engine import Results
from verification.presets import PRESETS


@pytest.mark.parametrize(
    ("other", "crashed", "code"),
    [
        (row(), {}, 0),
        (row(holds=None), {}, 0),  # inconclusive
        (row(premise=False, holds=False), {}, 0),  # silent
        (row(holds=False), {}, 1),
        (row(broke=False), {}, 1),
        (row(), {"K2": "ValueError"}, 1),
    ],
)
def test_refuted_unbroken_or_crashed_ends_with_1(other, crashed, code, tmp_path):
    assert checking.conclude(checking.Outcome([row(), other], crashed), tmp_path) == code


@pytest.mark.parametrize("error", [InputError("a value"), ZeroDivisionError("a value")])
def test_one_claim_s_error_is_its_own_crash(error):
    def crashing(context, results):
        raise error

    parts = ("D", "me", papers.OTHER, registry.no_jobs)
    broken = registry.Claim("MINE-1", "x", *parts, crashing)
    sound = registry.Claim("MINE-2", "x", *parts, lambda *_: [row("")])
    outcome = checking.judge([broken, sound], Context(PRESETS["smoke"], 0), Results({}))
    assert outcome.crashed == {"MINE-1": f"{type(error).__name__}: a value"}
    assert [found.claim for found in outcome.rows] == ["MINE-2"]
    assert outcome.failed
