"""Exponents read off a bound, so that no script repeats what ``ntk_localsgd/bounds/`` says once."""

import sympy as sp

__all__ = ["powers"]


def powers(expression: sp.Expr) -> dict[str, sp.Rational]:
    """Exponents of a product of powers, by the text of their base: 3 n² log m/φ gives n: 2, log(m): 1, phi: −1."""
    found = sp.powdenest(expression, force=True).as_powers_dict()
    return {str(base): exponent for base, exponent in found.items() if not base.is_number}
