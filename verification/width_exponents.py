"""Where the powers of the published widths come from, symbolically: C5."""

from collections.abc import Iterator

import sympy as sp

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.bounds.deng_kamani_mahdavi_2022 import balanced_width, ledger, trajectories
from ntk_localsgd.evidence import Condition, Control, Evidence
from verification.claims import claim
from verification.context import Context
from verification.exponents import powers

_A = sp.Rational(3, 2)

# Trajectory, power b of 1/n in the radius ω, and the exponents of n, L, φ, o and K in the width that is published. That
# of gradient descent (Zou and Gu 2019) is recalled [R] and stands only here; no claim is decided by it but C5.
_BALANCES: tuple[tuple[str, int, dict[str, sp.Expr]], ...] = (
    ("gradient descent", 3, {"n": 8, "L": 12, "phi": -4, "o": 1, "K": 0}),
    ("upper and lower", 6, {name: powers(BOUNDS["C2"].width).get(name, 0) for name in ("n", "L", "phi", "o", "K")}),
)


@claim(
    "C5",
    "trajectory ≤ ω = φ^{3/2} n^{−b} L^{−6} (log m)^{−3/2} ⇒ the published width: n⁸L¹²φ⁻⁴ (b = 3), "
    "K n^16 L^12 φ^{−5} o (b = 6)",
    letter="D",
    source="docs/theory.md, C5; widths of Zou and Gu 2019 and of Deng, Kamani and Mahdavi 2022",
)
def balance(context: Context) -> Iterator[Evidence]:  # noqa: ARG001 (nothing is measured)
    """Exponents of the balanced width and the lemma that costs them; the control takes another power of n in ω."""
    lengths = trajectories()
    for name, b, published in _BALANCES:
        found, other = (ledger(lengths[name], a=_A, b=sp.Integer(power)) for power in (b, b + 1))
        parts = "; ".join(f"{part}: {_shown(row)}" for part, row in found.items())
        yield Evidence(
            "C5", f"symbolic: trajectory of {name}, b = {b}",
            Condition("all constants and log n left out", True),
            Condition(f"exponents equal the published ones. {parts}", found["width"] == published),
            float(found["width"]["n"]), float(published["n"]),
            Control(f"b = {b + 1}", other["width"] != published, float(other["width"]["n"])),
        )  # fmt: skip
    yield _whole_width(lengths["upper and lower"], lengths["lower alone"])


def _whole_width(trajectory: sp.Expr, shorter: sp.Expr) -> Evidence:
    """The whole expression, log m included; the control's trajectory is the one of the lower bound alone."""
    quotient, other = (
        sp.simplify(balanced_width(length, a=_A, b=sp.Integer(6)) / BOUNDS["C2"].width)
        for length in (trajectory, shorter)
    )
    return Evidence(
        "C5", "symbolic: whole width of C2",
        Condition("trajectory from upper and lower gradient bounds (D2)", True),
        Condition("balanced width / C2's width = 1", quotient == 1),
        float(quotient) if quotient.is_number else None, 1.0,
        Control(f"trajectory of the lower bound alone: quotient {other}", other != 1, None),
    )  # fmt: skip


def _shown(row: dict[str, sp.Expr]) -> str:
    return " ".join(f"{'φ' if name == 'phi' else name}^{power}" for name, power in row.items() if power != 0)
