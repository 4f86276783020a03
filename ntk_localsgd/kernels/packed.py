"""Cholesky factors of shifted symmetric matrices in half the memory of the matrix, which stays as it is.

LAPACK's rectangular full packed format holds one triangle in n(n + 1)/2 numbers, as blocks on which the factorisation
runs at the speed of matrix products.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.linalg import blas, lapack

__all__ = ["Factor", "diagonal_places", "shifted_factor"]

# Factorisation of the packed matrix and solution of a triangular system, by the dtype of the entries.
_ROUTINES = {
    np.dtype(np.float64): (lapack.dpftrf, blas.dtrsv),
    np.dtype(np.float32): (lapack.spftrf, blas.strsv),
}
_LOWER = {"transr": "N", "uplo": "L"}

# Rows of a triangular system that are solved at a time; the rest of it is a product with a vector.
_ROWS = 128


class Factor(NamedTuple):
    """L with LLᵀ = A − s·I up to rounding, packed."""

    size: int
    entries: Float[ndarray, " n*(n+1)/2"]

    def solve(self, vector: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
        """(A − s·I)⁻¹v in float64, computed in the dtype of the factor.

        By products with a vector, which wait for memory only: LAPACK's own solution of one packed system takes 1.5
        times as long in float64, 2.7 times in float32.
        """
        first, below, second = self.blocks()
        right = vector.astype(self.entries.dtype)
        above, rest = right[: len(first)], right[len(first) :]
        above = _solved(first, above, lower=True)
        rest = _solved(second, rest - below @ above, transposed=True)
        rest = _solved(second, rest)
        above = _solved(first, above - rest @ below, lower=True, transposed=True)
        return np.concatenate([above, rest]).astype(np.float64)

    def blocks(self) -> tuple[Float[ndarray, "p p"], Float[ndarray, "q p"], Float[ndarray, "q q"]]:
        """L_11 in a lower triangle, L_21, and L_22ᵀ in an upper triangle, with L = [L_11 0; L_21 L_22]; no copies."""
        even, p, q = 1 - self.size % 2, (self.size + 1) // 2, self.size // 2
        columns = self.entries.reshape(p, self.size + even).T
        return columns[even : even + p], columns[even + p :], columns[:q, 1 - even : 1 - even + q]


def _solved(
    triangle: Float[ndarray, "p p"], right: Float[ndarray, " p"], *, lower: bool = False, transposed: bool = False
) -> Float[ndarray, " p"]:
    """Solution of a triangular system, block by block of unknowns; the other triangle is not read."""
    solution, size = right.copy(), len(right)
    substitute, down = _ROUTINES[right.dtype][1], lower != transposed
    starts = range(0, size, _ROWS)
    for start in starts if down else reversed(starts):
        block = slice(start, min(start + _ROWS, size))
        rest = slice(block.stop, size) if down else slice(0, start)
        corner = np.asfortranarray(triangle[block, block])
        solution[block] = substitute(corner, solution[block], lower=lower, trans=transposed)
        beside = triangle[block, rest].T if transposed else triangle[rest, block]
        solution[rest] -= beside @ solution[block]
    return solution


def shifted_factor(a: Float[ndarray, "n n"], shift: float, dtype: Any = np.float64) -> Factor | None:
    """Cholesky factor of fl(A − s·I), rounded to ``dtype`` first; None if a pivot is not positive.

    Parameters
    ----------
    a
        Symmetric [n n] matrix in float64, read only; without a copy where its rows or columns are contiguous.
    shift
        s.
    dtype
        float64 or float32.
    """
    n = len(a)
    entries, _ = lapack.dtrttf(a.T, **_LOWER)  # A is symmetric, and the transpose of C's order is Fortran's
    places = diagonal_places(n)
    entries[places] -= shift
    with np.errstate(over="ignore", under="ignore"):  # a pivot that is not finite is none
        entries = entries.astype(dtype, copy=False)
    factor, failed = _ROUTINES[entries.dtype][0](n, entries, overwrite_a=1, **_LOWER)
    return None if failed or not np.isfinite(factor[places]).all() else Factor(n, factor)


def diagonal_places(n: int) -> Int[ndarray, " n"]:
    """Where the packed format of the lower triangle has a_11 … a_nn.

    >>> from scipy.linalg import lapack
    >>> packed, _ = lapack.dtrttf(np.diag([1.0, 2.0, 3.0, 4.0, 5.0]), transr="N", uplo="L")
    >>> packed[diagonal_places(5)]
    array([1., 2., 3., 4., 5.])
    """
    first, rest, even = np.arange((n + 1) // 2), np.arange(n // 2), 1 - n % 2
    column = n + even  # numbers a column: the second block's triangle stands beside or above the first's
    return np.concatenate([first * (column + 1) + even, rest * (column + 1) + (1 - even) * column])
