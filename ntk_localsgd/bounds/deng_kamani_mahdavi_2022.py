"""Deng, Kamani and Mahdavi, Local SGD optimizes overparameterized neural networks in polynomial time (2022).

All exponents are recalled [R]; constants hidden in O(·) and Ω(·) are set to 1.
"""

import sympy as sp

from ntk_localsgd.bounds.bound import Bound, symbols, theorem
from ntk_localsgd.bounds.exponents import powers

__all__ = [
    "balanced_width",
    "ledger",
    "lemma_semi_gradient_lipschitz",
    "theorem_local_gd",
    "theorem_local_sgd",
    "trajectories",
    "trajectory_radius",
]

_SOURCE = "Deng, Kamani and Mahdavi 2022"

_THREE_HALVES, _SIX = sp.Rational(3, 2), sp.Integer(6)


@theorem
def lemma_semi_gradient_lipschitz() -> Bound:
    """S1b [R]: (1/K) Σ_c ‖∇L_c(W_c) − ∇L_c(W̄)‖² ≤ a (1/K) Σ_c ‖W_c − W̄‖² + b L(W̄).

    Recalled: a = O(m L⁴/o), b = O(ω^{2/3} L⁵ m log m/o). Counting norms gives this b, and a = O(L³ m²/o²), one m/o more
    (``docs/theory.md``, S1b): the recalled power of m is expected to fail as written.
    """
    m, depth, o, omega, loss, distance = symbols("m L o omega loss distance")
    a, b = m * depth**4 / o, omega ** sp.Rational(2, 3) * depth**5 * m * sp.log(m) / o
    quantity = "(1/K) Σ_c ‖∇L_c(W_c) − ∇L_c(W̄)‖²"
    return Bound("S1b", "R", f"{_SOURCE}, key lemma", quantity, "<=", a * distance**2 + b * loss)


@theorem
def theorem_local_gd() -> Bound:
    """C2 [R]: L(W(T)) ≤ exp(−Ω(R/R_0)) L(W(0)), R_0 = n⁵ log² m/φ², for the mean loss.

    Premise: m ≥ Ω(K n^16 L^12 log³ m o/φ⁵), η = O(oφ/(m τ n³ log² m)).
    """
    n, m, depth, o, clients, phi, loss, rounds, tau = symbols("n m L o K phi loss rounds tau")
    log = sp.log(m)
    width, step = clients * n**16 * depth**12 * log**3 * o / phi**5, o * phi / (m * tau * n**3 * log**2)
    bound, quantity = sp.exp(-rounds * phi**2 / (n**5 * log**2)) * loss, "L(W(T)), Local GD"
    return Bound("C2", "R", f"{_SOURCE}, Theorem 1", quantity, "<=", bound, width=width, step=step)


@theorem
def theorem_local_sgd() -> Bound:
    """C3 [R]: L(W(T)) ≤ n log² m exp(−Ω(R/R_0)) L(W(0)), R_0 = n⁷ log² m/φ².

    Premise: m ≥ Ω(K n^18 L^12 log⁵ m/φ³).
    """
    n, m, depth, clients, phi, loss, rounds = symbols("n m L K phi loss rounds")
    log = sp.log(m)
    width = clients * n**18 * depth**12 * log**5 / phi**3
    bound = n * log**2 * sp.exp(-rounds * phi**2 / (n**7 * log**2)) * loss
    return Bound("C3", "R", f"{_SOURCE}, Theorem 2", "L(W(T)), Local SGD", "<=", bound, width=width)


def trajectories() -> dict[str, sp.Expr]:
    """C5 [D]: lengths of the trajectory that the gradient bounds give, up to constants; all are ∝ m^{-1/2}.

    ``"gradient descent"``: √(o n² log n/(mφ)); ``"upper and lower"``: ητ √(C_u m K L(0)/o) summed over geometrically
    decaying rounds of rate ητ mφ/(o n²); ``"lower alone"``: the sharper √(oK) n/√(mφ).
    """
    n, m, o, clients, phi, eta, tau = symbols("n m o K phi eta tau")
    upper = eta * tau * sp.sqrt(m * clients / o)
    return {
        "gradient descent": sp.sqrt(o * n**2 * sp.log(n) / (m * phi)),
        "upper and lower": sp.powsimp(upper / (eta * tau * m * phi / (o * n**2))),
        "lower alone": sp.sqrt(o * clients * n**2 / (m * phi)),
    }


def trajectory_radius(*, a: sp.Expr = _THREE_HALVES, b: sp.Expr = _SIX) -> Bound:
    """S1b, C5 [R]: the radius ω ≤ φ^a n^{-b} L^{-6} (log m)^{-3/2} in which the key lemma is proved; a = 3/2, b = 6."""
    n, m, depth, phi = symbols("n m L phi")
    omega = phi**a / (n**b * depth**6 * sp.log(m) ** _THREE_HALVES)
    return Bound("S1b", "R", f"{_SOURCE}, key lemma", "max_l ‖W_l − W_l(0)‖₂", "<=", omega)


def balanced_width(trajectory: sp.Expr, *, a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """C5 [D]: the m from which on a trajectory ∝ m^{-1/2} is at most ω, the `trajectory_radius`.

    trajectory ≤ ω ⇔ m ≥ m·(trajectory/ω)², whose right-hand side depends on m through log m alone.
    """
    return sp.powsimp(sp.simplify(symbols("m") * (trajectory / trajectory_radius(a=a, b=b).expression) ** 2))


def ledger(trajectory: sp.Expr, *, a: sp.Expr, b: sp.Expr) -> dict[str, dict[str, sp.Expr]]:
    """C5 [D]: exponents of n, L, φ, o and K in the width, by the lemma that costs them.

    ``"radius ω"`` is what the perturbation lemmas (D3, D4, D6) ask for, ``"trajectory"`` what the gradient bounds (D2)
    leave; the rows add up to ``"width"``.
    """
    parts = {
        "radius ω": balanced_width(1 / sp.sqrt(symbols("m")), a=a, b=b),
        "trajectory": symbols("m") * trajectory**2,
        "width": balanced_width(trajectory, a=a, b=b),
    }
    exponents = {part: powers(expression.subs(sp.log(symbols("n")), 1)) for part, expression in parts.items()}
    return {part: {name: of.get(name, 0) for name in ("n", "L", "phi", "o", "K")} for part, of in exponents.items()}
