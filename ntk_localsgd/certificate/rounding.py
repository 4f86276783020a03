"""Upper bounds on norms that survive rounding: what a certificate may rest on."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import kernels

__all__ = ["LARGEST", "SMALLEST", "euclidean_norm", "largest_eigenvalue", "spectral_norm"]

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
