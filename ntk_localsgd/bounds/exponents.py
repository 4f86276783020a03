"""Exponents read off a bound, so that nothing repeats what the papers' modules say once."""

import sympy as sp

__all__ = ["powers"]


def powers(expression: sp.Expr) -> dict[str, sp.Rational]:
    """Exponents of a product of powers, by the text of their base.

    >>> from ntk_localsgd.bounds.bound import symbols
    >>> n, m, phi = symbols("n m phi")
    >>> powers(3 * n**2 * sp.log(m) / phi) == {"n": 2, "log(m)": 1, "phi": -1}
    True
    """
    product = sp.powdenest(expression, force=True).as_powers_dict()
    return {str(base): exponent for base, exponent in product.items() if not base.is_number}
