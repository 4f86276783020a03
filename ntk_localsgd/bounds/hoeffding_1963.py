"""Hoeffding, Probability inequalities for sums of bounded random variables (1963)."""

import sympy as sp

from ntk_localsgd.bounds.bound import Bound, symbols, theorem

__all__ = ["theorem_2_gram_entries"]


@theorem
def theorem_2_gram_entries() -> Bound:
    """K4a [P]: with probability ≥ 1 − δ, all |H_ij(0) − H^∞_ij| ≤ √(log(2n²/δ) / 2m).

    Each entry is a mean of m independent numbers in an interval of length |G_ij| ≤ 1; union bound over n² entries.
    """
    n, m, delta = symbols("n m delta")
    source, quantity = "Hoeffding 1963, Theorem 2; Du et al. 2019, Lemma 3.1", "max_ij |H_ij(0) − H^∞_ij|"
    return Bound("K4a", "P", source, quantity, "<=", sp.sqrt(sp.log(2 * n**2 / delta) / (2 * m)))
