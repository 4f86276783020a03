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

# Rows above which shift and invert is faster than LAPACK's eigenvalue routine; steps between two of its factorisations,
# each as long as reading the matrix once; factorisations after which LAPACK is asked after all.
_LARGE, _LANCZOS, _MOST_FACTORISATIONS = 1000, 12, 6


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

    Use this for Gram matrices with n up to 10,000, which take about 20 s on two cores. It holds for every order of
    summation and for fused multiply-adds; it does not hold for a BLAS that multiplies matrices by Strassen's method.

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
    if len(a) > _LARGE and (found := _inverse_lanczos(a)):
        return found
    values, vectors = scipy.linalg.eigh(a, subset_by_index=[0, 0])
    return float(values[0]), vectors[:, 0]


def _inverse_lanczos(a: Float[ndarray, "n n"]) -> tuple[float, Float[ndarray, " n"]] | None:
    """The same for a large positive definite matrix by shift and invert; None where that does not settle.

    A few Lanczos steps with (A − s·I)⁻¹ estimate λ_min and their own error, and the next shift lies that error below:
    each factorisation makes the gap to the other eigenvalues relatively wider. Three or four factorisations of n³/3
    operations in place of a reduction to tridiagonal form, 4n³/3, half of which waits for memory.
    """
    n, shift = len(a), 0.0
    vector = np.random.default_rng(0).standard_normal(n)
    factor = _factor(a, shift)
    for _ in range(_MOST_FACTORISATIONS):
        if factor is None:
            return None
        vector, inverse, off = _lanczos(factor, vector)
        value = shift + 1 / inverse
        below = value - (shift + 1 / (inverse + off))
        if below <= 0.01 * n * _UNIT_ROUNDOFF * float(np.trace(a)):
            return value, vector
        for distance in (below, 4 * below, 16 * below):
            shift = value - distance
            if (factor := _factor(a, shift)) is not None:
                break
    return None


def _factor(a: Float[ndarray, "n n"], shift: float) -> Float[ndarray, "n n"] | None:
    """Cholesky factor of A − s·I below its diagonal, in Fortran's order; None if that is not positive definite."""
    shifted = a.T.copy(order="F")  # A is symmetric
    shifted.T.flat[:: len(a) + 1] -= shift
    factor, failed = scipy.linalg.lapack.dpotrf(shifted, lower=1, overwrite_a=1, clean=0)
    return None if failed else factor


def _lanczos(factor: Float[ndarray, "n n"], start: Float[ndarray, " n"]) -> tuple[Float[ndarray, " n"], float, float]:
    """Largest eigenvalue of the inverse: its vector, itself, and the length of its residual."""
    basis = np.zeros((_LANCZOS + 1, len(start)))
    basis[0] = start / np.linalg.norm(start)
    diagonal: list[float] = []
    beside: list[float] = []
    for k in range(_LANCZOS):
        image = scipy.linalg.blas.dtrsv(factor, basis[k], lower=1)
        image = scipy.linalg.blas.dtrsv(factor, image, lower=1, trans=1)
        diagonal.append(float(basis[k] @ image))
        for _ in range(2):  # once leaves components of the size of the cancellation
            image -= (basis[: k + 1] @ image) @ basis[: k + 1]
        beside.append(float(np.linalg.norm(image)))
        if beside[-1] <= 100 * _UNIT_ROUNDOFF * abs(diagonal[-1]):  # nothing but rounding is left
            break
        basis[k + 1] = image / beside[-1]
    steps = len(diagonal)
    values, vectors = scipy.linalg.eigh_tridiagonal(
        diagonal, beside[:-1], select="i", select_range=(steps - 1, steps - 1)
    )
    return vectors[:, 0] @ basis[:steps], float(values[0]), beside[-1] * abs(float(vectors[-1, 0]))


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
