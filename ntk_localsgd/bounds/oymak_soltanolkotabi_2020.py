"""Oymak and Soltanolkotabi, Towards moderate overparameterization (2020)."""

from ntk_localsgd.bounds.bound import Bound, symbols, theorem

__all__ = ["theorem_separation"]


@theorem
def theorem_separation() -> Bound:
    """K3 [R]: λ0 ≥ φ± / (100 n²)."""
    n, phi = symbols("n phi")
    return Bound("K3", "R", "Oymak and Soltanolkotabi 2020", "λ0 = λ_min(H^∞)", ">=", phi / (100 * n**2))
