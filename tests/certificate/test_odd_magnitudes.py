"""Certificates of small networks of odd magnitudes: never a false one, and else nothing but a sentence."""

import mpmath
import numpy as np
import pytest

from ntk_localsgd import datasets
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


_DIGITS = 200

_mp = np.vectorize(mpmath.mpf, otypes=[object])


def _false(case, proof, rounds=25):
    """Whether a run in 200 digits, on the rows that the certificate is about, breaks it.

    A float64 run is off by the rounding of weights, which may be 10¹⁰ times what they move by.
    """
    with mpmath.workdps(_DIGITS):
        x, y, start = (
            _mp(v) for v in (datasets.from_arrays(case.inputs, case.targets).inputs, case.targets, case.weights)
        )
        scale, eta = _mp(case.signs) / mpmath.sqrt(len(case.signs)), mpmath.mpf(case.step_size)
        at, off, norms, movement = start, np.zeros(case.weights.shape[:1] + x.shape[:1], bool), [], mpmath.mpf(0)
        for _ in range(rounds + 1):
            residual = scale @ np.maximum(at @ x.T, 0) - y
            norms.append(mpmath.sqrt(residual @ residual))
            ends = []
            for part in case.clients.indices:
                local = at
                for _ in range(case.local_steps):
                    z = local @ x[part].T
                    error = scale @ np.maximum(z, 0) - y[part]
                    local = local - eta * scale[:, None] * (((z >= 0) * error) @ x[part])
                    seen = local @ x[part].T
                    off[:, part] |= ((seen >= 0) != (start @ x[part].T >= 0)).astype(bool)
                    moved = local - start
                    movement = max(movement, max(mpmath.sqrt(row @ row) for row in moved))
                ends.append(local)
            at = sum(ends[1:], ends[0]) / len(ends)
            off |= ((at @ x.T >= 0) != (start @ x.T >= 0)).astype(bool)
        named = np.zeros_like(off)
        named[proof.switching[:, 1], proof.switching[:, 0]] = True
        above = [norm > proof.constant * mpmath.mpf(proof.rate) ** t * norms[0] for t, norm in enumerate(norms)]
        return any(above) or movement > proof.radius or bool((off & ~named).any())


@pytest.mark.parametrize("method", ["ball", "path"])
def test_no_certificate_of_odd_magnitudes_is_false(method):
    rng, certified, count = np.random.default_rng(0), 0, 25
    for _ in range(count):
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            case = odd_case(rng)
        proof = certify(case, method)
        if proof is not None and proof.certified:
            certified += 1
            tally = Tally()
            tally.add(case, proof)
            assert not tally.failed or not _false(case, proof), (case, proof)
    assert certified > count / 5
