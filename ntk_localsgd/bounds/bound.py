"""A theorem's inequality as data: evaluate it at numbers, solve it for a width or a step size, print it."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import sympy as sp

from ntk_localsgd.errors import InputError

__all__ = ["SYMBOLS", "Bound", "symbols"]

#: Every symbol of the bounds: what it stands for. All are positive.
SYMBOLS: dict[str, str] = {
    "n": "number of samples",
    "m": "width",
    "eta": "step size η",
    "tau": "local steps τ",
    "k": "local or gradient step",
    "delta": "failure probability δ",
    "lambda0": "λ0 = λ_min(H^∞)",
    "C": "largest |y_i|",
    "R": "radius: max_r ‖w_r − w_r(0)‖, or a threshold of |w·x|",
    "phi": "separation φ (K3: two-sided, φ±)",
    "spectral": "‖X‖₂ of all rows",
    "chi": "χ_c = ‖X_c‖₂ of a client's rows",
    "residual": "‖y − f‖ where the bound starts",
    "distance": "‖W − W'‖_F",
    "flips": "p: largest share of neurons that flip on a sample",
    "L": "number of trained layers",
    "o": "number of outputs",
    "K": "number of clients",
    "omega": "radius ω: max_l ‖W_l − W_l(0)‖₂",
    "loss": "F, sum of squares over two, where the bound starts",
    "rounds": "number of rounds",
    "kappa": "κ = λ_max(H^∞)/λ0",
    "eta_g": "server step size η_g",
}


def symbols(names: str) -> Any:
    """Positive sympy symbols out of `SYMBOLS`."""
    return sp.symbols(names, positive=True)


@dataclasses.dataclass(frozen=True)
class Bound:
    """premise ⇒ quantity ≤ (or ≥) expression.

    Attributes
    ----------
    claim
        Id in ``docs/theory.md``.
    letter
        S, P, R or D.
    source
        Paper and theorem.
    quantity
        What is bounded, in words and symbols.
    relation
        ``"<="`` or ``">="``.
    expression
        The right-hand side.
    width
        The premise's lower bound on m, if there is one.
    step
        The premise's upper bound on η, if there is one.
    least_samples
        The premise's smallest n.
    """

    claim: str
    letter: str
    source: str
    quantity: str
    relation: str
    expression: sp.Expr
    width: sp.Expr | None = None
    step: sp.Expr | None = None
    least_samples: int = 1

    def evaluate(self, **numbers: float) -> float:
        """The right-hand side at numbers, named as in `SYMBOLS`.

        Raises
        ------
        InputError
            If a symbol has no number, or a number is not positive.
        """
        return self._number(self.expression, numbers)

    def premise_met(self, **numbers: float) -> bool:
        """Whether the premise's conditions on n, m and η hold at numbers.

        Raises
        ------
        InputError
            As `evaluate`.
        """
        checks = [numbers.get("n", math.inf) >= self.least_samples]
        if self.width is not None:
            checks.append(self._given("m", numbers) >= self._number(self.width, numbers))
        if self.step is not None:
            checks.append(self._given("eta", numbers) <= self._number(self.step, numbers))
        return all(checks)

    def smallest_width(self, *, target: float | None = None, **numbers: float) -> int:
        """Smallest width m that the premise allows and, given ``target``, that puts the right-hand side at the target.

        Raises
        ------
        InputError
            If the bound says nothing about m, or as `evaluate`.
        """
        m = symbols("m")
        asked = [self._number(self.width, numbers)] if self.width is not None else []
        if target is not None and self.expression.has(m):
            asked.append(max(self._solutions(m, target, numbers)))
        if not asked:
            need = "a target to be solved for" if self.expression.has(m) else "a premise on m, which it has not"
            raise InputError(f"{self.claim} cannot be solved for the width, it needs {need}.")
        return max(1, math.ceil(max(asked)))

    def largest_step(self, **numbers: float) -> float:
        """Largest step size η that the premise allows.

        Raises
        ------
        InputError
            If the premise says nothing about η, or as `evaluate`.
        """
        if self.step is None:
            raise InputError(f"{self.claim} has no condition on the step size.")
        return self._number(self.step, numbers)

    def text(self) -> str:
        """The right-hand side in LaTeX."""
        return sp.latex(self.expression, symbol_names={symbols(k): v for k, v in _LATEX.items()})

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of all symbols that occur."""
        parts = [part for part in (self.expression, self.width, self.step) if part is not None]
        return tuple(name for name in SYMBOLS if any(part.has(symbols(name)) for part in parts))

    def _solutions(self, unknown: sp.Symbol, target: float, numbers: Mapping[str, float]) -> list[float]:
        kept = {name: value for name, value in numbers.items() if name != unknown.name}
        equation = sp.Eq(self.expression.subs(self._substitution(kept)), target)
        if missing := equation.free_symbols - {unknown}:
            raise InputError(f"{self.claim} needs a number for {', '.join(sorted(s.name for s in missing))}.")
        if not (found := [float(s) for s in sp.solve(equation, unknown) if s.is_real and s > 0]):
            raise InputError(f"target {target} is reached by no width in {self.claim}.")
        return found

    def _number(self, expression: sp.Expr, numbers: Mapping[str, float]) -> float:
        value = expression.subs(self._substitution(numbers))
        if value.free_symbols:
            raise InputError(
                f"{self.claim} needs a number for {', '.join(sorted(symbol.name for symbol in value.free_symbols))}."
            )
        return float(value)

    def _given(self, name: str, numbers: Mapping[str, float]) -> float:
        if name not in numbers:
            raise InputError(f"{self.claim} needs a number for {name}.")
        return numbers[name]

    @staticmethod
    def _substitution(numbers: Mapping[str, float]) -> dict[sp.Symbol, float]:
        for name, value in numbers.items():
            if name not in SYMBOLS:
                raise InputError(f"{name} is no symbol of the bounds, which are {', '.join(SYMBOLS)}.")
            if not (value > 0 or (name in _MAY_BE_ZERO and value == 0)):
                raise InputError(f"{name} is {value}, needs to be positive.")
            if name == "delta" and not value < 1:
                raise InputError(f"delta is {value}, needs to be below 1: it is a probability of failure.")
        return {symbols(name): value for name, value in numbers.items()}


_MAY_BE_ZERO = ("C", "k", "distance", "flips", "residual", "loss", "rounds")

_LATEX = {
    "eta": r"\eta",
    "tau": r"\tau",
    "delta": r"\delta",
    "lambda0": r"\lambda_0",
    "phi": r"\varphi",
    "spectral": r"\|X\|",
    "chi": r"\chi_c",
    "residual": r"\|y-f\|",
    "distance": r"\|W-W'\|_F",
    "flips": "p",
    "omega": r"\omega",
    "loss": "F",
    "rounds": r"\mathrm{rounds}",
    "kappa": r"\kappa",
    "eta_g": r"\eta_g",
}
