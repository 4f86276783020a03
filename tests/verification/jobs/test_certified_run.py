"""A run beside its certificate: what it must not do."""

import math

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.certificate import Certificate, Obstacle
from ntk_localsgd.local_sgd import Run
from verification.jobs.certified_run import CertifiedRun, shares

PAIRS = np.array([[0, 3], [1, 4], [0, 7]])
PROOF = Certificate(
    certified=True,
    rate=0.8,
    constant=1.0,
    radius=0.1,
    allowed_radius=0.1,
    residual_norm=2.0,
    obstacle=Obstacle.NONE,
    explanation="",
    width_estimate=8.0,
    residual_estimate=2.0,
    method="path",
    rounding_floor=0.0,
    delta=0.0,
    switching=PAIRS,
)
KEPT = np.array([[1, 4], [0, 7]])


def _run(*, rate=0.75, movement=0.05, diverged_at=None):
    norms = 2.0 * rate ** np.arange(6)
    trajectory = xr.Dataset({"loss": ("round", norms**2 / 2), "neuron_movement": ("round", np.full(6, movement))})
    return Run(None, trajectory, diverged_at=diverged_at)


def test_a_run_that_keeps_its_certificate_has_no_share_above_one_and_breaks_an_overstated_one():
    own, overstated = (shares(_run(), PROOF, KEPT, by=by) for by in (1, 3))
    assert own == pytest.approx({"residual": 0.75 / 0.8, "movement": 0.5, "patterns": 2 / 3})
    assert min(overstated.values()) > 1


@pytest.mark.parametrize(
    ("run", "switched"),
    [
        (_run(rate=0.81), KEPT),
        (_run(movement=0.11), KEPT),
        (_run(diverged_at=1), KEPT),
        (_run(), np.array([[1, 3]])),  # as few as are named, but another one
    ],
)
def test_one_that_does_not_has_a_share_above_one(run, switched):
    assert max(shares(run, PROOF, switched, by=1).values()) > 1


def test_a_wide_network_keeps_its_certificate_and_not_the_overstated_one():
    table = CertifiedRun(2, 8, 2**11, 2, 2, num_rounds=4, seed=0).compute()
    assert table.certified == 1
    own, overstated = table.share.values
    assert own.max() <= 1 < overstated.min() < math.inf or overstated[2] == math.inf
    assert table.attrs["proof"]
