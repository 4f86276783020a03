"""Facts about the standard normal distribution."""

import sympy as sp

from ntk_localsgd.bounds.bound import Bound, symbols, theorem

__all__ = ["anti_concentration", "anti_concentration_exact"]


@theorem
def anti_concentration() -> Bound:
    """K5 [P]: P(|w·x| ≤ R) = erf(R/√2) ≤ 2R/√(2π) for w ~ N(0, I), ‖x‖ = 1."""
    radius = symbols("R")
    return Bound("K5", "P", "Du et al. 2019, proof of Lemma 3.2", "P(|w·x| ≤ R)", "<=", 2 * radius / sp.sqrt(2 * sp.pi))


def anti_concentration_exact() -> Bound:
    """K5 [P], the equality: P(|w·x| ≤ R) = erf(R/√2)."""
    return Bound("K5", "P", "the normal distribution", "P(|w·x| ≤ R)", "==", sp.erf(symbols("R") / sp.sqrt(2)))
