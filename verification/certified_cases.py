"""Networks and data that certificates are tried on: random ones, and ones planted against known traps."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.clients import Clients
from verification.reference_run import Case, follow

__all__ = ["correlated_case", "opposite_case", "plane_case", "plant", "random_case", "slow_case", "split_case"]


def random_case(rng: np.random.Generator) -> Case:
    """Random sizes, unequal clients, τ and η up to the limit; targets near the outputs, in an adversarial direction.

    Every tenth network has neurons that lie exactly on a kink or are zero.
    """
    n, d = int(rng.integers(1, 9)), int(rng.integers(2, 17))
    width, num_clients = int(10 ** rng.uniform(2, 3.4)), int(rng.integers(1, min(n, 4) + 1))
    x = rng.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    owner = rng.permutation(np.concatenate([np.arange(num_clients), rng.integers(0, num_clients, n - num_clients)]))
    weights, signs = rng.standard_normal((width, d)), rng.choice([-1.0, 1.0], width)
    if rng.random() < 0.1:
        weights[:4] -= np.outer(weights[:4] @ x[0], x[0])
        weights[4:6] = 0
    parts = Clients(tuple(np.flatnonzero(owner == c) for c in range(num_clients)))
    gram, eta = _gram_and_largest_step(x, weights, parts)
    vectors = np.linalg.eigh(gram)[1]
    directions = (rng.standard_normal(n), np.ones(n), np.sign(vectors[:, 0]), vectors[:, 0])
    direction = directions[rng.integers(len(directions))]
    outputs = np.maximum(weights @ x.T, 0).T @ signs / np.sqrt(width)
    targets = outputs + 10 ** rng.uniform(-3.5, 0.3) * direction
    return Case(x, targets, parts, weights, signs, rng.uniform(0.1, 0.999) * eta, int(rng.choice([1, 2, 3, 5, 8])))


def _gram_and_largest_step(x: ndarray, weights: ndarray, parts: Clients) -> tuple[Float[ndarray, "n n"], float]:
    active = (weights @ x.T >= 0).astype(float)
    gram = (x @ x.T) * (active.T @ active) / len(weights)
    return gram, 1 / max(float(np.linalg.eigvalsh(gram[np.ix_(s, s)])[-1]) for s in parts.indices)


def correlated_case(seed: int, *, width: int = 40_000) -> Case:
    """Three correlated samples of one client; the residual of one changes sign within a round."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    mix = np.array([[1, 0, 0], [0.9, np.sqrt(0.19), 0], [0.5, 0.3, np.sqrt(0.66)]])
    x = mix @ basis[:3]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weights, signs = rng.standard_normal((width, 8)), rng.choice([-1.0, 1.0], width)
    parts = Clients((np.arange(3),))
    _, eta = _gram_and_largest_step(x, weights, parts)
    outputs = np.maximum(weights @ x.T, 0).T @ signs / np.sqrt(width)
    return Case(x, outputs - np.array([0.8, 0.2, 0.15]), parts, weights, signs, 0.95 * eta, 4)


def opposite_case(seed: int, *, width: int = 20_000) -> Case:
    """Two clients with one sample each, nearly parallel, that pull in opposite directions."""
    rng = np.random.default_rng(seed)
    x = np.array([[1, 0, 0, 0], [0.9, np.sqrt(0.19), 0, 0]])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weights, signs = rng.standard_normal((width, 4)), rng.choice([-1.0, 1.0], width)
    parts = Clients((np.array([0]), np.array([1])))
    _, eta = _gram_and_largest_step(x, weights, parts)
    outputs = np.maximum(weights @ x.T, 0).T @ signs / np.sqrt(len(signs))
    return Case(x, outputs - np.array([0.5, -0.5]), parts, weights, signs, 0.9 * eta, 5)


def slow_case(seed: int) -> Case:
    """`split_case` with the residual in the Gram matrix's slowest direction."""
    case = split_case(seed)
    gram, _ = _gram_and_largest_step(case.inputs, case.weights, case.clients)
    outputs = np.maximum(case.weights @ case.inputs.T, 0).T @ case.signs / np.sqrt(len(case.signs))
    return case._replace(targets=outputs - 1.4 * np.linalg.eigh(gram)[1][:, 0])


def split_case(seed: int, *, width: int = 20_000) -> Case:
    """Four samples on two clients."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, 8)) + 0.5 * rng.standard_normal(8)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weights, signs = rng.standard_normal((width, 8)), rng.choice([-1.0, 1.0], width)
    parts = Clients((np.array([0, 2]), np.array([1, 3])))
    _, eta = _gram_and_largest_step(x, weights, parts)
    return Case(x, rng.choice([-1.0, 1.0], 4), parts, weights, signs, 0.9 * eta, 5)


def plane_case(seed: int) -> Case:
    """Twelve points in the plane, ‖B‖₂ > 1: the residual starts where the 2-norm grows most."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    weights, signs = rng.standard_normal((4000, 2)), rng.choice([-1.0, 1.0], 4000)
    parts = Clients(tuple(np.arange(c, 12, 3) for c in range(3)))
    gram, eta = _gram_and_largest_step(x, weights, parts)
    local = np.where(np.arange(12)[:, None] % 3 == np.arange(12) % 3, np.eye(12) - 0.9 * eta * gram, 0)
    total = 0.9 * eta * sum(np.linalg.matrix_power(local, k) for k in range(20))
    worst = np.linalg.svd(np.eye(12) - gram @ total / 3)[2][0]
    outputs = np.maximum(weights @ x.T, 0).T @ signs / np.sqrt(len(signs))
    return Case(x, outputs - 1e-7 * worst, parts, weights, signs, 0.9 * eta, 20)


def plant(case: Case, share: float, neurons: ndarray, samples: ndarray, rounds: int = 20) -> Case:
    """Move neurons so that each crosses its sample's kink when it has gone ``share`` of the way it goes.

    A certificate that misses what moved them does not name the pair. Moving one changes the run a little: three times.
    """
    lift = np.linalg.pinv(case.inputs)
    for _ in range(3):
        seen, z = follow(case, rounds), case.weights @ case.inputs.T
        weights = case.weights.copy()
        for r, j in zip(neurons, samples, strict=True):
            up, down = seen.highest[r, j] - z[r, j], z[r, j] - seen.lowest[r, j]
            weights[r] += lift[:, j] * ((-share * up if up >= down else share * down) - z[r, j])
        case = case._replace(weights=weights)
    return case
