"""Bounds: numbers by hand, solving, errors, and one place for every formula."""

import dataclasses
import itertools
import math
import pkgutil
from fractions import Fraction

import hypothesis
import mpmath
import numpy as np
import pytest
import scipy.special
import scipy.stats
import sympy as sp
from hypothesis import strategies as st

from ntk_localsgd import bounds
from ntk_localsgd.bounds import BOUNDS, SYMBOLS, Bound, MissingNumber, deng_kamani_mahdavi_2022, symbols, theorem
from ntk_localsgd.bounds.du_2019 import stability_radius
from ntk_localsgd.bounds.gaussian import anti_concentration_exact
from ntk_localsgd.errors import InputError

# A relative error of a few roundings of double precision.
CLOSE = 1e-12

BY_HAND = {
    "F3": (dict(n=8, delta=0.05, lambda0=0.1, form=9), 1.5 + math.sqrt(math.log(1600) / 8)),
    "K3": (dict(n=10, phi=0.5), 0.5 / 10_000),
    "K4a": (dict(n=10, m=200, delta=0.05), math.sqrt(math.log(4000) / 400)),
    "K4a-width": (dict(lambda0=0.2), 0.15),
    "K4b": (dict(lambda0=0.2), 0.15),
    "K5": (dict(R=0.3), 0.6 / math.sqrt(2 * math.pi)),
    "K6b": (dict(n=4, R=0.1, delta=0.2), 4 * 16 * 0.1 / (math.sqrt(2 * math.pi) * 0.2)),
    "K6c": (dict(n=4, R=0.1), 0.8),
    "K7": (dict(n=4, C=1.0, delta=0.1), 60.0),
    "S1a": (dict(chi=2.0, distance=0.3, flips=0.25, residual=3.0), 4 * 0.3 + 2 * 0.5 * 3),
    "S3": (dict(eta=0.1, k=3, chi=2.0, residual=5.0), 3.0),
    "S4": (dict(n=4, m=100, lambda0=0.5, residual=2.0), 4 * 2 * 2 / (10 * 0.5)),
    "D1": (dict(n=4, m=100, L=3, delta=0.1), math.sqrt(3 * math.log(120) / 100)),
    "D2-upper": (dict(n=4, m=100, L=3, o=2, loss=5), 3 * 4 * 100 / 2 * 5),
    "D2-lower": (dict(n=4, m=100, o=2, phi=0.5, loss=5), 100 * 0.5 / 32 * 5),
    "D2-sharper": (dict(n=4, m=100, o=2, phi=0.5, loss=5), 100 * 0.5 / 8 * 5),
    "D3": (dict(m=100, L=3, omega=0.008), 12.0),
    "D4": (dict(m=100, L=4, omega=0.1), 3.2 * math.sqrt(math.log(100))),
    "D6": (
        dict(n=4, m=100, L=2, o=2, omega=0.008, loss=9, distance=0.1),
        6 * 0.2 * 4 * math.sqrt(50 * math.log(100)) * 0.1 + 4 * 4 * 50 * 0.01,
    ),
    "S4-deep": (dict(n=4, m=100, o=2, phi=0.5), math.sqrt(2 * 16 * math.log(4) / 50)),
    "S1b": (
        dict(m=100, L=2, o=2, omega=0.008, loss=3, distance=0.1),
        100 * 16 / 2 * 0.01 + 0.04 * 32 * 50 * math.log(100) * 3,
    ),
    "C2": (dict(n=2, m=100, phi=0.5, loss=3, rounds=10), 3 * math.exp(-10 * 0.25 / (32 * math.log(100) ** 2))),
    "C3": (
        dict(n=2, m=100, phi=0.5, loss=3, rounds=10),
        2 * math.log(100) ** 2 * 3 * math.exp(-10 * 0.25 / (128 * math.log(100) ** 2)),
    ),
    "C1": (dict(eta=0.1, lambda0=0.5, k=2, residual=3.0), (1 - 0.025) ** 2 * 9),
    "C1-deep": (dict(n=2, L=3, phi=0.5, k=40, loss=3.0), 3 * math.exp(-40 * 0.25 / (64 * 9))),
    "X4-line": (dict(m=3, L=4), 256),
    "X4-plane": (dict(m=3, L=2), 49),
    "C4": (dict(eta=0.1, eta_g=2, lambda0=0.5, tau=4, K=8, rounds=3, residual=3.0), (1 - 0.4 / 16) ** 3 * 9),
}


@pytest.mark.parametrize("claim", BOUNDS)
def test_right_hand_side_matches_the_formula_written_out(claim):
    numbers, expected = BY_HAND[claim]
    assert BOUNDS[claim].evaluate(**numbers) == pytest.approx(expected, rel=CLOSE)


def test_widths_and_steps_match_the_formulas_written_out():
    numbers = dict(n=4, lambda0=0.5, delta=0.1)
    assert BOUNDS["K4a-width"].smallest_width(**numbers) == math.ceil(8 * 16 * math.log(320) / 0.25)
    assert BOUNDS["K4b"].smallest_width(**numbers, spectral=1.5) == math.ceil(32 * 2.25 * math.log(40) / 0.5)
    assert BOUNDS["K6c"].smallest_width(n=4, R=0.1, delta=0.1) == math.ceil(5 / 3 * math.log(200) / 0.1)
    asked = 4**5 * 16**2 * 2 / (2 * math.pi) * 4**6 / (0.5**4 * 0.1**3)
    assert BOUNDS["C1"].smallest_width(**numbers, C=1) == pytest.approx(asked, rel=CLOSE)
    assert BOUNDS["C1"].largest_step(n=4, lambda0=0.5) == pytest.approx(0.5 / 128, rel=CLOSE)
    assert BOUNDS["C4"].smallest_width(**numbers) == math.ceil(256 * math.log(40) / 0.0625)
    assert BOUNDS["C4"].largest_step(n=4, lambda0=0.5, kappa=8, tau=5) == pytest.approx(0.5 / 640, rel=CLOSE)
    assert BOUNDS["S4"].smallest_width(**numbers, C=1) == BOUNDS["C1"].smallest_width(**numbers, C=1)
    assert BOUNDS["S4"].largest_step(n=4, lambda0=0.5) == BOUNDS["C1"].largest_step(n=4, lambda0=0.5)


@pytest.mark.parametrize(("claim", "samples", "power", "separation"), [("C2", 16, 3, 5), ("C3", 18, 5, 3)])
def test_widths_of_the_deep_theorems_solve_their_own_premise(claim, samples, power, separation):
    numbers = dict(n=2, L=3, K=4, phi=0.5) | ({"o": 2} if claim == "C2" else {})
    scale = 4 * 2**samples * 3**12 * (2 if claim == "C2" else 1) / 0.5**separation
    m = BOUNDS[claim].smallest_width(**numbers)
    assert m == pytest.approx(scale * math.log(m) ** power, rel=CLOSE)
    # The Lambert function solves it in closed form: with s = −log(m)/p, s·exp(s) = −A^(−1/p)/p on the lower branch.
    branch = scipy.special.lambertw(-(scale ** (-1 / power)) / power, -1).real
    assert m == pytest.approx(math.exp(-power * branch), rel=1e-10)  # exp of 50 loses two digits
    assert BOUNDS[claim].smallest_width(**numbers, m=100) == m  # what is solved for is not taken from the caller


def test_width_and_step_of_gradient_descent_on_deep_networks():
    bound, numbers = BOUNDS["C1-deep"], dict(n=2, L=3, phi=0.5)
    m = bound.smallest_width(**numbers)
    assert m == pytest.approx(2**24 * 3**12 * math.log(m) ** 5 / 0.5**8, rel=CLOSE)
    assert bound.largest_step(**numbers, m=100) == pytest.approx(0.5 / (2**4 * 9 * 100), rel=CLOSE)


def test_steps_of_the_deep_theorem_match_the_formula_written_out():
    step = 2 * 0.5 / (100 * 5 * 2**3 * math.log(100) ** 2)
    assert BOUNDS["C2"].largest_step(n=2, m=100, o=2, phi=0.5, tau=5) == pytest.approx(step, rel=CLOSE)


WITH_WIDTH = [claim for claim, bound in BOUNDS.items() if bound.width is not None]


@pytest.mark.parametrize("claim", WITH_WIDTH)
@hypothesis.given(data=st.data())
def test_smallest_width_is_the_first_from_which_on_the_premise_holds(claim, data):
    bound = dataclasses.replace(BOUNDS[claim], step=None, least_samples=1)
    numbers = {}
    for symbol in bound.width.free_symbols - {symbols("m")}:
        whole, probability = SYMBOLS[symbol.name].whole, symbol.name == "delta"
        values = st.integers(1, 30) if whole else st.floats(1e-3, 0.9 if probability else 2)
        numbers[symbol.name] = data.draw(values, label=symbol.name)
    m = bound.smallest_width(**numbers)
    assert bound.premise_met(m=m, **numbers)
    assert all(bound.premise_met(m=math.ceil(factor * m), **numbers) for factor in (1.01, 2, 1e6))
    assert m == 1 or not bound.premise_met(m=m - 1, **numbers)
    assert m < 1000 or not bound.premise_met(m=0.99 * m, **numbers)


def test_widths_beyond_floats_are_exact():
    numbers = dict(n=10, lambda0=1e-200, C=1, delta=0.125)
    m = BOUNDS["C1"].smallest_width(**numbers)
    exact = Fraction(4**5 * 16**2 * 2 * 10**6) / (2 * Fraction(1e-200) ** 4 * Fraction(1, 8) ** 3)  # times 1/π
    with mpmath.workdps(2 * len(str(m))):
        assert m == int(mpmath.ceil(mpmath.mpf(exact.numerator) / exact.denominator / mpmath.pi))
    assert len(str(m)) == 814
    assert BOUNDS["C1"].premise_met(m=m, eta=1e-300, **numbers)
    assert not BOUNDS["C1"].premise_met(m=m - 1, eta=1e-300, **numbers)
    assert BOUNDS["C1"].evaluate(eta=1e-3, k=10**9, lambda0=0.5, residual=2) == 0
    assert BOUNDS["K7"].evaluate(n=1e300, C=1e300, delta=0.1) == math.inf


def test_prototype_figure_of_the_gradient_descent_width():
    # 1.1e10/δ³ at n = 4 is what the theory page quotes for K = 1; λ0 of four points on the sphere in R^16 is near 0.42.
    assert BOUNDS["C1"].smallest_width(n=4, lambda0=0.42, C=1, delta=0.1) == pytest.approx(1.1e13, rel=0.1)


def test_width_solved_for_a_target_reaches_it_and_one_less_does_not():
    bound = BOUNDS["K4a"]
    width = bound.smallest_width(target=0.1, n=10, delta=0.05)
    assert bound.evaluate(m=width, n=10, delta=0.05) <= 0.1 < bound.evaluate(m=width - 1, n=10, delta=0.05)


def test_smallest_width_meets_the_premise_and_the_target():
    bound, numbers = BOUNDS["S4"], dict(n=4, lambda0=0.5, C=1, delta=0.1)
    asked = bound.smallest_width(**numbers)
    there = bound.evaluate(m=asked, n=4, lambda0=0.5, residual=2)
    assert bound.smallest_width(target=2 * there, residual=2, **numbers) == asked
    # The bound falls like m^{-1/2}: half of it takes four times the width.
    assert bound.smallest_width(target=there / 2, residual=2, **numbers) == pytest.approx(4 * asked, rel=CLOSE)


def test_stability_radius_makes_the_perturbation_a_quarter_of_lambda0():
    radius = stability_radius().evaluate(n=6, delta=0.1, lambda0=0.3)
    assert BOUNDS["K6b"].evaluate(n=6, R=radius, delta=0.1) == pytest.approx(0.3 / 4, rel=CLOSE)


def test_stability_width_makes_the_failure_probability_delta():
    n, radius, delta = 7, 0.02, 0.05
    width = BOUNDS["K6c"].smallest_width(n=n, R=radius, delta=delta)
    assert n * (n + 1) * math.exp(-0.6 * width * radius) <= delta < n * (n + 1) * math.exp(-0.6 * (width - 1) * radius)


@pytest.mark.parametrize("width", [1, 30, 1000, 10**5])
def test_stability_probability_covers_the_binomial_tails_of_its_proof(width):
    # Neurons that can switch a product on (or off) are binomial, with probability erf(R/√2) each for a pair, half of it
    # for a sample with itself.
    for radius, n in itertools.product(np.logspace(-6, 0, 40), (1, 2, 7)):
        rate = scipy.special.erf(radius / math.sqrt(2))
        pair, single = scipy.stats.binom.sf(math.floor(2 * width * radius), width, [rate, rate / 2])
        assert pair <= math.exp(-0.6 * width * radius) * (1 + 1e-9)
        fails = n * (n - 1) * pair + 2 * n * single
        assert fails <= n**2 * math.exp(-width * radius / 10)


@pytest.mark.parametrize("radius", [1e-6, 0.1, 1.0, 3.0])
def test_error_function_is_the_two_sided_probability_and_lies_below_its_linear_bound(radius):
    chance = 1 - 2 * scipy.stats.norm.sf(radius)
    assert anti_concentration_exact().evaluate(R=radius) == pytest.approx(chance, abs=1e-15, rel=1e-9)
    assert anti_concentration_exact().evaluate(R=radius) <= BOUNDS["K5"].evaluate(R=radius)


def test_premise_needs_samples_width_and_step_together():
    bound, numbers = BOUNDS["C1"], dict(lambda0=0.5, C=1, delta=0.1)
    width, step = bound.smallest_width(n=4, **numbers), bound.largest_step(n=4, **numbers)
    assert bound.premise_met(n=4, m=width, eta=step, **numbers)
    assert not bound.premise_met(n=4, m=width - 1e6, eta=step, **numbers)
    assert not bound.premise_met(n=4, m=width, eta=1.01 * step, **numbers)
    wide = bound.smallest_width(n=3, **numbers)
    assert not bound.premise_met(n=3, m=wide, eta=bound.largest_step(n=3, **numbers), **numbers)  # n > 3 is asked for


@pytest.mark.parametrize("claim", BOUNDS)
def test_every_bound_is_described_and_printable(claim):
    bound = BOUNDS[claim]
    assert bound.claim == claim
    assert bound.letter in "SPRD"
    assert set(bound.needs) <= set(SYMBOLS)
    assert all(symbol.name in SYMBOLS for symbol in bound.expression.free_symbols)
    assert bound.text()
    assert "lambda0" not in bound.text()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda b: b["C1"].evaluate(eta=0.1), "lambda0"),
        (lambda b: b["K4a"].evaluate(n=-1, m=3, delta=0.1), "n is -1"),
        (lambda b: b["K4a"].evaluate(n=3, m=3, delta=1.5), "delta is 1.5"),
        (lambda b: b["K4a"].evaluate(n=3, m=3, delta=0.5, bogus=2), "bogus"),
        (lambda b: b["K4a"].smallest_width(n=3, delta=0.5), "target"),
        (lambda b: b["K7"].smallest_width(n=3, delta=0.5, C=1), "premise on m"),
        (lambda b: b["K7"].largest_step(n=3), "step"),
        (lambda b: b["C1"].premise_met(n=4, eta=0.1, lambda0=0.5, C=1, delta=0.1), "number for m"),
        (lambda b: b["K4a"].evaluate(n="many", m=3, delta=0.5), "n is 'many', needs to be a number"),
        (lambda b: b["K4a"].evaluate(n=math.inf, m=3, delta=0.5), "n is inf"),
        (lambda b: b["C1"].evaluate(eta=9, lambda0=0.5, k=0.5, residual=1), "no real value"),
        (lambda b: b["K4a"].smallest_width(n=3, delta=0.5, target=-1), "target is -1"),
    ],
)
def test_bad_numbers_get_one_sentence(call, named):
    with pytest.raises(InputError, match=named) as caught:
        call(BOUNDS)
    assert "\n" not in str(caught.value)


def test_formulas_are_exact_not_rounded():
    assert not any(bound.expression.has(sp.Float) for bound in BOUNDS.values())


@pytest.mark.parametrize(
    ("trajectory", "b", "powers"),
    [
        ("gradient descent", 3, {"n": 8, "L": 12, "phi": -4, "o": 1, "K": 0}),  # the published width, up to log n
        ("upper and lower", 6, {"n": 16, "L": 12, "phi": -5, "o": 1, "K": 1}),  # C2's
        ("lower alone", 6, {"n": 14, "L": 12, "phi": -4, "o": 1, "K": 1}),
    ],
)
def test_exponents_balance_to_the_widths_of_the_papers(trajectory, b, powers):
    length = deng_kamani_mahdavi_2022.trajectories()[trajectory]
    found = deng_kamani_mahdavi_2022.ledger(length, a=sp.Rational(3, 2), b=sp.Integer(b))
    assert found["width"] == powers
    assert all(found["radius ω"][name] + found["trajectory"][name] == powers[name] for name in powers)
    other = deng_kamani_mahdavi_2022.ledger(length, a=sp.Integer(2), b=sp.Integer(b))
    assert other["width"]["phi"] == powers["phi"] - 1  # another radius, another width


def test_the_balanced_width_is_the_one_that_theorem_c2_asks_for():
    length = deng_kamani_mahdavi_2022.trajectories()["upper and lower"]
    width = deng_kamani_mahdavi_2022.balanced_width(length, a=sp.Rational(3, 2), b=sp.Integer(6))
    assert sp.simplify(width / BOUNDS["C2"].width) == 1


def test_every_module_of_a_paper_is_read_and_its_theorems_entered():
    papers = {module.name for module in pkgutil.iter_modules(bounds.__path__)} - {"bound"}
    assert {bound.claim for bound in BOUNDS.values()} == set(BOUNDS)
    assert papers >= {"du_2019", "derived", "huang_2021", "tropp_2012"}
    with pytest.raises(InputError, match=r"K3 has two bounds, Oymak and Soltanolkotabi 2020 and Nobody"):
        theorem(lambda: Bound("K3", "R", "Nobody 1900", "λ0", ">=", symbols("phi")))


def test_missing_numbers_are_named():
    with pytest.raises(MissingNumber, match=r"C1 needs a number for eta, lambda0, residual\.") as caught:
        BOUNDS["C1"].evaluate(k=3)
    assert caught.value.names == ("eta", "lambda0", "residual")
    with pytest.raises(MissingNumber) as caught:
        BOUNDS["K4a"].smallest_width(target=0.1, n=5)
    assert caught.value.names == ("delta",)


def test_the_smallest_width_is_the_one_from_which_on_the_premise_holds():
    # With so small a factor m = 1 … 16 meet m ≥ A log³ m, 17 … 25 do not, and from 26 on all do.
    numbers = {"n": 1, "K": 1, "L": 1, "o": 1, "phi": 0.7505**-0.2}
    bound = BOUNDS["C2"]
    assert bound.smallest_width(**numbers) == 26
    met = [m >= bound.width.subs({symbols(k): v for k, v in (numbers | {"m": m}).items()}) for m in range(2, 40)]
    assert [m for m, holds in zip(range(2, 40), met, strict=True) if not holds] == list(range(17, 26))
