"""K4-threshold: exponents of planted thresholds, and what decides."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import CONTEXT, rows
from verification.claims.kernel.threshold import exponents
from verification.context import Context


def _points(ratio=0.5, separation=0.1):
    def numbers(job, place):
        n, lambda0 = np.repeat(job.samples, 3).astype(float), np.tile([0.3, 0.2, 0.1], 3)
        asked = n**2 / lambda0
        measured = (5.0 if job.frobenius else ratio) * asked
        values = {"num_samples": n, "lambda0": lambda0, "measured": measured, "asked": asked}
        return xr.Dataset({k: ("point", v) for k, v in (values | {"separation": np.full(9, separation)}).items()})

    return numbers


def test_exponents_are_those_of_the_points():
    points = []
    rows("K4-threshold", lambda job, place: (points.append(_points()(job, place)), points[-1])[1])
    for quantity in ("measured", "asked"):
        assert [power.estimate for power in exponents(points[:3], quantity)] == pytest.approx([2, 1])


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [({}, Verdict.VERIFIED), ({"ratio": 1.1}, Verdict.REFUTED), ({"separation": 0.0}, Verdict.OBSERVED)],
)
def test_the_largest_ratio_decides_where_inputs_are_apart(changes, verdict):
    (row,) = rows("K4-threshold", _points(**changes))
    assert row.verdict is verdict
    assert "2.00 ± 0.00" in row.conclusion.text


def test_too_few_trials_decide_nothing():
    few = Context(dataclasses.replace(CONTEXT.preset, trials=50), 0)
    assert rows("K4-threshold", _points(), few)[0].verdict is Verdict.INCONCLUSIVE
