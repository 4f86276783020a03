"""Song and Yang, Quadratic suffices for over-parametrization via matrix Chernoff bound (2019)."""

import sympy as sp

from ntk_localsgd.bounds.bound import Bound, symbols, theorem

__all__ = ["lemma_stability"]


@theorem
def lemma_stability() -> Bound:
    """K6c [D]: with probability ≥ 1 − n² exp(−mR/10), ‖H(W) − H(0)‖_F ≤ 2nR in the ball of radius R.

    Proved in ``docs/theory.md``, with −0.6 mR in the exponent. The probability is written as a width:
    n² exp(−mR/10) ≤ δ once m ≥ 10 log(n²/δ) / R.
    """
    n, radius, delta = symbols("n R delta")
    source, quantity = "Song and Yang 2019; proof in docs/theory.md, K6", "‖H(W) − H(0)‖_F over the ball"
    width = 10 * sp.log(n**2 / delta) / radius
    return Bound("K6c", "D", source, quantity, "<=", 2 * n * radius, width=width)
