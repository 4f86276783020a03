"""K4: gaps and eigenvalues on either side of the bound."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import CONTEXT, rows


def _gaps(worst):
    """Gaps at a multiple of the bound; of repeated neurons always eight times, as √64 says."""

    def numbers(job, place):
        bound = BOUNDS["K4a"].evaluate(n=job.data.num_samples, m=job.width, delta=0.05)
        return xr.Dataset({"gap": ("trial", np.full(job.trials, bound * (8 if job.copies > 1 else worst)))})

    return numbers


@pytest.mark.parametrize("claim", ["K4a", "K4a-many"])
@pytest.mark.parametrize(("worst", "verdict"), [(0.9, Verdict.VERIFIED), (1.1, Verdict.REFUTED)])
def test_entries_are_held_against_hoeffding_s_bound(claim, worst, verdict):
    for row in rows(claim, _gaps(worst)):
        assert row.verdict is verdict
        assert row.tightness == pytest.approx(worst)
        assert row.trials == CONTEXT.preset.trials
        assert row.control.broke


def _smallest(share):
    """Smallest eigenvalues at a share of λ0 where the width is the asked one; at none where it is not."""

    def numbers(job, place):
        value = job.data.load().lambda0.upper * (share if place % 2 == 0 else 0)
        return xr.Dataset({"smallest": ("trial", np.full(job.trials, value))})

    return numbers


@pytest.mark.parametrize("claim", ["K4a-width", "K4b", "K4b-many"])
@pytest.mark.parametrize(("share", "verdict"), [(0.76, Verdict.VERIFIED), (0.74, Verdict.REFUTED)])
def test_smallest_eigenvalues_are_held_against_three_quarters_of_lambda0(claim, share, verdict):
    (row,) = rows(claim, _smallest(share))
    assert row.verdict is verdict
    assert row.premise.holds
    assert row.control.broke
    assert row.trials == (7 if claim == "K4b-many" else 100)
    assert row.delta == (0.5 if claim == "K4b-many" else 0.05)
