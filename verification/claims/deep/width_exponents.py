"""Where the powers of the published widths come from, symbolically: C5."""

from collections.abc import Iterator

import sympy as sp

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.bounds.bound import symbols
from ntk_localsgd.bounds.deng_kamani_mahdavi_2022 import balanced_width, ledger, trajectories
from ntk_localsgd.bounds.exponents import powers
from ntk_localsgd.evidence import Condition, Evidence
from verification.context import Context
from verification.engine import Results
from verification.judging import equal
from verification.papers import DENG
from verification.registry import claim

_A = sp.Rational(3, 2)
_NAMES = ("n", "L", "phi", "o", "K")

# Trajectory, power b of 1/n in the radius ω, and the exponents of n, L, φ, o and K in the width that is published. Of
# gradient descent's (Zou and Gu 2019) n⁸L¹² is confirmed [P], φ^{−4} and o are recalled [R]; no claim but C5 reads it.
_BALANCES: tuple[tuple[str, int, dict[str, sp.Expr]], ...] = (
    ("gradient descent", 3, {"n": 8, "L": 12, "phi": -4, "o": 1, "K": 0}),
    ("upper and lower", 6, {name: powers(BOUNDS["C2"].width).get(name, 0) for name in _NAMES}),
)


@claim(
    "C5",
    "trajectory ≤ ω = φ^{3/2} n^{−b} L^{−6} (log m)^{−3/2} ⇒ the published width: n⁸L¹²φ⁻⁴ (b = 3), "
    "K n^16 L^12 φ^{−5} o (b = 6)",
    letter="D",
    source="docs/theory.md, C5; widths of Zou and Gu 2019 and of Deng, Kamani and Mahdavi 2022",
    paper=DENG,
)
def balance(context: Context, results: Results) -> Iterator[Evidence]:  # noqa: ARG001 (nothing is measured)
    """Exponents of the balanced width and the lemma that costs them; the control takes another power of n in ω."""
    lengths = trajectories()
    for name, b, published in _BALANCES:
        parts, other = (ledger(lengths[name], a=_A, b=sp.Integer(power)) for power in (b, b + 1))
        shown = "; ".join(f"{part}: {_shown(row)}" for part, row in parts.items())
        yield equal(
            {"case": f"symbolic: trajectory of {name}", "b": b},
            Condition("by construction: constants and log n are left out", True),
            f"exponents equal the published ones. {shown}",
            float(parts["width"]["n"]),
            float(published["n"]),
            also=parts["width"] == published,
            control=float(other["width"]["n"]),
            control_setting=f"b = {b + 1}",
        )
    yield _whole_width(lengths["upper and lower"], lengths["lower alone"])


def _whole_width(trajectory: sp.Expr, shorter: sp.Expr) -> Evidence:
    """The whole expression, log m included; the control's trajectory is the one of the lower bound alone."""
    # D2's bounds of ‖∇F‖²/F for the sum loss; a layer's upper one, and both divided by n for the mean loss.
    n, depth, clients, loss = symbols("n L K loss")
    upper = BOUNDS["D2-upper"].expression / (loss * depth * n)
    lower = BOUNDS["D2-sharper"].expression / (loss * n)
    from_both = sp.simplify(trajectory - sp.sqrt(clients * upper) / lower) == 0
    quotient, other = (
        sp.simplify(balanced_width(length, a=_A, b=sp.Integer(6)) / BOUNDS["C2"].width)
        for length in (trajectory, shorter)
    )
    return equal(
        {"case": "symbolic: whole width of C2"},
        Condition("trajectory = √(K · upper)/lower, D2's gradient bounds for the mean loss and one layer", from_both),
        "balanced width / C2's width = 1",
        float(quotient) if quotient.is_number else float("nan"),
        1.0,
        control=float(other) if other.is_number else float("nan"),
        control_also=bool(other == 1),
        control_setting=f"trajectory of the lower bound alone: quotient {other}",
    )


def _shown(row: dict[str, sp.Expr]) -> str:
    return " ".join(f"{'φ' if name == 'phi' else name}^{power}" for name, power in row.items() if power != 0)
