"""Theorem A: in every order all models stay in one ellipsoid, where no pattern may change."""

import jax
import numpy as np
import pytest

from ntk_localsgd import certificate, clients, datasets
from ntk_localsgd.certificate.two_layer.counts import Counts
from ntk_localsgd.certificate.two_layer.energy import reference
from ntk_localsgd.certificate.two_layer.frozen import Ellipsoid
from tests.certificate.two_layer.test_energy import _parts
from verification.jobs.certificates import certify
from verification.jobs.certified_cases import off_by
from verification.jobs.reference import CHOICES, Case, Order, follow


def _digits(share, **settings):
    """Sixteen digits of 3 and 8 on four clients by label: no M-matrix, however little patterns change."""
    data = datasets.digits(16, classes=(3, 8), key=jax.random.key(0))
    split = clients.by_label(jax.random.key(1), data, 4, classes_per_client=1)
    rng = np.random.default_rng(0)
    weights, signs = rng.standard_normal((800, data.input_dim)), rng.choice([-1.0, 1.0], 800)
    case = Case(np.asarray(data.inputs), np.zeros(16), split, weights, signs, 0.0, 3, **settings)
    largest = max(np.linalg.eigvalsh(case.gram[np.ix_(s, s)])[-1] for s in split.indices)
    return off_by(case, share * rng.standard_normal(16))._replace(step_size=0.9 / float(largest))


@pytest.mark.parametrize("settings", [{"batch_size": 1, "participants": 2}, {"batch_size": 2, "server_step_size": 0.5}])
def test_digits_near_their_end_are_certified_in_every_order(settings):
    case = _digits(1e-8, **settings)
    proof = certify(case, "auto")
    assert (proof.certified, proof.method, len(proof.switching)) == (True, "frozen", 0)
    assert certify(case, "dominance").obstacle is certificate.Obstacle.PATTERNS
    for choice in CHOICES:
        seen = follow(case, 25, Order(choice, np.random.default_rng(0)))
        assert not seen.switched.any()
        assert seen.movement <= proof.radius
        bound = proof.constant * proof.rate ** np.arange(26) * seen.residual_norms[0]
        assert choice != "drawn" or (seen.residual_norms <= bound + proof.rounding_floor).all()


def test_a_pair_that_may_change_is_counted():
    proof = certify(_digits(1e-1, batch_size=1), "frozen")
    assert proof.obstacle is certificate.Obstacle.PATTERNS
    assert "may change their pattern" in proof.explanation


def test_the_ellipsoid_holds_the_extremes_of_every_direction_and_no_number_is_no_proof():
    case = _digits(1e-3, batch_size=1)
    problem, _, found, near = _parts(case)
    counts = Counts.of(found, near, np.zeros_like(near.patterns))
    made = reference(problem, counts, np.zeros((16, 16)), found.width)
    ellipsoid, residual = Ellipsoid.of(made, found), case.outputs - case.targets
    exact = np.linalg.solve(case.gram, residual)
    for row in np.random.default_rng(1).standard_normal((10, 16)):
        # max u·β over βᵀΘβ ≤ V is (V uᵀΘ⁻¹u)^{1/2}, at β = Θ⁻¹u times a number.
        extreme = np.sqrt(residual @ exact * (row @ np.linalg.solve(case.gram, row)))
        reach = float(ellipsoid.reach(row[None], 0.0)[0]) - abs(row @ (exact - ellipsoid.target))
        assert extreme * (1 - 1e-9) <= reach <= extreme * 1.01
    assert ellipsoid.weights >= np.linalg.norm(exact)
    assert Ellipsoid.of(made._replace(changes=np.ones((16, 16))), found) is None
