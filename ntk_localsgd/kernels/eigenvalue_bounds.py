"""Proven bounds on the eigenvalues of a stored symmetric matrix, from any guess of an eigenvalue or eigenvector.

Entries are between 2⁻³⁰⁰ and 2³⁰⁰ at their largest, so that no product of them overflows; what underflows is less than
`TINY` a product and is added. Proofs with these constants: ``docs/theory.md``, appendix B.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.kernels.packed import shifted_factor
from ntk_localsgd.rounding import TINY, UNIT, gamma

__all__ = ["cholesky_lower_bound", "rayleigh_upper_bound"]

# Rows whose absolute values are held at a time: 80 MiB at n = 20,000.
_ROWS = 512


def rayleigh_upper_bound(a: Float[ndarray, "n n"], v: Float[ndarray, " n"]) -> float:
    """λ_min ≤ vᵀAv / vᵀv with the quotient's rounding added: true for any v ≠ 0, sharp for an eigenvector."""
    n = len(a)
    squared = float(v @ v)
    quotient = float(v @ (a @ v)) / squared
    # Two nested inner products; then vᵀv, the quotient and the sums below, with room for evaluating the bound itself.
    sizes = np.concatenate([np.abs(a[start : start + _ROWS]) @ np.abs(v) for start in range(0, n, _ROWS)])
    products = gamma(2 * n + 1) * float(np.abs(v) @ sizes) / squared * (1 + gamma(3 * n))
    return quotient + products + gamma(n + 5) * abs(quotient) + n * TINY


def cholesky_lower_bound(a: Float[ndarray, "n n"], value: float, *, uncertainty: float = 0.0) -> float:
    """A bound below λ_min from a Cholesky factorisation of A − s·I that runs to completion, s a little below ``value``.

    λ_min(A) ≥ s − γ/(1 − γ)·tr(A − s·I) − (rounding of the shift), γ = γ_{n+3}: true for any ``value``, sharp for
    λ_min; ``uncertainty`` is how far below the value λ_min may lie, as a guess that saves factorisations.
    """
    n = len(a)
    growth = gamma(n + 3) / (1 - gamma(n + 3))
    diagonal = np.diagonal(a)
    # Any margin is rigorous; this one lets the factorisation succeed and costs as much as its rounding error does.
    margin = growth * max(float(diagonal.sum()) - n * value, 0.0) + 2 * UNIT * float(np.abs(diagonal).max())
    margin += n * TINY + uncertainty
    for _ in range(60):
        shift = value - margin
        shifted = diagonal - shift
        largest, trace = float(np.abs(shifted).max()), float(shifted.sum())
        # Cholesky's own error, with the rounding of the trace; that of the diagonal's subtraction; that of this sum.
        slack = growth * trace * (1 + growth) + UNIT * (largest + 2 * abs(shift))
        if shifted_factor(a, shift) is not None:
            return shift - slack - n * n * TINY
        # The guess was too large for the shifted matrix to be numerically positive: step back.
        margin *= 2
    return -float(np.abs(a).sum(axis=1).max()) * (1 + growth)  # Gershgorin: always true, never sharp
