"""Norms and definiteness of matrices of balls."""

import numpy as np
from flint import arb, arb_mat

__all__ = ["NotShown", "above", "exact", "identity", "is_positive", "length", "middle", "norm", "shown", "times"]


class NotShown(Exception):
    """A claim is false, or is not shown to be true."""


def identity(n: int) -> arb_mat:
    """1, n×n."""
    return arb_mat([[int(i == j) for j in range(n)] for i in range(n)])


def middle(matrix: arb_mat) -> np.ndarray:
    """Near the balls' middles, in float64."""
    return np.array([[float(v.mid()) for v in row] for row in matrix.table()])


def exact(matrix: np.ndarray) -> arb_mat:
    """Float64 numbers without rounding."""
    return arb_mat([[arb(float(v)) for v in row] for row in matrix])


def above(value: arb) -> arb:
    """The upper end, as an exact number."""
    return value.upper()


def length(vector: list[arb]) -> arb:
    """‖v‖₂."""
    return sum((v * v for v in vector), arb(0)).sqrt()


def times(matrix: arb_mat, vector: list[arb]) -> list[arb]:
    """Av."""
    return [row[0] for row in (matrix * arb_mat([[v] for v in vector])).table()]


def shown(value: arb) -> str:
    """Some digits, for a sentence."""
    return str(value.str(10, radius=False))


def is_positive(matrix: arb_mat) -> bool:
    """Whether a symmetric matrix is shown to be positive definite: all pivots of LDLᵀ are."""
    n, rows = matrix.nrows(), matrix.table()
    for k in range(n):
        if not rows[k][k] > 0:
            return False
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            for j in range(k + 1, i + 1):
                rows[i][j] -= factor * rows[j][k]
    return True


def norm(matrix: arb_mat) -> arb:
    """s ≥ ‖A‖₂, near it: s²·1 − AᵀA is shown to be positive definite."""
    guess, room = float(np.linalg.norm(middle(matrix), 2)) + 1e-300, 1e-14
    product = matrix.transpose() * matrix
    while room < 1:
        bound = arb(guess * (1 + room))
        if is_positive(identity(matrix.ncols()) * (bound * bound) - product):
            return bound
        room *= 4
    raise NotShown("not confirmed: a norm cannot be enclosed")
