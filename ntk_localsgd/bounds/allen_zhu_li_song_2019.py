"""Allen-Zhu, Li and Song, A convergence theory for deep learning via over-parameterization (2019).

What later papers restate alike is [P], the rest recalled [R]. Constants hidden in O(·) and Ω(·) are set to 1, so that
only growth in a parameter means something.
"""

import sympy as sp

from ntk_localsgd.bounds.bound import Bound, symbols, theorem

__all__ = [
    "lemma_forward_perturbation",
    "lemma_hidden_norms",
    "lemma_pattern_perturbation",
    "theorem_gradient_descent",
    "theorem_gradient_lower",
    "theorem_gradient_upper",
    "theorem_semi_smoothness",
]

_SOURCE = "Allen-Zhu, Li and Song 2019"


@theorem
def lemma_hidden_norms() -> Bound:
    """D1 [R]: with probability ≥ 1 − δ, |‖h_{i,l}‖ − 1| ≤ O(√(L log(nL/δ)/m)), from 1 − O(nL) exp(−Ω(mε²/L))."""
    n, m, depth, delta = symbols("n m L delta")
    return Bound(
        "D1", "R", f"{_SOURCE}, Lemma 7.1", "max |‖h_{i,l}‖ − 1|", "<=", sp.sqrt(depth * sp.log(n * depth / delta) / m)
    )


@theorem
def theorem_gradient_upper() -> Bound:
    """D2 [P], upper: ‖∇F‖_F² ≤ O(L n m/o) F for the sum loss F, n m/o a layer.

    In the ball ω ≤ O(φ^{3/2} n^{−9/2} L^{−6} log^{−3} m).
    """
    n, m, depth, o, loss = symbols("n m L o loss")
    return Bound("D2-upper", "P", f"{_SOURCE}, Theorem 3", "‖∇F‖_F²", "<=", depth * n * m / o * loss)


@theorem
def theorem_gradient_lower() -> Bound:
    """D2 [P for o = 1], lower: ‖∇F‖_F² ≥ Ω(mφ/(o n²)) F for the sum loss F."""
    n, m, o, phi, loss = symbols("n m o phi loss")
    return Bound("D2-lower", "P", f"{_SOURCE}, Theorem 3", "‖∇F‖_F²", ">=", m * phi / (o * n**2) * loss)


@theorem
def lemma_pattern_perturbation() -> Bound:
    """D3 [P]: ‖W_l − W_l(0)‖₂ ≤ ω ⇒ at most O(m L ω^{2/3}) patterns flip per sample and layer.

    For ω ≤ O(L^{−9/2} log^{−3} m), with probability 1 − e^{−Ω(m ω^{2/3} L)}.
    """
    m, depth, omega = symbols("m L omega")
    return Bound("D3", "P", f"{_SOURCE}, Lemma 8.2", "‖D' − D‖_0", "<=", m * depth * omega ** sp.Rational(2, 3))


@theorem
def lemma_forward_perturbation() -> Bound:
    """D4 [P]: ‖h'_l − h_l‖ ≤ O(ω L^{5/2} √log m); O(ω L^{3/2}) is restated, for ω ≥ Ω((m L log m)^{−3/2})."""
    m, depth, omega = symbols("m L omega")
    bound = omega * depth ** sp.Rational(5, 2) * sp.sqrt(sp.log(m))
    return Bound("D4", "P", f"{_SOURCE}, Lemma 8.2", "‖h'_l − h_l‖", "<=", bound)


@theorem
def theorem_semi_smoothness() -> Bound:
    """D6 [R]: F(W + W') − F(W) − ⟨∇F, W'⟩ ≤ √(nF) O(ω^{1/3} L² √(m log m)/√o) ‖W'‖₂ + O(n L² m/o) ‖W'‖₂².

    The first term is restated a layer [P]; one text that sums layers has one more L.
    """
    n, m, depth, o, omega, loss, distance = symbols("n m L o omega loss distance")
    first = sp.sqrt(n * loss) * sp.cbrt(omega) * depth**2 * sp.sqrt(m * sp.log(m) / o) * distance
    second = n * depth**2 * m / o * distance**2
    return Bound("D6", "R", f"{_SOURCE}, Theorem 4", "F(W + W') − F(W) − ⟨∇F, W'⟩", "<=", first + second)


@theorem
def theorem_gradient_descent() -> Bound:
    """C1-deep [P]: F(k) ≤ exp(−Ω(k φ²/(n⁶ L²))) F(0) for gradient descent, o = 1: O(n⁶ L² φ⁻² log 1/ε) steps reach ε.

    Premise: m ≥ Ω(n^24 L^12 log⁵ m/φ⁸), η = Θ(φ/(n⁴ L² m)). It moves ‖W − W(0)‖_F ≤ O(n³ log m/(φ √m)).
    """
    n, m, depth, phi, loss, k = symbols("n m L phi loss k")
    decay = sp.exp(-k * phi**2 / (n**6 * depth**2))
    width, step = n**24 * depth**12 * sp.log(m) ** 5 / phi**8, phi / (n**4 * depth**2 * m)
    return Bound("C1-deep", "P", f"{_SOURCE}, Theorem 1", "F(k)", "<=", decay * loss, width=width, step=step)
