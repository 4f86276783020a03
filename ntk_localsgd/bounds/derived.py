"""Inequalities derived in this project; proofs in ``docs/theory.md``."""

import sympy as sp

from ntk_localsgd.bounds.bound import Bound, symbols, theorem

__all__ = ["client_drift", "gram_from_entries", "loss_at_init", "semi_gradient_lipschitz"]


@theorem
def gram_from_entries() -> Bound:
    """K4a-width [D]: m ≥ 8n² log(2n²/δ)/λ0² gives λ_min(H(0)) ≥ ¾ λ0 with probability ≥ 1 − δ, from K4a."""
    n, delta, lambda0 = symbols("n delta lambda0")
    bound, width = sp.Rational(3, 4) * lambda0, 8 * n**2 * sp.log(2 * n**2 / delta) / lambda0**2
    return Bound("K4a-width", "D", "K4a and Weyl's inequality", "λ_min(H(0))", ">=", bound, width=width)


@theorem
def loss_at_init() -> Bound:
    """K7 [D]: with probability ≥ 1 − δ, ‖y − f(0)‖² ≤ n(C² + ½)/δ (Markov, from E f_i(0)² = ½)."""
    n, c, delta = symbols("n C delta")
    return Bound("K7", "D", "Markov's inequality", "‖y − f(0)‖²", "<=", n * (c**2 + sp.Rational(1, 2)) / delta)


@theorem
def semi_gradient_lipschitz() -> Bound:
    """S1a [D]: ‖∇L_c(W) − ∇L_c(W')‖_F ≤ χ_c² ‖W − W'‖_F + χ_c √p ‖r_c(W')‖."""
    chi, distance, flips, residual = symbols("chi distance flips residual")
    bound = chi**2 * distance + chi * sp.sqrt(flips) * residual
    return Bound("S1a", "D", "docs/theory.md, S1a", "‖∇L_c(W) − ∇L_c(W')‖_F", "<=", bound)


@theorem
def client_drift() -> Bound:
    """S3 [D]: ‖W_{c,k} − W(t)‖_F ≤ η k χ_c max_{k'<k} ‖r_c^{k'}‖."""
    eta, k, chi, residual = symbols("eta k chi residual")
    return Bound("S3", "D", "docs/theory.md, S3", "‖W_{c,k} − W(t)‖_F", "<=", eta * k * chi * residual)
