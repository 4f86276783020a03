"""Upper bounds on norms that survive rounding: what a certificate may rest on."""

from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import kernels

__all__ = ["largest_eigenvalue", "spectral_norm"]


def largest_eigenvalue(matrix: Float[ndarray, "n n"]) -> float:
    """Rigorous upper bound on λ_max of a symmetric matrix: −λ_min of its negative."""
    return -kernels.smallest_eigenvalue(-matrix).lower


def spectral_norm(matrix: Float[ndarray, "n k"]) -> float:
    """Rigorous upper bound on ‖A‖₂."""
    return kernels.spectral_norm(matrix).upper
