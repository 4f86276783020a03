"""A theorem's inequality as data: evaluate it at numbers, solve it for a width or a step size, print it."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import sympy as sp
from sympy.printing.str import StrPrinter

from ntk_localsgd.errors import InputError

__all__ = ["BOUNDS", "SYMBOLS", "Bound", "MissingNumber", "Symbol", "readable", "symbols", "theorem"]

# Digits kept beyond those that are needed, so that what is evaluated twice is compared without rounding.
_GUARD = 20

# f(m)/m falls from e^p on for f = A log^p m; no theorem has a power above 5.
_FALLS = 256

# No width beyond this is looked for; the widest that a theorem asks for at floats has a few thousand digits.
_WIDEST = 2**40_000


@dataclasses.dataclass(frozen=True)
class Symbol:
    """A positive number of the theorems: its name in code, what it stands for, its LaTeX, and its type."""

    name: str
    meaning: str
    latex: str
    whole: bool = False
    may_be_zero: bool = False


#: Every symbol of the bounds by name; the command line's options come from here.
SYMBOLS: dict[str, Symbol] = {
    symbol.name: symbol
    for symbol in (
        Symbol("n", "number of samples", "n", whole=True),
        Symbol("m", "width", "m", whole=True),
        Symbol("eta", "step size η", r"\eta"),
        Symbol("tau", "local steps τ", r"\tau", whole=True),
        Symbol("k", "local or gradient step", "k", whole=True, may_be_zero=True),
        Symbol("delta", "failure probability δ", r"\delta"),
        Symbol("lambda0", "λ0 = λ_min(H^∞)", r"\lambda_0"),
        Symbol("C", "largest |y_i|", "C", may_be_zero=True),
        Symbol("R", "radius max_r ‖w_r − w_r(0)‖ of the ball around initialization, or threshold of |w·x|", "R"),
        Symbol("phi", "separation φ (K3: two-sided, φ±)", r"\varphi"),
        Symbol("spectral", "‖X‖₂ of all rows", r"\|X\|"),
        Symbol("chi", "χ_c = ‖X_c‖₂ of a client's rows", r"\chi_c"),
        Symbol("residual", "‖y − f‖ where the bound starts", r"\|y-f\|", may_be_zero=True),
        Symbol("distance", "‖W − W'‖_F", r"\|W-W'\|_F", may_be_zero=True),
        Symbol("flips", "p: largest share of neurons that flip on a sample", "p", may_be_zero=True),
        Symbol("L", "number of trained layers", "L", whole=True),
        Symbol("o", "number of outputs", "o", whole=True),
        Symbol("K", "number of clients", "K", whole=True),
        Symbol("omega", "radius ω: max_l ‖W_l − W_l(0)‖₂", r"\omega"),
        Symbol("loss", "F, sum of squares over two, where the bound starts", "F", may_be_zero=True),
        Symbol("rounds", "number of rounds", r"\mathrm{rounds}", whole=True, may_be_zero=True),
        Symbol("kappa", "κ = λ_max(H^∞)/λ0", r"\kappa"),
        Symbol("eta_g", "server step size η_g", r"\eta_g"),
        Symbol("form", "yᵀ(H^∞)⁻¹y", r"y^\top (H^\infty)^{-1} y", may_be_zero=True),
    )
}

#: Every theorem's bound by the id of its claim; `theorem` fills it.
BOUNDS: dict[str, "Bound"] = {}


class MissingNumber(InputError):
    """A bound was asked for a number without those that it needs; ``names`` says which."""

    def __init__(self, claim: str, names: set[str]) -> None:
        self.claim, self.names = claim, tuple(name for name in SYMBOLS if name in names)
        super().__init__(f"{claim} needs a number for {', '.join(self.names)}.")


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
        The premise's lower bound on m, if there is one; of m itself it may hold A·logᵖ m.
    step
        The premise's upper bound on η, if there is one.
    least_samples
        The premise's smallest n.
    module
        Where it is stated; `theorem` says.
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
    module: str = ""

    def evaluate(self, **numbers: float) -> float:
        """The right-hand side at numbers, named as in `SYMBOLS`; infinite beyond what a float holds.

        Raises
        ------
        MissingNumber
            If a symbol has no number.
        InputError
            If a number is not positive, or the right-hand side is not real there.
        """
        return _as_float(self._number(self.expression, numbers))

    def premise_met(self, **numbers: float) -> bool:
        """Whether the premise's conditions on n, m and η hold at numbers.

        Raises
        ------
        InputError
            As `evaluate`.
        """
        checks = [numbers.get("n", math.inf) >= self.least_samples]
        if self.width is not None:
            checks.append(self._wide_enough(numbers))
        if self.step is not None:
            self._given("eta", numbers)
            checks.append(numbers["eta"] <= self.largest_step(**numbers))
        return all(checks)

    def smallest_width(self, *, target: float | None = None, **numbers: float) -> int:
        """Smallest width m that the premise allows and, given ``target``, that puts the right-hand side at the target.

        A premise m ≥ A·logᵖ m is solved for m: every width from the returned one on satisfies it. An ``m`` among the
        numbers is therefore not used.

        Raises
        ------
        InputError
            If the bound says nothing about m, or as `evaluate`.
        """
        known = {name: value for name, value in numbers.items() if name != "m"}
        asked = [self._width_of_premise(known)] if self.width is not None else []
        if target is not None and self.expression.has(symbols("m")):
            asked.append(self._width_of_target(target, known))
        if not asked:
            reached = self.expression.has(symbols("m"))
            need = "a target to be solved for" if reached else "a premise on m, which it has not"
            raise InputError(f"{self.claim} cannot be solved for the width, it needs {need}.")
        return max(1, *asked)

    def largest_step(self, **numbers: float) -> float:
        """Largest step size η that the premise allows.

        Raises
        ------
        InputError
            If the premise says nothing about η, or as `evaluate`.
        """
        if self.step is None:
            raise InputError(f"{self.claim} has no condition on the step size.")
        return _as_float(self._number(self.step, numbers))

    def text(self) -> str:
        """The right-hand side in LaTeX."""
        return sp.latex(self.expression, symbol_names={symbols(s.name): s.latex for s in SYMBOLS.values()})

    @functools.cached_property
    def needs(self) -> tuple[str, ...]:
        """Names of all symbols that occur."""
        parts = [part for part in (self.expression, self.width, self.step) if part is not None]
        return tuple(name for name in SYMBOLS if any(name in _arguments(part) for part in parts))

    def _width_of_premise(self, numbers: Mapping[str, float]) -> int:
        """The smallest m from which on m ≥ f(m), f the premise's right-hand side.

        log f is concave in log m for f = A·logᵖ m, and f(m)/m falls from eᵖ on, so that beyond a point there where
        f(m) ≤ m the premise holds; from there on m ← ⌈f(m)⌉ descends, through widths that all satisfy it, to the
        smallest.
        """
        m = _FALLS
        while (asked := self._ceiling({**numbers, "m": m})) > m or (
            self._ceiling({**numbers, "m": 2 * m}) > 2 * max(1, asked)
        ):
            m = m**2
        while m > 1:
            lower = max(1, min(m - 1, asked))
            if (asked := self._ceiling({**numbers, "m": lower})) > lower:
                break
            m = lower
        return m

    def _ceiling(self, numbers: Mapping[str, float]) -> int:
        """⌈f⌉ of the premise's right-hand side, exactly."""
        assert self.width is not None
        rough = self._number(self.width, numbers)
        digits = max(0, mpmath.mag(rough)) // 3 + _GUARD  # a factor of 8 takes less than a digit
        return int(mpmath.ceil(self._number(self.width, numbers, digits), prec=4 * digits))

    def _wide_enough(self, numbers: Mapping[str, float]) -> bool:
        self._given("m", numbers)
        return numbers["m"] >= self._ceiling(numbers)

    def _width_of_target(self, target: float, numbers: Mapping[str, float]) -> int:
        """The smallest m at which the right-hand side, monotone in m, has come down (or up) to the target."""
        if not target > 0:
            raise InputError(f"target is {target}, needs to be positive.")

        def value(m: int) -> mpmath.mpf:
            return self._number(self.expression, {**numbers, "m": m})

        falls = value(4) <= value(2)
        lower = 1 if self.expression.has(sp.log(symbols("m"))) else 0  # log m of m = 1 may stand in a denominator
        upper = lower + 1
        while (value(upper) > target) if falls else (value(upper) < target):
            lower, upper = upper, 2 * upper**2
            if upper > _WIDEST:
                raise InputError(f"target {target} is reached by no width in {self.claim}.")
        while upper - lower > 1:
            middle = (lower + upper) // 2
            beyond = value(middle) <= target if falls else value(middle) >= target
            lower, upper = (lower, middle) if beyond else (middle, upper)
        return upper

    def _number(self, expression: sp.Expr, numbers: Mapping[str, float], digits: int = _GUARD) -> mpmath.mpf:
        """The expression in floating point of so many digits and any exponent."""
        known, names = _checked(numbers), _arguments(expression)
        if missing := {name for name in names if name not in known}:
            raise MissingNumber(self.claim, missing)
        with mpmath.workdps(digits):
            arguments = [mpmath.mpf(known[name]) for name in names]
            try:
                value = mpmath.mpmathify(_compiled(expression)(*arguments))
            except ZeroDivisionError as error:
                raise InputError(f"{self.claim} has no finite value at these numbers.") from error
        if isinstance(value, mpmath.mpc):
            raise InputError(f"{self.claim} has no real value at these numbers: a step size among them is too large.")
        return value

    def _given(self, name: str, numbers: Mapping[str, float]) -> None:
        if name not in numbers:
            raise MissingNumber(self.claim, {name})


def readable(expression: sp.Expr) -> str:
    """An expression in a line, by the names that options have; sums begin with a term that is added.

    >>> eta, lambda0 = symbols("eta lambda0")
    >>> readable(1 - eta * lambda0 / 2), str(1 - eta * lambda0 / 2)
    ('1 - eta*lambda0/2', '-eta*lambda0/2 + 1')
    """
    return str(_Readable().doprint(expression))


class _Readable(StrPrinter):
    """sympy's printer, but for the order of sums."""

    def _as_ordered_terms(self, expr: sp.Expr, order: str | None = None) -> list[sp.Expr]:
        terms = super()._as_ordered_terms(expr, order=order)
        return sorted(terms, key=lambda term: bool(term.could_extract_minus_sign()))


def theorem(statement: Callable[[], Bound]) -> Callable[[], Bound]:
    """Enter the bound that a function of a paper's module states into `BOUNDS`, under the id of its claim."""
    bound = statement()
    if bound.claim in BOUNDS:
        raise InputError(f"{bound.claim} has two bounds, {BOUNDS[bound.claim].source} and {bound.source}.")
    BOUNDS[bound.claim] = dataclasses.replace(bound, module=statement.__module__)
    return statement


def _checked(numbers: Mapping[str, float]) -> dict[str, float]:
    """Numbers by name, as Python's own; refused where one is none that its symbol may be."""
    known: dict[str, float] = {}
    for name, given in numbers.items():
        if name not in SYMBOLS:
            raise InputError(f"{name} is no symbol of the bounds, which are {', '.join(SYMBOLS)}.")
        try:
            value = given if isinstance(given, int) else float(given)  # a width may be beyond what floats hold
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} is {given!r}, needs to be a number.") from error
        if not (0 < value < math.inf or (SYMBOLS[name].may_be_zero and value == 0)):
            raise InputError(f"{name} is {value}, needs to be positive and finite.")
        if name == "delta" and not value < 1:
            raise InputError(f"delta is {value}, needs to be below 1: it is a probability of failure.")
        known[name] = value
    return known


@functools.cache
def _arguments(expression: sp.Expr) -> tuple[str, ...]:
    """Names of its symbols, in the order in which `_compiled` takes them."""
    return tuple(sorted(symbol.name for symbol in expression.free_symbols))


@functools.cache
def _compiled(expression: sp.Expr) -> Callable[..., mpmath.mpf]:
    """The expression as a function of its symbols, in mpmath's numbers of any exponent and precision."""
    return sp.lambdify([symbols(name) for name in _arguments(expression)], expression, "mpmath")


def _as_float(value: mpmath.mpf) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)
