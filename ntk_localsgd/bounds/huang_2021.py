"""Huang, Li, Song and Yang, FL-NTK: a neural tangent kernel-based framework for federated learning analysis (2021).

Exponents and constants are recalled [R]; that the rate is linear stands in the abstract [S]. Constants hidden in O(·)
and Ω(·) are set to 1.
"""

import sympy as sp

from ntk_localsgd.bounds.bound import Bound, symbols, theorem

__all__ = ["theorem_convergence", "theorem_generalization"]


@theorem
def theorem_convergence() -> Bound:
    """C4 [R]: ‖f(t) − y‖² ≤ (1 − η_g η λ0 τ/(2K))^t ‖f(0) − y‖² after t rounds, with probability ≥ 1 − δ.

    Premise: m = Ω(n⁴ log(n/δ)/λ0⁴), η = O(λ0/(κ τ n²)), and η_g = O(1), which a condition on η cannot say.
    """
    n, delta, lambda0, kappa = symbols("n delta lambda0 kappa")
    eta, eta_g, tau, clients, rounds, residual = symbols("eta eta_g tau K rounds residual")
    source, quantity = "Huang, Li, Song and Yang 2021, convergence theorem", "‖f(t) − y‖² after t rounds"
    bound = (1 - eta_g * eta * lambda0 * tau / (2 * clients)) ** rounds * residual**2
    width, step = n**4 * sp.log(n / delta) / lambda0**4, lambda0 / (kappa * tau * n**2)
    return Bound("C4", "R", source, quantity, "<=", bound, width=width, step=step)


@theorem
def theorem_generalization() -> Bound:
    """F3 [R]: population loss ≤ √(2 yᵀ(H^∞)⁻¹y/n) + O(√(log(n/(λ0 δ))/n)), for a 1-Lipschitz loss in [0, 1].

    That FL-NTK generalizes stands in the abstract [S]; the form is that of Arora et al. 2019 [R]. Probability ≥ 1 − δ
    over the sample and the initialization, for a width that is polynomial in n, 1/λ0 and 1/δ.
    """
    n, delta, lambda0, form = symbols("n delta lambda0 form")
    source = "Huang, Li, Song and Yang 2021, generalization theorem; form as Arora et al. 2019"
    bound = sp.sqrt(2 * form / n) + sp.sqrt(sp.log(n / (lambda0 * delta)) / n)
    return Bound("F3", "R", source, "population loss", "<=", bound)
