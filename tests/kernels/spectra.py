"""Matrices with a known spectrum, and exact signs of pivots."""

import flint
import numpy as np


def has_eigenvalue_below(a, shift):
    """Whether A − shift·I has a negative pivot in exact rational LDLᵀ: whether λ_min < shift."""
    n = len(a)
    rows = [[flint.fmpq(*map(int, float(v).as_integer_ratio())) for v in row] for row in a]
    numerator, denominator = float(shift).as_integer_ratio()
    for i in range(n):
        rows[i][i] -= flint.fmpq(numerator, denominator)
    for k in range(n):
        if rows[k][k] <= 0:
            return True
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            for j in range(k, n):
                rows[i][j] -= factor * rows[k][j]
    return False


def with_spectrum(values, seed=0):
    n = len(values)
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    a = (q * values) @ q.T
    return (a + a.T) / 2
