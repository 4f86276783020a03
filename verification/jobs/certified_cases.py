"""Networks and data that certificates are tried on: random ones, and ones planted against known traps."""

import numpy as np
from numpy import ndarray

from ntk_localsgd import prediction
from ntk_localsgd.clients import Clients
from verification.jobs.reference import Case, follow

__all__ = [
    "correlated_case",
    "drawn_case",
    "drawn_sphere_case",
    "off_by",
    "opposite_case",
    "plane_case",
    "plant",
    "random_case",
    "slow_case",
    "split_case",
]


def random_case(rng: np.random.Generator) -> Case:
    """Random sizes, unequal clients, τ and η up to the limit; targets near the outputs, in an adversarial direction.

    Every tenth network has neurons that lie exactly on a kink or are zero.
    """
    n, d = int(rng.integers(1, 9)), int(rng.integers(2, 17))
    width, num_clients = int(10 ** rng.uniform(2, 3.4)), int(rng.integers(1, min(n, 4) + 1))
    x = rng.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    owner = rng.permutation(np.concatenate([np.arange(num_clients), rng.integers(0, num_clients, n - num_clients)]))
    weights, signs = _neurons(rng, width, d)
    if rng.random() < 0.1:
        weights[:4] -= np.outer(weights[:4] @ x[0], x[0])
        weights[4:6] = 0
    parts = Clients(tuple(np.flatnonzero(owner == c) for c in range(num_clients)))
    case = _case(x, parts, weights, signs, 1.0, 1)
    vectors = np.linalg.eigh(case.gram)[1]
    directions = (rng.standard_normal(n), np.ones(n), np.sign(vectors[:, 0]), vectors[:, 0])
    direction = directions[rng.integers(len(directions))]
    case = off_by(case, -(10 ** rng.uniform(-3.5, 0.3)) * direction)
    step_size = rng.uniform(0.1, 0.999) * case.step_size
    return case._replace(step_size=step_size, local_steps=int(rng.choice([1, 2, 3, 5, 8])))


def drawn_case(rng: np.random.Generator) -> Case:
    """`random_case` with batches, participants, each client's local steps and a server step; η up to 1/max Θ_ii."""
    case = random_case(rng)
    num_clients = case.clients.num_clients
    return case._replace(
        step_size=rng.uniform(0.1, 0.95) / max(float(np.diagonal(case.gram).max()), 1e-3),
        local_steps=tuple(int(k) for k in rng.choice([1, 2, 3, 5, 8], num_clients)),
        batch_size=int(rng.integers(1, min(case.clients.sizes) + 1)),
        participants=int(rng.integers(1, num_clients + 1)),
        server_step_size=float(rng.choice([0.5, 1.0, 1.0])),
    )


def drawn_sphere_case(rng: np.random.Generator) -> Case:
    """A few points of the sphere in 4n dimensions, near the end of training, with batches and participants."""
    n, width = int(rng.integers(2, 6)), int(10 ** rng.uniform(2.9, 3.5))
    num_clients = int(rng.integers(1, min(n, 3) + 1))
    x = rng.standard_normal((n, 4 * n))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    parts = Clients(tuple(np.sort(part) for part in np.array_split(rng.permutation(n), num_clients)))
    case = _case(x, parts, *_neurons(rng, width, 4 * n), rng.uniform(0.2, 0.9), 1)
    case = off_by(case, 10 ** rng.uniform(-2.5, -0.5) * rng.standard_normal(n))
    return case._replace(
        local_steps=tuple(int(k) for k in rng.integers(1, 6, num_clients)),
        batch_size=int(rng.integers(1, min(parts.sizes) + 1)),
        participants=int(rng.integers(1, num_clients + 1)),
        server_step_size=float(rng.choice([0.5, 1.0, 1.0])),
    )


def _case(x: ndarray, parts: Clients, weights: ndarray, signs: ndarray, share: float, local_steps: int) -> Case:
    """A case without targets yet, η being a share of 1/max_c λ_max(Θ_cc)."""
    case = Case(x, np.zeros(len(x)), parts, weights, signs, 0.0, local_steps)
    gram = case.gram
    largest = max(float(np.linalg.eigvalsh(gram[np.ix_(s, s)])[-1]) for s in parts.indices)
    return case._replace(step_size=share * (1 / largest))


def off_by(case: Case, residual: ndarray) -> Case:
    """The case with targets that leave this residual."""
    return case._replace(targets=case.outputs - residual)


def _neurons(rng: np.random.Generator, width: int, input_dim: int) -> tuple[ndarray, ndarray]:
    return rng.standard_normal((width, input_dim)), rng.choice([-1.0, 1.0], width)


def correlated_case(seed: int, *, width: int = 40_000) -> Case:
    """Three correlated samples of one client; the residual of one changes sign within a round."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    mix = np.array([[1, 0, 0], [0.9, np.sqrt(0.19), 0], [0.5, 0.3, np.sqrt(0.66)]])
    x = mix @ basis[:3]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    case = _case(x, Clients((np.arange(3),)), *_neurons(rng, width, 8), 0.95, 4)
    return off_by(case, np.array([0.8, 0.2, 0.15]))


def opposite_case(seed: int, *, width: int = 20_000) -> Case:
    """Two clients with one sample each, nearly parallel, that pull in opposite directions."""
    rng = np.random.default_rng(seed)
    x = np.array([[1, 0, 0, 0], [0.9, np.sqrt(0.19), 0, 0]])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    case = _case(x, Clients((np.array([0]), np.array([1]))), *_neurons(rng, width, 4), 0.9, 5)
    return off_by(case, np.array([0.5, -0.5]))


def split_case(seed: int, *, width: int = 20_000) -> Case:
    """Four samples on two clients."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, 8)) + 0.5 * rng.standard_normal(8)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    case = _case(x, Clients((np.array([0, 2]), np.array([1, 3]))), *_neurons(rng, width, 8), 0.9, 5)
    return case._replace(targets=rng.choice([-1.0, 1.0], 4))


def slow_case(seed: int) -> Case:
    """`split_case` with the residual in the Gram matrix's slowest direction."""
    case = split_case(seed)
    return off_by(case, 1.4 * np.linalg.eigh(case.gram)[1][:, 0])


def plane_case(seed: int) -> Case:
    """Twelve points in the plane, ‖B‖₂ > 1: the residual starts where the 2-norm grows most."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    parts = Clients(tuple(np.arange(c, 12, 3) for c in range(3)))
    case = _case(x, parts, *_neurons(rng, 4000, 2), 0.9, 20)
    operator = prediction.round_operator(case.gram, parts, case.config)
    return off_by(case, 1e-7 * np.linalg.svd(operator)[2][0])


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
