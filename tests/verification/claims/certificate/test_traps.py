"""C8-traps: the true certificate must hold on the planted case and the wrong one be caught, by ratio or by sign."""

import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims import planted
from verification.jobs.certificate_traps import TRAPS, Planted

HOLDS = {"certified": 1, "failed": 0, "astray": 0, "worst": 0.9}
CAUGHT = {"certified": 1, "failed": 1, "astray": 3, "worst": 0.5}


def _rows(true=HOLDS, wrong=CAUGHT, share=0.9, of_sum=1.5):
    def numbers(job, place):
        if isinstance(job, Planted):
            return xr.Dataset(wrong if job.wrong else true)
        return xr.Dataset({"share": share, "share_of_sum": of_sum, "gain": 0.9})

    *traps, within = planted.rows("C8-traps", numbers)
    assert len(traps) == len(TRAPS)
    return traps, within


def test_signs_astray_catch_a_wrong_certificate_and_refute_a_true_one():
    traps, within = _rows()
    assert {row.verdict for row in (*traps, within)} == {Verdict.VERIFIED}
    assert {row.verdict for row in _rows(true=CAUGHT)[0]} == {Verdict.REFUTED}
    assert {row.verdict for row in _rows(true=HOLDS | {"certified": 0})[0]} == {Verdict.OBSERVED}


def test_a_wrong_certificate_that_nothing_contradicts_is_no_control():
    assert not any(row.control.broke for row in _rows(wrong=HOLDS)[0])


@pytest.mark.parametrize(
    ("share", "of_sum", "verdict"), [(1.1, 1.5, Verdict.REFUTED), (0.9, 0.9, Verdict.INCONCLUSIVE)]
)
def test_random_switchings_stay_within_the_sum_of_the_steps_sizes(share, of_sum, verdict):
    assert _rows(share=share, of_sum=of_sum)[1].verdict is verdict
