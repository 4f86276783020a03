"""K1, K2, K3: which numbers verify them, refute them, and leave them open."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import rows
from verification.jobs.limits import Activity, LimitSpectrum, NeuralTangentsGap

LEVELS = {"none": (0.2, 0), "close pair": (0.2, 0), "antipode": (0.1, 0), "repeated": (0.0, 0)}


def _spectra(**changes):
    def numbers(job, place):
        lower, dependent = LEVELS.get(job.change, (0.0, 1))
        values = {
            "lower": lower - 1e-15,
            "upper": lower + 1e-15,
            "num_samples": 6,
            "dependent": dependent,
            "resolution": 1e-13,
        }
        values |= {"apart": 0.0 if job.change == "repeated" else 0.5, "antipodes_apart": 0.5}
        return xr.Dataset(values | changes.get(job.change, {}))

    return numbers


@pytest.mark.parametrize(("claim", "change"), [("K2", "none"), ("K2-sharp", "antipode")])
def test_positivity_is_decided_by_the_lower_end(claim, change):
    (row,) = rows(claim, _spectra())
    assert row.verdict is Verdict.VERIFIED
    (row,) = rows(claim, _spectra(**{change: {"lower": -1e-9}}))
    assert row.verdict is Verdict.INCONCLUSIVE
    (row,) = rows(claim, _spectra(**{change: {"lower": -1.0, "upper": -0.5}}))
    assert row.verdict is Verdict.REFUTED


def test_premises_are_computed():
    assert rows("K2", _spectra(none={"antipodes_apart": 0.0}))[0].verdict is Verdict.OBSERVED
    assert rows("K2-sharp", _spectra(antipode={"dependent": 1}))[0].verdict is Verdict.OBSERVED
    assert rows("K2-sharp", _spectra(antipode={"apart": 0.0}))[0].verdict is Verdict.OBSERVED


def test_a_control_that_is_not_singular_does_not_count():
    assert rows("K2", _spectra(repeated={"lower": 0.1, "upper": 0.2}))[0].verdict is Verdict.INCONCLUSIVE


def test_separation_bounds_the_smallest_eigenvalue_at_the_worst_distance():
    (row,) = rows("K3", _spectra(none={"antipodes_apart": 0.3}))
    assert row.verdict is Verdict.VERIFIED
    assert row.bound == pytest.approx(0.5 / 800 / 8)  # K3 at n = 8, at the larger separation
    (row,) = rows("K3", _spectra(**{"close pair": {"lower": 1e-6}}))
    assert row.verdict is Verdict.REFUTED


def test_three_routes_to_the_closed_form():
    def numbers(job, place, gap=1e-14, share=1.0):
        if isinstance(job, NeuralTangentsGap):
            return xr.Dataset({"gap": gap if job.stretch == 1 else 0.1})
        assert isinstance(job, Activity)
        angles = np.arccos(np.clip(job.data.load().inner, -1, 1))
        hits = job.neurons * (np.pi - angles) / (2 * np.pi) * (share if job.shift == 0 else 1.1)
        return xr.Dataset({"hits": (("i", "j"), np.round(hits))})

    peer, sampled = rows("K1", numbers)
    assert (peer.verdict, sampled.verdict) == (Verdict.VERIFIED, Verdict.VERIFIED)
    peer, sampled = rows("K1", lambda *job: numbers(*job, gap=1e-11, share=1.02))
    assert (peer.verdict, sampled.verdict) == (Verdict.REFUTED, Verdict.REFUTED)


def test_all_spectra_are_asked_for_once():
    seen = []
    rows("K3", lambda job, place: (seen.append(job), _spectra()(job, place))[1])
    assert len(seen) == len({(job.change, job.distance) for job in seen}) == 10
    assert all(isinstance(job, LimitSpectrum) for job in seen)
