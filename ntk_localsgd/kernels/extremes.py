"""Approximate extreme eigenvalues of a symmetric matrix, without any guarantee: what the proven bounds start from."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.rounding import UNIT

__all__ = ["Eigenpair", "lanczos", "lapack_extreme", "shift_and_invert"]

# Lanczos steps between two factorisations, each as long as reading the matrix once; steps for a first shift below an
# indefinite matrix; factorisations after which shift and invert gives up.
_BETWEEN, _FIRST, _MOST_FACTORISATIONS = 12, 40, 6


class Eigenpair(NamedTuple):
    """An approximate eigenvalue λ, its vector v of length 1, and ‖Av − λv‖: some eigenvalue is that near."""

    value: float
    vector: Float[ndarray, " n"]
    residual: float


def lapack_extreme(a: Float[ndarray, "n n"], *, largest: bool = False) -> Eigenpair:
    """Smallest or largest eigenvalue by LAPACK: 4n³/3 operations, half of which wait for memory."""
    place = len(a) - 1 if largest else 0
    values, vectors = scipy.linalg.eigh(a, subset_by_index=[place, place])
    if not values.size:  # LAPACK's syevr gives up on some clusters, without a word
        values, vectors = (part[..., [place]] for part in scipy.linalg.eigh(a, driver="evd"))
    return Eigenpair(float(values[0]), vectors[:, 0], 0.0)


def lanczos(
    product: Callable[[Float[ndarray, " n"]], Float[ndarray, " n"]],
    start: Float[ndarray, " n"],
    steps: int,
    *,
    tolerance: float = 0.0,
    smallest: bool = False,
) -> Eigenpair:
    """Eigenvalue of largest modulus, or the smallest one, of the symmetric operator v ↦ ``product(v)``.

    Ends after ``steps`` products or n, or as soon as the residual is below ``tolerance`` times the value, tried every
    tenth step. Every step is made orthogonal to all before it.
    """
    steps = min(steps, len(start))
    basis = np.zeros((steps + 1, len(start)))
    basis[0] = start / np.linalg.norm(start)
    diagonal: list[float] = []
    beside: list[float] = []
    for k in range(steps):
        image = product(basis[k])
        diagonal.append(float(basis[k] @ image))
        for _ in range(2):  # once leaves components of the size of the cancellation
            image = image - (basis[: k + 1] @ image) @ basis[: k + 1]
        beside.append(float(np.linalg.norm(image)))
        last = k + 1 == steps or beside[-1] <= 100 * UNIT * abs(diagonal[-1])  # nothing but rounding is left
        if last or (tolerance and k % 10 == 9):
            values, vectors = scipy.linalg.eigh_tridiagonal(diagonal, beside[:-1])
            place = 0 if smallest else int(np.argmax(np.abs(values)))
            residual = beside[-1] * abs(float(vectors[-1, place]))
            if last or residual <= tolerance * abs(values[place]):
                break
        basis[k + 1] = image / beside[-1]
    return Eigenpair(float(values[place]), vectors[:, place] @ basis[: len(diagonal)], residual)


def shift_and_invert(a: Float[ndarray, "n n"]) -> Eigenpair | None:
    """Smallest eigenvalue of a large matrix by Lanczos steps with (A − s·I)⁻¹; None where that does not settle.

    They estimate λ_min and their own error, and the next shift lies that error below: each factorisation makes the gap
    to the other eigenvalues relatively wider. Three or four factorisations of n³/3 operations.
    """
    n, shift, trace = len(a), 0.0, float(np.trace(a))
    vector = np.random.default_rng(0).standard_normal(n)
    if (factor := _factor(a, shift)) is None:
        value, vector, below = lanczos(partial(np.matmul, a), vector, _FIRST, smallest=True)
        shift, factor = _factor_below(a, value, below)
    for _ in range(_MOST_FACTORISATIONS):
        if factor is None:
            return None
        inverse, vector, off = lanczos(partial(_solve, factor), vector, _BETWEEN)
        value = shift + 1 / inverse
        below = value - (shift + 1 / (inverse + off))
        if below <= 0.01 * n * UNIT * max(trace, trace - n * value):
            # The residual of the inverse weighs large eigenvalues of A little, its quotient weighs them fully: one more
            # product with the inverse takes them out.
            return Eigenpair(value, _solve(factor, vector), below)
        shift, factor = _factor_below(a, value, below)
    return None


def _factor_below(
    a: Float[ndarray, "n n"], value: float, distance: float
) -> tuple[float, Float[ndarray, "n n"] | None]:
    """The first of three shifts further and further below an approximate eigenvalue that has a factor."""
    for shift in (value - distance, value - 4 * distance, value - 16 * distance):
        if (factor := _factor(a, shift)) is not None:
            break
    return shift, factor


def _factor(a: Float[ndarray, "n n"], shift: float) -> Float[ndarray, "n n"] | None:
    """Cholesky factor of A − s·I below its diagonal, in Fortran's order; None if that is not positive definite."""
    shifted = a.T.copy(order="F")  # A is symmetric
    shifted.T.flat[:: len(a) + 1] -= shift
    factor, failed = scipy.linalg.lapack.dpotrf(shifted, lower=1, overwrite_a=1, clean=0)
    return None if failed else factor


def _solve(factor: Float[ndarray, "n n"], vector: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """(A − s·I)⁻¹v by two triangular solves."""
    half = scipy.linalg.blas.dtrsv(factor, vector, lower=1)
    return scipy.linalg.blas.dtrsv(factor, half, lower=1, trans=1)
