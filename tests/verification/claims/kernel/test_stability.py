"""K6: premises of ball and width, and the numbers that decide."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import rows
from verification.jobs.perturbed import Attacked, Uncertain


def _numbers(**inside):
    """Everything in order inside the ball, and everything broken outside of it."""

    def numbers(job, place):
        n, lambda0 = job.data.num_samples, job.data.load().lambda0.upper
        good = {"ratio": 0.9, "movement": job.radius, "change": 0.1 * n * job.radius, "smallest": 0.6 * lambda0}
        bad = {"ratio": 1.5, "movement": 9.0, "change": 9.0, "smallest": 0.0, "total": 1e9}
        out = (isinstance(job, Attacked) and job.attack_radius > job.radius) or job.radius == 1.0
        values = bad if out else good | {"total": 0.1 * n**2 * job.radius} | inside
        return xr.Dataset({name: ("trial", np.full(job.trials, value)) for name, value in values.items()})

    return numbers


@pytest.mark.parametrize(
    ("claim", "worse"), [("K6a", {"ratio": 1.1}), ("K6b", {"total": 1e9}), ("K6b-radius", {"smallest": 1e-9}),
                         ("K6c", {"change": 9.0})],
)  # fmt: skip
def test_each_is_decided_by_its_own_number(claim, worse):
    for row in rows(claim, _numbers()):
        assert row.verdict is Verdict.VERIFIED, row.where
    assert {row.verdict for row in rows(claim, _numbers(**worse))} == {Verdict.REFUTED}


@pytest.mark.parametrize("claim", ["K6a", "K6c"])
def test_weights_outside_of_the_ball_do_not_meet_the_premise(claim):
    assert {row.verdict for row in rows(claim, _numbers(movement=10.0))} == {Verdict.OBSERVED}


def test_the_ball_of_k6c_is_the_smallest_at_its_width():
    jobs = []
    rows("K6c", lambda job, place: (jobs.append(job), _numbers()(job, place))[1])
    numbers = {"n": 6, "delta": 0.05}
    assert BOUNDS["K6c"].premise_met(m=jobs[0].width, R=jobs[0].radius, **numbers)
    assert not BOUNDS["K6c"].premise_met(m=jobs[0].width, R=jobs[0].radius * (1 - 1e-9), **numbers)
    assert not isinstance(jobs[0], Uncertain)
