"""Upper bounds on norms that survive rounding: what a certificate may rest on."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import kernels
from ntk_localsgd.rounding import SLACK, gamma

__all__ = ["LARGEST", "SMALLEST", "euclidean_norm", "largest_eigenvalue", "norm_bounds", "spectral_norm"]

#: A residual's norm lies between these, and weights below: no square or product of them, or of what a certificate makes
#: of them, overflows, and what underflow takes, below 1e-150, is far within the slack of bounds that grow with ‖r‖.
SMALLEST, LARGEST = 1e-100, 1e100


def euclidean_norm(vector: Float[ndarray, " n"]) -> float:
    """‖v‖₂ of numbers of any size: of v over its largest entry, times that entry."""
    largest = float(np.abs(vector).max())
    return largest * float(np.linalg.norm(vector / largest)) if largest > 0 else 0.0


def largest_eigenvalue(matrix: Float[ndarray, "n n"]) -> float:
    """Rigorous upper bound on λ_max of a symmetric matrix: −λ_min of its negative."""
    return -kernels.smallest_eigenvalue(-matrix).lower


def spectral_norm(matrix: Float[ndarray, "n k"]) -> float:
    """Rigorous upper bound on ‖A‖₂."""
    return kernels.spectral_norm(matrix).upper


def norm_bounds(matrices: Float[ndarray, "... p q"]) -> Float[ndarray, "..."]:
    """Upper bounds (tr (AAᵀ)^8)^{1/16} on ‖A‖₂, at most p^{1/16} times as large, of many matrices at once.

    With ε = pγ ≥ what a computed product of two p×p factors is off by, relative to the square of a norm: ‖fl(AAᵀ)‖₂ ≥
    (1 − ε)‖A‖₂², and two squarings later ‖·‖₂ ≥ (1 − ε)^7 ‖A‖₂^8; the Frobenius norm is no smaller.
    """
    rows, columns = matrices.shape[-2:]
    scale = np.sqrt(np.square(matrices).sum(axis=(-2, -1), keepdims=True))
    power = matrices / np.where(scale > 0, scale, 1.0)
    for _ in range(3):
        power = power @ np.swapaxes(power, -1, -2)
    loss = 8 * rows * gamma(max(rows, columns) + 4)
    return scale[..., 0, 0] * np.sqrt(np.square(power).sum(axis=(-2, -1))) ** (1 / 8) * (1 + 2 * loss) * SLACK
