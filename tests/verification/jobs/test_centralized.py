"""Federated and centralized training in the kernel regime: the bound holds in every direction, of first order."""

import numpy as np
import pytest

from verification.data import Source
from verification.jobs.centralized import Centralized, energy_norms, gap_bound


def _random(rng, n, num_clients):
    """Θ ≻ 0, who holds what, Λ."""
    factor = rng.standard_normal((n, n))
    gram = factor @ np.diag(10.0 ** rng.uniform(-3, 0, n)) @ factor.T
    owner = rng.permutation(np.concatenate([np.arange(num_clients), rng.integers(0, num_clients, n - num_clients)]))
    same = owner[:, None] == owner
    largest = max(np.linalg.eigvalsh(gram[np.ix_(owner == c, owner == c)])[-1] for c in range(num_clients))
    return gram, same, largest


@pytest.mark.parametrize("seed", range(40))
def test_the_bound_holds_for_powers_of_both_maps_in_every_direction(seed):
    rng = np.random.default_rng(seed)
    n, num_clients, tau = int(rng.integers(2, 8)), int(rng.integers(1, 3)), int(rng.integers(1, 9))
    gram, same, largest = _random(rng, n, num_clients)
    eta = 10 ** rng.uniform(-2, 0) / largest
    local = np.where(same, np.eye(n) - eta * gram, 0)
    weights = eta * sum(np.linalg.matrix_power(local, k) for k in range(tau))
    federated = np.eye(n) - gram @ weights / num_clients
    central = np.linalg.matrix_power(np.eye(n) - eta / num_clients * gram, tau)
    values, vectors = np.linalg.eigh(gram)
    root, inverse = (vectors * values**p @ vectors.T for p in (0.5, -0.5))
    bound = gap_bound(eta, tau, largest, float(values[-1]), num_clients)
    for rounds in (1, 2, 5, 30):
        gap = np.linalg.matrix_power(federated, rounds) - np.linalg.matrix_power(central, rounds)
        assert np.linalg.norm(inverse @ gap @ root, 2) <= bound * (1 + 1e-9) + 1e-10
    if num_clients == 1 or tau == 1:  # the same run
        assert np.allclose(federated, central, atol=1e-12 * max(1, 1 / values[0]))


def test_the_job_measures_the_largest_difference_and_the_losses_at_the_end():
    job = Centralized(Source("sphere", 4, 0), 2, "label", 3, (0.8, 0.2), 3)
    found, problem = job.compute(), job.data.load()
    gram, y = problem.gram, np.asarray(problem.dataset.targets, float)
    parts = problem.split(2, "label").indices
    largest = max(np.linalg.eigvalsh(gram[np.ix_(p, p)])[-1] for p in parts)
    for k, (share, rounds) in enumerate(((0.8, 3), (0.2, 12))):
        eta, worst = share / largest, 0.0
        a = b = -y
        for _ in range(rounds):
            step = np.zeros(4)
            for p in parts:
                r = a[p]
                for _ in range(3):
                    step[p] += eta * r
                    r = r - eta * gram[np.ix_(p, p)] @ r
            a = a - gram @ step / 2
            for _ in range(3):
                b = b - eta / 2 * gram @ b
            worst = max(worst, np.sqrt((a - b) @ np.linalg.solve(gram, a - b) / (y @ np.linalg.solve(gram, y))))
        assert found.difference.values[k] == pytest.approx(worst, rel=1e-9)
        assert found.loss_ratio.values[k] == pytest.approx((a @ a) / (b @ b), rel=1e-9)
    assert energy_norms(gram, y[None])[0] == pytest.approx(np.sqrt(y @ np.linalg.solve(gram, y)), rel=1e-12)
