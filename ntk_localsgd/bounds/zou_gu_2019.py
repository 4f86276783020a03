"""Zou and Gu, An improved analysis of training over-parameterized deep neural networks (2019).

All recalled [R]; constants hidden in O(·) and Ω(·) are set to 1.
"""

import sympy as sp

from ntk_localsgd.bounds.bound import Bound, symbols, theorem

__all__ = ["lemma_gradient_lower", "lemma_trajectory"]


@theorem
def lemma_gradient_lower() -> Bound:
    """D2 [R], the sharper lower bound: ‖∇F‖_F² ≥ Ω(mφ/(o n)) F for the sum loss F."""
    n, m, o, phi, loss = symbols("n m o phi loss")
    return Bound("D2-sharper", "R", "Zou and Gu 2019, Lemma 4.1", "‖∇F‖_F²", ">=", m * phi / (o * n) * loss)


@theorem
def lemma_trajectory() -> Bound:
    """S4 deep [R]: ‖W_l(t) − W_l(0)‖₂ ≤ O(√(o n² log n/(mφ))), the length of gradient descent's trajectory."""
    n, m, o, phi = symbols("n m o phi")
    bound = sp.sqrt(o * n**2 * sp.log(n) / (m * phi))
    return Bound("S4-deep", "R", "Zou and Gu 2019, Lemma 4.2", "‖W_l(t) − W_l(0)‖₂", "<=", bound)
