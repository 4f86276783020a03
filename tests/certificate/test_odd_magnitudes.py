"""Certificates of small networks of odd magnitudes: never a false one, and else nothing but a sentence."""

import numpy as np
import pytest

from ntk_localsgd.clients import Clients
from verification.jobs.certificates import Tally, certify
from verification.jobs.certified_cases import off_by
from verification.jobs.reference import Case

# (n, d, m, K): few shapes, since each is compiled.
SHAPES = ((1, 1, 4, 1), (2, 2, 6, 2), (3, 2, 8, 2), (4, 4, 64, 4))


def odd_case(rng):
    """Weights of 2^±500, alone or together; neurons twice; targets 0; residuals of any size; clients of one sample."""
    n, d, m, num_clients = SHAPES[rng.integers(len(SHAPES))]
    x = rng.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weights, signs = rng.standard_normal((m, d)), rng.choice([-1.0, 1.0], m)
    kind = rng.integers(4)
    if kind == 0:
        weights = weights * 2.0 ** rng.integers(-500, 501)
    elif kind == 1:
        weights = weights * 2.0 ** rng.integers(-500, 501, (m, 1))
    if rng.random() < 0.3:  # f = 0 exactly, or twice as much of everything
        weights[m // 2 :] = weights[: m // 2]
        signs[m // 2 :] = signs[: m // 2] * rng.choice([-1, 1])
    owner = np.arange(n) % num_clients
    parts = Clients(tuple(np.flatnonzero(owner == c) for c in range(num_clients)))
    case = Case(x, np.zeros(n), parts, weights, signs, 0.0, int(rng.choice([1, 2, 5])))
    largest = max(float(np.linalg.eigvalsh(case.gram[np.ix_(s, s)])[-1]) for s in parts.indices)
    case = case._replace(step_size=rng.uniform(0.1, 0.999) / max(largest, 1e-3))
    if rng.random() < 0.3:
        return case
    scale = np.abs(weights).max() if rng.random() < 0.5 else 1.0
    return off_by(case, scale * 10.0 ** rng.integers(-12, 2) * rng.standard_normal(n))


@pytest.mark.parametrize("method", ["ball", "path"])
def test_no_certificate_of_odd_magnitudes_is_false(method):
    rng, tally, count = np.random.default_rng(0), Tally(), 150
    for _ in range(count):
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            case = odd_case(rng)
        if (proof := certify(case, method)) is not None:
            tally.add(case, proof)
    assert tally.failed == 0
    assert tally.certified > count / 15, tally
    assert max(tally.rate, tally.movement) <= 1 + 1e-9
