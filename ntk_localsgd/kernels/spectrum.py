"""The smallest eigenvalue as a rigorous enclosure.

Floating-point eigenvalue routines return approximations; a theorem needs bounds. An approximate eigenvector gives an
upper bound through its Rayleigh quotient, a Cholesky factorisation that runs to completion gives a lower bound; each is
widened by a proven bound on its own rounding.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.errors import InputError

__all__ = ["Enclosure", "smallest_eigenvalue"]

_UNIT_ROUNDOFF = np.finfo(np.float64).eps / 2


class Enclosure(NamedTuple):
    """Numbers ``lower`` ≤ true value ≤ ``upper``."""

    lower: float
    upper: float

    @property
    def width(self) -> float:
        """upper − lower."""
        return self.upper - self.lower


def smallest_eigenvalue(gram: Any, *, error: float = 0.0) -> Enclosure:
    """Rigorous enclosure [lower, upper] of λ_min of a symmetric matrix, in float64.

    lower: if Cholesky of fl(A − s·I) runs to completion, λ_min(A) ≥ s − γ/(1 − γ)·tr(A − s·I) − (rounding of the
    shift), γ = (n + 3)u / (1 − (n + 3)u). upper: λ_min(A) ≤ vᵀAv / vᵀv for the computed eigenvector v, plus its
    rounding error.

    Use this for Gram matrices with n up to 5,000. It holds for every order of summation and for fused multiply-adds; it
    does not hold for a BLAS that multiplies matrices by Strassen's method.

    Parameters
    ----------
    gram
        Symmetric [n n] matrix. If it is not exactly symmetric, its symmetric part is meant, and the difference is added
        to the error.
    error
        Bound on the spectral norm of (true matrix − stored matrix).

    Returns
    -------
    Enclosure
        No wider than 10·n·u·trace + 2·error for positive semidefinite matrices.

    Raises
    ------
    InputError
        If the matrix is not square, not finite or far from symmetric, or the error is negative.

    References
    ----------
    Rump, Verification of positive definiteness, BIT 46 (2006); Higham, Accuracy and stability of numerical algorithms
    (2002), Theorem 10.3. Proof with these constants: ``docs/theory.md``, appendix B.
    """
    a = np.asarray(gram, np.float64)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or not a.size:
        raise InputError(f"gram has shape {a.shape}, needs to be square.")
    if not np.isfinite(a).all():
        raise InputError(f"gram holds {int((~np.isfinite(a)).sum())} non-finite entries, needs to be finite.")
    if not error >= 0:
        raise InputError(f"error is {error}, needs to be at least 0.")
    if not np.array_equal(a, a.T):
        symmetric = (a + a.T) / 2
        asymmetry = float(np.linalg.norm(a - symmetric)) * 1.01
        if asymmetry > 1e-4 * np.linalg.norm(a):
            raise InputError(f"gram differs from its transpose by {2 * asymmetry:.3g}, needs to be symmetric.")
        a, error = symmetric, error + asymmetry
    if len(a) == 1:
        lower = upper = float(a[0, 0])
    else:
        value, vector = _approximate_smallest(a)
        upper = _rayleigh_upper(a, vector)
        lower = _cholesky_lower(a, value)
    return Enclosure(float(np.nextafter(lower - error, -np.inf)), float(np.nextafter(upper + error, np.inf)))


def _approximate_smallest(a: Float[ndarray, "n n"]) -> tuple[float, Float[ndarray, " n"]]:
    """Smallest eigenvalue and eigenvector without any guarantee."""
    values, vectors = scipy.linalg.eigh(a, subset_by_index=[0, 0])
    return float(values[0]), vectors[:, 0]


def _rayleigh_upper(a: Float[ndarray, "n n"], v: Float[ndarray, " n"]) -> float:
    """Upper bound vᵀAv / vᵀv with its rounding error; any v ≠ 0 gives one, a good v a sharp one."""
    n = len(a)
    squared = float(v @ v)
    quotient = float(v @ (a @ v)) / squared
    # Two nested inner products; then vᵀv, the quotient and the sums below, with room for evaluating the bound itself.
    products = _gamma(2 * n + 1) * float(np.abs(v) @ (np.abs(a) @ np.abs(v))) / squared * (1 + _gamma(3 * n))
    return quotient + products + _gamma(n + 5) * abs(quotient) + n * np.finfo(np.float64).tiny


def _cholesky_lower(a: Float[ndarray, "n n"], value: float) -> float:
    """Lower bound from a Cholesky factorisation of A − s·I, with s a little below the approximate eigenvalue."""
    n = len(a)
    gamma, tiny = _gamma(n + 3) / (1 - _gamma(n + 3)), float(np.finfo(np.float64).tiny)
    diagonal = np.diagonal(a)
    # Any margin is rigorous; this one lets the factorisation succeed and costs as much as its rounding error does.
    margin = gamma * max(float(diagonal.sum()) - n * value, 0.0) + 2 * _UNIT_ROUNDOFF * float(np.abs(diagonal).max())
    margin += n * tiny
    for _ in range(60):
        shift = value - margin
        shifted = a.copy()
        shifted.flat[:: n + 1] -= shift
        largest, trace = float(np.abs(np.diagonal(shifted)).max()), float(np.diagonal(shifted).sum())
        # Cholesky's own error, with the rounding of the trace; that of the diagonal's subtraction; that of this sum.
        slack = gamma * trace * (1 + gamma) + _UNIT_ROUNDOFF * (largest + 2 * abs(shift))
        if _cholesky_completes(shifted):
            return shift - slack - n * n * tiny
        # The approximate eigenvalue was too large for the shifted matrix to be numerically positive: step back.
        margin *= 2
    return -float(np.abs(a).sum(axis=1).max()) * (1 + gamma)  # Gershgorin: always true, never sharp


def _cholesky_completes(a: Float[ndarray, "n n"]) -> bool:
    try:
        factor = scipy.linalg.cholesky(a, overwrite_a=True, check_finite=False)
    except scipy.linalg.LinAlgError:
        return False
    return bool(np.isfinite(np.diagonal(factor)).all())


def _gamma(k: int) -> float:
    """γ_k = k·u / (1 − k·u), Higham's bound on the relative error of k roundings."""
    return k * _UNIT_ROUNDOFF / (1 - k * _UNIT_ROUNDOFF)
