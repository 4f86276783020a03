"""K8: a data set whose λ0 is above its closest pair's bound refutes, and so does the exponent 2."""

import numpy as np
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims import planted
from verification.jobs.separations import Separation


def _numbers(share=0.6, power=1.0, spread=4.0, wide=0.0):
    def numbers(job, place):
        if isinstance(job, Separation):
            ones = np.ones(len(job.samples))
            values = {"distance": 0.1, "bound": 0.016, "lower": 0.016 * share, "upper": 0.016 * (share + wide)}
            values |= {"spread": 0.016 * spread}
            return xr.Dataset({k: ("n", v * ones) for k, v in values.items()}, {"n": list(job.samples)})
        distances = np.array(job.distances)
        wiggle = 1 + 0.01 * np.cos(place + np.arange(len(distances)))
        columns = {"lower": 0.1 * distances**power * wiggle, "alone": 0.3 * wiggle}
        return xr.Dataset({k: ("distance", v) for k, v in columns.items()})

    return numbers


def test_ratios_below_one_and_exponent_one_verify():
    rows = planted.rows("K8", _numbers())
    assert {row.verdict for row in rows} == {Verdict.VERIFIED}
    assert all(row.control.broke for row in rows)


def test_a_larger_eigenvalue_or_another_exponent_refutes():
    *sets, exponent = planted.rows("K8", _numbers(share=1.01, power=2.0))
    assert {row.verdict for row in sets} == {Verdict.REFUTED}
    assert exponent.verdict is Verdict.REFUTED


def test_rows_that_stay_below_the_bound_when_spread_are_no_control():
    *sets, _ = planted.rows("K8", _numbers(spread=0.9))
    assert not any(row.control.broke for row in sets)


def test_an_eigenvalue_that_is_not_known_to_lie_below_the_bound_is_not_counted_there():
    *sets, _ = planted.rows("K8", _numbers(share=0.99, wide=0.02))
    assert not any(row.verdict is Verdict.VERIFIED for row in sets)
