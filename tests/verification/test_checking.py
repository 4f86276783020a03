"""The exit code, and what becomes of a claim that crashes."""

import dataclasses

import pytest

from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import read_evidence
from tests.verification.rows import row
from verification import checking, papers, registry
from verification.context import Context
from verification.engine import Results
from verification.presets import PRESETS

registry.discover()


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


@pytest.mark.parametrize("data", ["digits 3 vs 8", "sphere", "sphere with a pair at 0.4"])
def test_one_data_set_s_jobs_are_among_all_the_jobs(data):
    """So that what is measured for some rows alone is what is measured for them among all others."""
    context = Context(PRESETS["quick"], 0)
    for name in ("K2", "K4a", "C2", "D3", "S4-slope", "C7", "F1"):
        entry = registry.CLAIMS[name]
        assert set(entry.jobs(context.only(data))) <= set(entry.jobs(context))


def test_some_rows_alone_are_as_they_are_among_all(tmp_path):
    context = Context(dataclasses.replace(PRESETS["smoke"], kinds=("digits", "sphere")), 0)
    where = {"data": "sphere"}
    checking.check([registry.CLAIMS["K2"]], context, tmp_path / "all")
    checking.check([registry.CLAIMS["K2"]], context, tmp_path / "some", where=where)
    (_, every), (_, some) = (read_evidence(tmp_path / name / "evidence.json") for name in ("all", "some"))
    assert some == [found for found in every if checking.fits(found, where)]
    assert 0 < len(some) < len(every)


def test_a_setting_that_no_row_has_is_refused_with_those_there_are(tmp_path):
    context = Context(PRESETS["smoke"], 0)
    with pytest.raises(InputError, match=r"no row has the setting data=mnist; there are .*data=digits 3 vs 8"):
        checking.check([registry.CLAIMS["K2"]], context, tmp_path, where={"data": "mnist"})
