"""A paper's number stands in ntk_localsgd/bounds/ and nowhere else in code; claims' statements spell it alike."""

import ast
import itertools
import pathlib
import re
from fractions import Fraction

import pytest
import sympy as sp

from ntk_localsgd.bounds import BOUNDS, SYMBOLS
from verification import registry

ROOT = pathlib.Path(__file__).parents[2]
SCRIPTS = sorted(path for folder in ("verification", "figures") for path in (ROOT / folder).rglob("*.py"))
RECALLED = [bound for bound in BOUNDS.values() if bound.letter == "R"]
PUBLISHED = [bound for bound in BOUNDS.values() if bound.letter == "P"]

# Numbers that every formula has: squares, roots and signs say nothing about a theorem.
TRIVIAL = {Fraction(0), Fraction(1), Fraction(2), Fraction(1, 2)}

# What looks like a paper's number and is none: script and code, reason.
COINCIDENCES = {
    ("figures/spectrum.py", "100 * (1 - DELTA)"): "per cent",
    ("figures/spectrum.py", "2.5"): "per cent",
    ("verification/jobs/certified_cases.py", "2.5"): "the smallest residual of random cases, as a power of ten",
    ("verification/jobs/certified_cases.py", "-2.5"): "the same",
    (
        "verification/claims/deep/initialization.py",
        "(samples[0] / n) ** 4",
    ): "a control: a pair that draws closer with n",
    ("verification/claims/deep/perturbation.py", "v ** 3"): "a control: a perturbation that grows with L",
    ("verification/claims/deep/perturbation.py", "depths[0] ** 3"): "a control: a perturbation that grows with L",
    ("verification/jobs/deep_perturbation.py", "2 / 3"): "width of the ascent's sigmoid, derived beside it",
}

# Keywords of matplotlib, whose values are points and not exponents.
SIZES = ("markersize", "linewidth", "handlelength")

# Such numbers outside of ntk_localsgd/bounds/ all the same, each in one place: script and code, what it is. Whoever
# corrects a paper's number corrects these too; a number that moves into its bound leaves this list.
OUTSIDE = {
    ("verification/claims/deep/key_property.py", "-1 / 3"): "S1b's ω^(2/3) where ω falls like m^(−1/2)",
    ("verification/claims/deep/perturbation.py", "math.log(job.width) ** (-3)"):
        "the radius that D3, D4 and D6 are proved in, of which no bound knows",
    ("verification/claims/deep/width_exponents.py", "{'n': 8}"):
        "gradient descent's width in C5 (Zou and Gu 2019), of which no bound knows",
    ("verification/claims/deep/width_exponents.py", "{'L': 12}"): "the same",
    ("verification/claims/deep/width_exponents.py", "{'phi': -4}"): "the same",
}  # fmt: skip

# How statements write the bounds' symbols.
SPELLED = {"phi": "φ", "omega": "ω", "delta": "δ", "lambda0": "λ0", "eta": "η", "tau": "τ", "loss": "F", "kappa": "κ"}
NORMS = ("distance", "residual", "spectral")
SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")

# S1b-recalled leaves out b, which S1b states with the power of m that counting norms gives; S4 refers to C1's premise.
IN_PART = {"S1b-recalled", "S4"}


def _parts(bound):
    return [part for part in (bound.expression, bound.width, bound.step) if part is not None]


def _fraction(number):
    return abs(Fraction(int(number.p), int(number.q)))


def _exponents(bound):
    """Exponents that are not trivial."""
    powers = itertools.chain.from_iterable(part.atoms(sp.Pow) for part in _parts(bound))
    return {_fraction(power.exp) for power in powers if power.exp.is_Rational} - TRIVIAL


def _factors(bound):
    """Constants that multiply or divide."""
    found = itertools.chain.from_iterable(part.atoms(sp.Rational) for part in _parts(bound))
    numbers = {Fraction(int(n)) for rational in found for n in (abs(rational.p), rational.q)}
    return (
        numbers - TRIVIAL - _exponents(bound) - {Fraction(n) for e in _exponents(bound) for n in e.as_integer_ratio()}
    )


# Exponents give a theorem away; constants like 3, 4 and 8, which two layers' theorems have, do not.
EXPONENTS = set().union(*map(_exponents, RECALLED + PUBLISHED))
FACTORS = set().union(*map(_factors, RECALLED))


def _value(node):
    """The number that an expression of numbers is: 2 / 3, -4.5, sp.Rational(2, 3)."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return Fraction(value).limit_denominator(1000)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _value(operand)
            return None if inner is None else -inner
        case ast.BinOp(left=left, op=ast.Div() | ast.Mult() as op, right=right):
            a, b = _value(left), _value(right)
            if a is None or b is None or (isinstance(op, ast.Div) and b == 0):
                return None
            return a / b if isinstance(op, ast.Div) else a * b
        case ast.Call(func=ast.Attribute(attr="Rational"), args=[*args]):
            numbers = [_value(arg) for arg in args]
            return None if None in numbers or not numbers else numbers[0] / (numbers[1] if numbers[1:] else 1)
    return None


def _suspects(tree):
    """Places where a number stands as an exponent, as a factor, as a symbol's power, or as a telling fraction."""
    fractions = {e for e in EXPONENTS if e.denominator > 1}
    sizes = {k.value for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg in SIZES}
    for entry in (node for node in ast.walk(tree) if isinstance(node, ast.Dict)):
        keys = (key.value if isinstance(key, ast.Constant) else None for key in entry.keys)
        sizes |= {value for key, value in zip(keys, entry.values, strict=True) if key in SIZES}
    for node in ast.walk(tree):
        if (value := _value(node)) is not None and abs(value) in fractions and node not in sizes:
            yield node
        match node:
            case ast.BinOp(left=base, op=ast.Pow(), right=exponent) if _value(base) is None:
                power = _value(exponent)
                if power is not None and abs(power) in EXPONENTS - fractions:
                    yield node
            case ast.BinOp(left=left, op=ast.Mult() | ast.Div(), right=right):
                numbers = [value for side in (left, right) if (value := _value(side)) is not None]
                if len(numbers) == 1 and abs(numbers[0]) in FACTORS:
                    yield node
            case ast.Call(func=ast.Attribute(attr="cbrt")):
                yield node
            case ast.Dict(keys=keys, values=values):
                for key, entry in zip(keys, values, strict=True):
                    power = _value(entry) if isinstance(key, ast.Constant) and key.value in SYMBOLS else None
                    if power is not None and abs(power) in EXPONENTS:
                        yield ast.Dict(keys=[key], values=[entry])


def _found(code):
    return {ast.unparse(node) for node in _suspects(ast.parse(code))}


def test_no_script_repeats_a_paper_s_number():
    assert len(SCRIPTS) > 50
    found = {(path.relative_to(ROOT).as_posix(), code) for path in SCRIPTS for code in _found(path.read_text())}
    assert found == COINCIDENCES.keys() | OUTSIDE.keys()


@pytest.mark.parametrize(
    "code",
    ["n**16", "clients * n**18 * depth", "sp.Integer(3) / phi**5", "omega ** (2 / 3)", "x = sp.Rational(5, 2)",
     "np.cbrt(omega)", "phi / (100 * n**2)", "math.log(m) ** (-3)", "{'n': 16}", "f(-2.5)"],
)  # fmt: skip
def test_a_repeated_number_is_seen(code):
    assert _found(code)


def test_widths_and_sizes_are_no_exponents():
    assert not _found("widths = (2**16, 10**5, 128)\nplot(x, markersize=2.5)\nseeds = 12 * n\nx**2 / 2 + x**0.5")
    assert not _found("style = {'markersize': 2.5, 'alpha': 0.4}")


def _spelled(statement):
    """(symbol, exponent) of a statement, up to sign: n^16, log³, ω^{2/3}."""
    pattern = r"(log|λ0|[A-Za-zφωητδκ])(?:\^\{?[−-]?(\d+(?:/\d+)?)\}?|([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))"
    found = re.findall(pattern, statement)
    pairs = {(base, abs(Fraction(plain or raised.translate(SUPERSCRIPTS)))) for base, plain, raised in found}
    return {(base, exponent) for base, exponent in pairs if exponent not in (1, Fraction(1, 2))}


def _written(bound):
    """The same of a bound, but for norms, whose square no symbol carries in a statement."""
    found = set()
    for power in itertools.chain.from_iterable(part.atoms(sp.Pow) for part in _parts(bound)):
        name = "log" if isinstance(power.base, sp.log) else str(power.base)
        if power.exp.is_Rational and (name in SYMBOLS or name == "log") and name not in NORMS:
            found.add((SPELLED.get(name, name), _fraction(power.exp)))
    return {(name, exponent) for name, exponent in found if exponent not in (1, Fraction(1, 2))}


def _stated():
    """Claims with the paper's bound that they state."""
    registry.discover()
    bounds = {bound.claim: bound for bound in RECALLED + PUBLISHED} | {"S1b-recalled": BOUNDS["S1b"]}
    return {name: (entry.statement, bounds[name]) for name, entry in registry.CLAIMS.items()
            if entry.letter in "RP" and name in bounds}  # fmt: skip


def test_statements_spell_the_exponents_and_constants_of_their_bounds():
    pairs = _stated()
    assert {"C1", "C2", "C3", "C4", "D3", "D4", "D6", "K4b"} <= pairs.keys()
    for name, (statement, bound) in pairs.items():
        spelled, written = _spelled(statement), _written(bound)
        assert spelled <= written if name in IN_PART else spelled == written, name
        if bound.letter == "R" and name not in IN_PART:
            assert all(re.search(rf"\b{number}\b", statement) for number in _factors(bound)), name


@pytest.mark.parametrize(("old", "new"), [("n^16", "n^15"), ("n⁵", "n⁴"), ("φ⁵", "φ⁴")])
def test_a_statement_with_another_exponent_is_seen(old, new):
    seen = [name for name, (statement, bound) in _stated().items()
            if old in statement and _spelled(statement.replace(old, new)) != _written(bound)]  # fmt: skip
    assert seen
