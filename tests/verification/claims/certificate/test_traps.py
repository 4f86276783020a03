"""C8-traps: the true certificate must hold on the planted case and the wrong one be caught, by ratio or by sign."""

import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims import planted
from verification.jobs.certificate_traps import TRAPS, Planted
from verification.jobs.deep_traps import DEEP_TRAPS, DeepPlanted
from verification.jobs.round_traps import LEFT_OUT, Jumps, PlantedRounds

HOLDS = {"certified": 1, "failed": 0, "astray": 0, "worst": 0.9}
CAUGHT = {"certified": 1, "failed": 1, "astray": 3, "worst": 0.5}


def _rows(true=HOLDS, wrong=CAUGHT, share=0.9, of_sum=1.5, excess=(0.0, 0.1), probability=(0.01, 0.6)):
    """Of planted cases, of one round's switchings, of planted rounds, of the envelope."""

    def numbers(job, place):
        if isinstance(job, Planted | DeepPlanted):
            return xr.Dataset(wrong if job.wrong else true)
        if isinstance(job, PlantedRounds):
            return xr.Dataset({"excess": ("round", [-0.1, excess[job.left_out is not None]])})
        if isinstance(job, Jumps):
            return xr.Dataset({"probability": probability[not job.chances]})
        return xr.Dataset({"share": share, "share_of_sum": of_sum, "gain": 0.9})

    rows = planted.rows("C8-traps", numbers)
    number = len(TRAPS) + len(DEEP_TRAPS)
    assert len(rows) == number + len(LEFT_OUT) + 2
    return rows[:number], rows[number], rows[number + 1 : -1], rows[-1]


def test_signs_astray_catch_a_wrong_certificate_and_refute_a_true_one():
    traps, within, rounds, envelope = _rows()
    assert {row.verdict for row in (*traps, within, *rounds, envelope)} == {Verdict.VERIFIED}
    assert {row.verdict for row in _rows(true=CAUGHT)[0]} == {Verdict.REFUTED}
    assert {row.verdict for row in _rows(true=HOLDS | {"certified": 0})[0]} == {Verdict.OBSERVED}


def test_a_wrong_certificate_that_nothing_contradicts_is_no_control():
    assert not any(row.control.broke for row in _rows(wrong=HOLDS)[0])


@pytest.mark.parametrize(
    ("share", "of_sum", "verdict"), [(1.1, 1.5, Verdict.REFUTED), (0.9, 0.9, Verdict.INCONCLUSIVE)]
)
def test_random_switchings_stay_within_the_sum_of_the_steps_sizes(share, of_sum, verdict):
    assert _rows(share=share, of_sum=of_sum)[1].verdict is verdict


def test_a_row_inequality_or_an_envelope_that_fails_refutes_and_one_that_holds_without_a_step_is_no_control():
    *_, rounds, envelope = _rows(excess=(1e-3, 0.1), probability=(0.06, 0.6))
    assert {row.verdict for row in (*rounds, envelope)} == {Verdict.REFUTED}
    *_, rounds, envelope = _rows(excess=(0.0, 0.0), probability=(0.01, 0.04))
    assert not any(row.control.broke for row in (*rounds, envelope))
