"""Gram matrices of several outputs as matrices."""

from typing import Any

from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array

__all__ = ["as_matrix"]


def as_matrix(gram: Any) -> Float[ndarray, "no ko"]:
    """[n k o o] as the matrix of all outputs of all samples, row i·o + a and column j·o + b; [n k] as it is.

    >>> as_matrix([[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]]).tolist()
    [[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]]
    """
    held = real_array("gram", gram, ndim=(2, 4))
    if held.ndim == 2:
        return held
    n, k, o, p = held.shape
    matrix: ndarray = held.transpose(0, 2, 1, 3).reshape(n * o, k * p)
    return matrix
