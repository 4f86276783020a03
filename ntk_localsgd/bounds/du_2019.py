"""Du, Zhai, Poczos and Singh, Gradient descent provably optimizes over-parameterized neural networks (2019)."""

import sympy as sp

from ntk_localsgd.bounds.bound import Bound, symbols, theorem

__all__ = ["corollary_4_1_movement", "lemma_3_2_stability", "stability_radius", "theorem_4_1_convergence"]

_SOURCE = "Du, Zhai, Poczos and Singh 2019"


def _width() -> sp.Expr:
    n, delta, lambda0, c = symbols("n delta lambda0 C")
    return sp.Integer(4) ** 5 * 16**2 * (c**2 + 1) / (2 * sp.pi) * n**6 / (lambda0**4 * delta**3)


def _step() -> sp.Expr:
    n, lambda0 = symbols("n lambda0")
    return lambda0 / (8 * n**2)


@theorem
def lemma_3_2_stability() -> Bound:
    """K6b [P]: with probability ≥ 1 − δ, Σ_ij sup_ball |H_ij(W) − H_ij(0)| ≤ 4n²R / (√(2π) δ).

    At the radius `stability_radius` this gives λ_min(H(W)) ≥ λ0/2, together with K4.
    """
    n, radius, delta = symbols("n R delta")
    bound = 4 * n**2 * radius / (sp.sqrt(2 * sp.pi) * delta)
    return Bound("K6b", "P", f"{_SOURCE}, Lemma 3.2", "Σ_ij sup |H_ij(W) − H_ij(0)| over the ball", "<=", bound)


def stability_radius() -> Bound:
    """K6b [P]: the radius R = √(2π) δ λ0 / (16 n²) at which the perturbation is at most λ0/4."""
    n, delta, lambda0 = symbols("n delta lambda0")
    radius = sp.sqrt(2 * sp.pi) * delta * lambda0 / (16 * n**2)
    return Bound("K6b", "P", f"{_SOURCE}, Lemma 3.2", "max_r ‖w_r − w_r(0)‖", "<=", radius)


@theorem
def theorem_4_1_convergence() -> Bound:
    """C1 [P]: ‖f(k) − y‖² ≤ (1 − ηλ0/2)^k ‖f(0) − y‖² with probability ≥ 1 − δ.

    Premise: n > 3, η ≤ λ0/(8n²), m ≥ 4⁵·16² (C² + 1)/(2π) · n⁶/(λ0⁴δ³); the constants are those of a published
    exposition of the theorem.
    """
    eta, lambda0, k, residual = symbols("eta lambda0 k residual")
    bound, source = (1 - eta * lambda0 / 2) ** k * residual**2, f"{_SOURCE}, Theorem 4.1"
    return Bound("C1", "P", source, "‖f(k) − y‖²", "<=", bound, width=_width(), step=_step(), least_samples=4)


@theorem
def corollary_4_1_movement() -> Bound:
    """S4 [P for gradient descent]: max_r ‖w_r(t) − w_r(0)‖ ≤ 4√n ‖y − f(0)‖ / (√m λ0), under C1's premise."""
    n, m, lambda0, residual = symbols("n m lambda0 residual")
    source, quantity = f"{_SOURCE}, Corollary 4.1", "max_r ‖w_r(t) − w_r(0)‖"
    bound = 4 * sp.sqrt(n) * residual / (sp.sqrt(m) * lambda0)
    return Bound("S4", "P", source, quantity, "<=", bound, width=_width(), step=_step(), least_samples=4)
