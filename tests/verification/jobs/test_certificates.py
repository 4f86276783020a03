"""The tally of certified runs: a true certificate passes, one that overstates anything fails."""

import dataclasses

import numpy as np
import pytest

from verification.jobs.certificates import Tally, certify
from verification.jobs.certified_cases import off_by, split_case

CASE = split_case(0)
PROOF = certify(CASE, "path")


def _failed(proof):
    tally = Tally()
    tally.add(CASE, proof)
    assert tally.certified == 1
    return tally.failed == 1


def test_a_true_certificate_passes():
    assert PROOF.certified
    assert len(PROOF.switching)
    assert not _failed(PROOF)


@pytest.mark.parametrize(
    "overstated",
    [
        {"rate": PROOF.rate / 10},
        {"constant": 0.5},  # broken at once, kept in the end: the certified rate is slower than what happens
        {"radius": PROOF.radius / 10},
        {"switching": np.zeros((0, 2), int)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_thing_overstated_fails(overstated):
    assert _failed(dataclasses.replace(PROOF, **overstated))


def test_a_run_without_certificate_is_counted_and_not_judged():
    tally = Tally()
    tally.add(CASE, dataclasses.replace(PROOF, certified=False, rate=0.0))
    assert (tally.runs, tally.certified, tally.failed) == (1, 0, 0)


def test_cases_begin_at_the_residual_and_step_size_that_they_name():
    residual = np.array([0.5, -1.0, 2.0, 0.0])
    case = off_by(CASE, residual)
    np.testing.assert_allclose(case.outputs - case.targets, residual, rtol=1e-12, atol=1e-14)
    largest = max(np.linalg.eigvalsh(CASE.gram[np.ix_(part, part)])[-1] for part in CASE.clients.indices)
    assert CASE.step_size * largest == pytest.approx(0.9, rel=1e-12)
