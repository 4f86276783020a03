"""Upper bounds on norms that survive rounding: what a certificate may rest on."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import kernels
from ntk_localsgd.rounding import SLACK, gamma

__all__ = ["largest_eigenvalue", "spectral_norm"]


def largest_eigenvalue(matrix: Float[ndarray, "n n"]) -> float:
    """Rigorous upper bound on λ_max of a symmetric matrix: −λ_min of its negative."""
    return -kernels.smallest_eigenvalue(-matrix).lower


def spectral_norm(matrix: Float[ndarray, "n k"]) -> float:
    """Rigorous upper bound on ‖A‖₂ = λ_max(AᵀA)^{1/2}.

    The product AᵀA is computed with an error of spectral norm at most γ_n ‖ |A|ᵀ|A| ‖₂ ≤ γ_n ‖A‖_F².
    """
    product = matrix.T @ matrix
    rounding = gamma(len(matrix) + 2) * float(np.square(matrix).sum())
    return float(np.sqrt(max(largest_eigenvalue((product + product.T) / 2), 0.0) + rounding)) * SLACK
