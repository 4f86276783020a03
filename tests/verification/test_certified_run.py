"""C8-run's own logic: what a run must not do beside its certificate."""

import dataclasses
import math

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.certificate.outcome import failure
from ntk_localsgd.evidence import Verdict
from ntk_localsgd.local_sgd import Run
from verification.certified_run import _evidence

PROOF = dataclasses.replace(
    failure("path", ""), certified=True, rate=0.8, constant=1.0, radius=0.1, rounding_floor=0.0,
    switching=np.array([[0, 3], [1, 4], [0, 7]]),
)  # fmt: skip


def _run(*, rate=0.75, movement=0.05, diverged_at=None):
    norms = 2.0 * rate ** np.arange(6)
    trajectory = xr.Dataset({"loss": ("round", norms**2 / 2), "neuron_movement": ("round", np.full(6, movement))})
    return Run(None, trajectory, diverged_at=diverged_at)


KEPT = np.array([[1, 4], [0, 7]])


def test_a_run_that_keeps_its_certificate_verifies_it_and_the_control_breaks():
    found = _evidence("s", PROOF, _run(), KEPT)
    assert found.verdict is Verdict.VERIFIED
    assert found.control.broke
    assert found.measured == pytest.approx(0.75 / 0.8)


@pytest.mark.parametrize(
    ("run", "switched"),
    [
        (_run(rate=0.81), KEPT),
        (_run(movement=0.11), KEPT),
        (_run(diverged_at=1), KEPT),
        (_run(), np.array([[1, 3]])),  # as few as are named, but another one
    ],
)
def test_one_that_does_not_refutes_it(run, switched):
    assert _evidence("s", PROOF, run, switched).verdict is Verdict.REFUTED


def test_without_a_certificate_nothing_is_decided():
    found = _evidence("s", dataclasses.replace(PROOF, certified=False), _run(), KEPT)
    assert found.conclusion.holds is None
    assert math.isfinite(found.measured)
