"""C10: a difference beyond its bound refutes, and so do losses that agree."""

import numpy as np
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims import planted
from verification.jobs.centralized import Centralized


def _numbers(share=0.3, power=1.0, ratio=4.0, slow=1.004):
    def numbers(job, place):
        if isinstance(job, Centralized):
            eta = np.array(job.shares)
            wiggle = 1 + 0.01 * np.cos(place + np.arange(len(eta)))
            difference = share * 2 * eta**power * wiggle if job.factor == 1 else 3 * wiggle
            columns = {"difference": difference, "bound": 2 * eta, "loss_ratio": 1 + eta}
            return xr.Dataset({k: ("share", v) for k, v in columns.items()}, {"share": eta})
        loss = 1.0 if job.num_clients == 1 else slow if job.num_rounds > 100 else ratio
        return xr.Dataset({"loss": (("seed", "round"), np.full((len(job.seeds), 2), loss))})

    return numbers


def test_first_order_below_the_bound_and_losses_apart_verify():
    rows = planted.rows("C10", _numbers())
    assert {row.verdict for row in rows} == {Verdict.VERIFIED}
    assert all(row.control.broke for row in rows)


def test_each_part_can_be_refuted():
    bound, exponent, losses, *_ = planted.rows("C10", _numbers(share=1.2, power=0.5, ratio=1.005))
    assert [row.verdict for row in (bound, exponent, losses)] == [Verdict.REFUTED] * 3


def test_losses_that_never_agree_are_no_control():
    rows = planted.rows("C10", _numbers(slow=1.5))
    assert [row.control.broke for row in rows[:3]] == [True, True, False]
