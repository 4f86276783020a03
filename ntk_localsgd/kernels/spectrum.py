"""The smallest eigenvalue and the spectral norm as rigorous enclosures.

Floating-point eigenvalue routines return approximations; a theorem needs bounds. An approximate eigenvector gives one
through its Rayleigh quotient, a Cholesky factorisation that runs to completion gives the other; each is widened by a
proven bound on its own rounding.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels.eigenvalue_bounds import cholesky_lower_bound, rayleigh_upper_bound
from ntk_localsgd.kernels.extremes import Eigenpair, lanczos, lapack_extreme, shift_and_invert
from ntk_localsgd.kernels.outputs import as_matrix
from ntk_localsgd.rounding import SLACK, TINY, UNIT, gamma, unit
from ntk_localsgd.threads import threads_for

__all__ = ["LARGE", "Enclosure", "smallest_eigenvalue", "spectral_norm"]

#: Rows above which Lanczos steps are faster than LAPACK's eigenvalue routine.
LARGE = 1000

# Largest entries beyond 2^±300 are scaled: products of two, and sums of 2^20 of those, neither over- nor underflow.
_EXPONENT = 300

# Rows and columns of a block that is compared with its mirror image: two of them fit into a cache.
_BLOCK = 256

# Residual, relative to the eigenvalue, at which Lanczos steps for a norm end, and their largest number.
_NORM, _NORM_STEPS = 1e-9, 400


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

    Use this for Gram matrices with n up to 20,000: float64, exactly symmetric, they need 1.75 times their own memory
    (5.4 GiB, the program included) and two to four times the time of one Cholesky factorisation. It holds for every
    order of summation and for fused multiply-adds; it does not hold for a BLAS that multiplies matrices by Strassen's
    method.

    Parameters
    ----------
    gram
        Symmetric [n n] matrix, or [n n o o] of several outputs, as `as_matrix` has it. If it is not exactly symmetric,
        its symmetric part is meant, and the difference is added to the error.
    error
        Bound on the spectral norm of (true matrix − stored matrix).

    Returns
    -------
    Enclosure
        No wider than 10·n·u·trace + 2·error for positive semidefinite matrices.

    Raises
    ------
    InputError
        If the matrix is not square, not real and finite or far from symmetric; if the error is negative, or smaller
        than one rounding in the dtype of a matrix that is not in float64: bound and matrix belong to two precisions.

    References
    ----------
    Rump, Verification of positive definiteness, BIT 46 (2006); Higham, Accuracy and stability of numerical algorithms
    (2002), Theorem 10.3. Proof with these constants: ``docs/theory.md``, appendix B.

    >>> lower, upper = smallest_eigenvalue([[2, 1], [1, 2]])
    >>> 1 - 1e-14 < lower < 1 < upper < 1 + 1e-14
    True
    """
    a, exponent = _scaled("gram", as_matrix(gram) if np.ndim(gram) == 4 else gram)
    if a.shape[0] != a.shape[1]:
        raise InputError(f"gram has shape {a.shape}, needs to be square.")
    _check_error(error, gram, a)
    asymmetry = 0.0
    if not _is_symmetric(a):
        symmetric = (a + a.T) / 2
        asymmetry = float(np.linalg.norm(a - symmetric)) * 1.01
        if asymmetry > 1e-4 * np.linalg.norm(a):
            raise InputError(f"gram differs from its transpose by {2 * asymmetry:.3g}, needs to be symmetric.")
        a = symmetric
    with threads_for(len(a)):
        lower, upper = (float(a[0, 0]),) * 2 if len(a) == 1 else _smallest(a)
    return _enclosure(lower, upper, exponent, asymmetry=asymmetry, error=float(error))


def spectral_norm(matrix: Any) -> Enclosure:
    """Rigorous enclosure of ‖A‖₂, from the largest eigenvalue of A, or of AᵀA where A is not symmetric.

    The eigenvalue comes from LAPACK up to 1,000 rows and from Lanczos steps beyond, and is then proven: a Cholesky
    factorisation of (λ + ε)·I ∓ A that runs to completion. The product AᵀA is computed with an error of spectral norm
    at most γ_n ‖ |A|ᵀ|A| ‖₂ ≤ γ_n ‖A‖_F².

    Parameters
    ----------
    matrix
        Real [n k] matrix, symmetric or not.

    Returns
    -------
    Enclosure
        Its width is about 10·n²·u of the norm, and 10⁻⁸ of it beyond 1,000 rows (of AᵀA, or of A if symmetric).

    Raises
    ------
    InputError
        If the matrix is not real and finite.

    >>> lower, upper = spectral_norm([[3, 0], [4, 0]])
    >>> 5 - 1e-13 < lower < 5 < upper < 5 + 1e-13
    True
    """
    a, exponent = _scaled("matrix", matrix)
    if not a.any():
        return Enclosure(0.0, 0.0)
    if a.shape[0] == a.shape[1] and _is_symmetric(a):
        with threads_for(len(a)):
            lower, upper = _largest_modulus(a)
    else:
        tall = a if a.shape[0] >= a.shape[1] else a.T
        product = tall.T @ tall
        rounding = (gamma(len(tall) + 2) * float(np.square(tall).sum()) + a.size * TINY) * SLACK
        with threads_for(len(product)):
            least, most = _largest_modulus((product + product.T) / 2, semidefinite=True)
        least, most = np.nextafter(least - rounding, -np.inf), np.nextafter(most + rounding, np.inf)
        lower, upper = (float(np.sqrt(max(end, 0.0))) for end in (least, most))
        lower, upper = float(np.nextafter(lower, -np.inf)), float(np.nextafter(upper, np.inf))
    lower, upper = _enclosure(lower, upper, exponent)
    return Enclosure(max(lower, 0.0), upper)


def _is_symmetric(a: Float[ndarray, "n n"]) -> bool:
    """Exactly; in blocks, so that both triangles are read in the order in which they are stored."""
    starts = range(0, len(a), _BLOCK)
    blocks = ((slice(i, i + _BLOCK), slice(j, j + _BLOCK)) for i in starts for j in starts if i <= j)
    return all(np.array_equal(a[rows, columns], a[columns, rows].T) for rows, columns in blocks)


def _scaled(name: str, matrix: Any) -> tuple[Float[ndarray, "n k"], int]:
    """A/2^e and e, 0 for entries of usual size. What underflows is covered by the bounds' multiples of TINY."""
    a = real_array(name, matrix, ndim=2)
    given, size = np.asarray(matrix), max(float(a.max()), -float(a.min()))
    wide = given.dtype.itemsize > 8 or given.dtype.kind == "O" or (given.dtype.kind in "iu" and size >= 2.0**53)
    if wide and not (given.astype(object) == a.astype(object)).all():
        raise InputError(f"{name} holds numbers that float64 rounds, needs to be rounded by who knows by how much.")
    exponent = math.frexp(size)[1]
    if not size or -_EXPONENT <= exponent <= _EXPONENT:
        return a, 0
    with np.errstate(under="ignore"):
        return np.ldexp(a, -exponent), exponent


def _check_error(error: float, gram: Any, a: Float[ndarray, "n n"]) -> None:
    """Refuse an error that is no bound, or cannot be one of this matrix."""
    try:
        positive = float(error) >= 0
    except (TypeError, ValueError):
        positive = False
    if not positive:
        raise InputError(f"error is {error}, needs to be a number of at least 0.")
    dtype = np.asarray(gram).dtype
    if dtype.itemsize < 8 and jnp.issubdtype(dtype, jnp.floating):
        least = unit(dtype) * max(float(a.max()), -float(a.min()))
        if 0 < error < least:
            raise InputError(
                f"error is {error:.3g}, but gram is {dtype.name}, whose roundings reach {least:.3g}: one precision "
                "for both is needed."
            )


def _enclosure(lower: float, upper: float, exponent: int, *, asymmetry: float = 0.0, error: float = 0.0) -> Enclosure:
    """Both ends times 2^e, moved outward by the errors and by the rounding of doing so."""
    with np.errstate(over="ignore", under="ignore"):
        lower, upper, asymmetry = (float(np.ldexp(end, exponent)) for end in (lower, upper, asymmetry))
        error = float(np.nextafter(error + asymmetry, np.inf)) if asymmetry else error
        return Enclosure(float(np.nextafter(lower - error, -np.inf)), float(np.nextafter(upper + error, np.inf)))


def _smallest(a: Float[ndarray, "n n"]) -> tuple[float, float]:
    """Bounds on λ_min; from a second guess too where the first leaves them wider than documented."""
    lower, upper, trace = -math.inf, math.inf, float(np.trace(a))
    for guess in _guesses(a):
        lower = max(lower, cholesky_lower_bound(a, guess.value, uncertainty=guess.distance))
        upper = min(upper, rayleigh_upper_bound(a, guess.vector))
        if upper - lower <= 10 * len(a) * UNIT * max(trace, trace - len(a) * upper):
            break
    return lower, upper


def _guesses(a: Float[ndarray, "n n"]) -> Iterator[Eigenpair]:
    if len(a) > LARGE and (pair := shift_and_invert(a)) is not None:
        yield pair
    yield lapack_extreme(a)


def _largest_modulus(a: Float[ndarray, "n n"], *, semidefinite: bool = False) -> tuple[float, float]:
    """Bounds on max |λ|, or on λ_max where nothing is asked of the other end."""
    pair = None
    if len(a) > LARGE:
        start = np.random.default_rng(0).standard_normal(len(a))
        pair = lanczos(partial(np.matmul, a), start, _NORM_STEPS, settled=_norm_settled)
    if pair is None or not _norm_settled(pair):
        ends = (
            [lapack_extreme(a, largest=True)] if semidefinite else [lapack_extreme(a), lapack_extreme(a, largest=True)]
        )
        pair = max(ends, key=lambda end: abs(end.value))
    negated = -a if pair.value >= 0 or semidefinite else a
    lower = -rayleigh_upper_bound(negated, pair.vector)
    upper = -cholesky_lower_bound(negated, -abs(pair.value), uncertainty=pair.residual)
    if not semidefinite:  # the other end of the spectrum is no farther out
        upper = max(upper, -cholesky_lower_bound(-negated, -upper))
    return lower, upper


def _norm_settled(pair: Eigenpair) -> bool:
    return pair.residual <= _NORM * abs(pair.value)
