"""Upper bounds on norms that survive rounding: what a certificate may rest on."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import kernels

__all__ = ["SLACK", "UNIT", "gamma", "largest_eigenvalue", "spectral_norm"]

UNIT = float(np.finfo(np.float64).eps) / 2

#: Relative slack of every bound that is a sum of nonnegative numbers: fewer than 2^22 roundings one after the other
#: change such a sum by less than γ_{2^22} < 5·10^-10 of itself, in any order.
SLACK = 1 + 1e-9


def gamma(roundings: float) -> float:
    """γ_k = k·u/(1 − k·u), Higham's bound on the relative error of k roundings."""
    return roundings * UNIT / (1 - roundings * UNIT)


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
