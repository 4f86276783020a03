"""Song and Yang, Quadratic suffices for over-parametrization via matrix Chernoff bound (2019)."""

import sympy as sp

from ntk_localsgd.bounds.bound import Bound, symbols, theorem

__all__ = ["lemma_stability"]


@theorem
def lemma_stability() -> Bound:
    """K6c [D]: with probability ≥ 1 − n(n + 1) exp(−0.6 mR), ‖H(W) − H(0)‖_F ≤ 2nR in the ball of radius R.

    Proved in ``docs/theory.md``; published with 1 − n² exp(−mR/10). The probability is written as a width:
    n(n + 1) exp(−0.6 mR) ≤ δ once m ≥ (5/3) log(n(n + 1)/δ) / R.
    """
    n, radius, delta = symbols("n R delta")
    source, quantity = "docs/theory.md, K6; form of Song and Yang 2019", "‖H(W) − H(0)‖_F over the ball"
    width = 5 * sp.log(n * (n + 1) / delta) / (3 * radius)
    return Bound("K6c", "D", source, quantity, "<=", 2 * n * radius, width=width)
