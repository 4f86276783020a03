"""Tropp, User-friendly tail bounds for sums of random matrices (2012)."""

import sympy as sp

from ntk_localsgd.bounds.bound import Bound, symbols, theorem

__all__ = ["theorem_5_1_gram"]


@theorem
def theorem_5_1_gram() -> Bound:
    """K4b [P]: m ≥ 32 ‖X‖² log(n/δ) / λ0 gives λ_min(H(0)) ≥ ¾ λ0 with probability ≥ 1 − δ (matrix Chernoff).

    H(0) is a mean of m independent positive semidefinite matrices of spectral norm at most ‖X‖²; the lower tail at ¼
    has probability at most n·exp(−(¼)² m λ0 / (2‖X‖²)).
    """
    n, delta, lambda0, spectral = symbols("n delta lambda0 spectral")
    bound, width = sp.Rational(3, 4) * lambda0, 32 * spectral**2 * sp.log(n / delta) / lambda0
    return Bound("K4b", "P", "Tropp 2012, Theorem 5.1.1", "λ_min(H(0))", ">=", bound, width=width)
