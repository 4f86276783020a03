"""Measured thresholds: bisection, exponents, and the verdict that follows from them."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ntk_localsgd import kernels, prediction
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.statistics import Interval
from verification import certified_widths, federated_convergence, step_thresholds, width_thresholds
from verification.context import problem
from verification.runs import RunSpec
from verification.thresholds import (
    TRIALS,
    Threshold,
    exponents,
    failing_seeds,
    first_to_hold,
    holds_up_to,
    no_faster,
)

# A relative error of a few roundings of double precision.
CLOSE = 1e-12

SPEC = RunSpec("sphere", 4, 0, 2, 16, 0.5, 2, 3, seeds=tuple(range(10)), dtype="float64")


@given(st.integers(0, 12))
def test_bisection_finds_the_first_value_that_holds_and_the_last_that_fails(first):
    found = first_to_hold(range(12), lambda value, enough: 0 if value >= first else enough)
    assert found.value == (first if first < 12 else math.inf)
    assert found.fails == (first - 1 if first else math.inf)


def test_one_failure_among_forty_seeds_is_no_failure_rate_of_a_tenth_and_no_proof_of_one():
    # Clopper–Pearson at 95%: one of 40 leaves rates up to 13% possible, so that the value does not hold …
    found = first_to_hold([1, 2], lambda value, _: 1 if value == 1 else 0)
    assert found == Threshold(2, math.inf)  # … but it does not fail either
    assert first_to_hold([1], lambda *_: 1) == Threshold(math.inf, math.inf)


def test_counting_stops_once_enough_seeds_have_failed():
    made, seen = problem("sphere", 4, 0), []

    def never(made, spec, losses):
        seen.append(losses)
        return False

    assert failing_seeds(made, SPEC, never, 3) == 3
    assert len(seen) == 3
    assert failing_seeds(made, SPEC, lambda *_: True, 3) == 0


def test_a_diverged_run_ends_with_an_infinite_loss():
    made, seen = problem("sphere", 4, 0), []
    # Steps 10⁶ times what is stable: either everything dies at once or the loss is beyond all bounds.
    failing_seeds(made, dataclasses.replace(SPEC, step_size=1e6), lambda *run: seen.append(run[2][-1]), 10)
    assert math.inf in seen


def test_exponents_of_a_power_law_are_its_powers_and_missing_thresholds_are_left_out():
    n, phi = np.array([4.0, 8, 16]), np.array([0.8, 0.4])
    rows = np.array([np.append(c * n**3, c * phi**-2) for c in (1.0, 5.0)])
    found = xr.Dataset(
        {"threshold": (("repeat", "point"), rows), "at": (("repeat", "point"), np.tile(np.append(n, phi), (2, 1)))},
        {"parameter": ("point", ["n"] * 3 + ["φ"] * 2)},
    )
    measured = exponents(found)
    assert measured["n"].estimate == pytest.approx(3, rel=CLOSE)
    assert measured["φ"].estimate == pytest.approx(-2, rel=CLOSE)
    rows[0, 4] = math.inf
    assert set(exponents(found)) == {"n"}


@pytest.mark.parametrize(
    ("name", "needed", "holds"),
    [("n", (1, 2), True), ("n", (5, 6), False), ("n", (3, 6), None), ("φ", (-2, -1), True), ("φ", (-6, -5), False)],
)
def test_needed_widths_may_grow_no_faster_than_those_asked_for(name, needed, holds):
    powers = {"n": 4, "φ": -4}
    assert no_faster(_power_laws(name, needed, powers[name]))[0] is holds
    # Step sizes are the other way round: asked for is the reciprocal, and they may fall no faster.
    assert no_faster(_power_laws(name, [-p for p in needed], -powers[name]), step=True)[0] is holds


def test_a_missing_threshold_decides_nothing():
    found = _power_laws("n", (1, 2), 4)
    found.threshold[0, -1] = math.inf
    assert no_faster(found)[0] is None
    found.threshold[0, -1] = 0.0
    assert no_faster(found, step=True)[0] is None


def _power_laws(name, needed, asked):
    """Two data sets whose thresholds grow with powers that have these ends as their interval."""
    at = np.array([1.0, 4.0, 16.0])
    # Student's interval of two values a, b is (a + b)/2 ± 12.7 |a − b|/2.
    middle, half = sum(needed) / 2, abs(needed[1] - needed[0]) / 2 / scipy.stats.t.ppf(0.975, 1)
    rows = np.array([at ** (middle - half), at ** (middle + half)])
    return xr.Dataset(
        {"threshold": (("repeat", "point"), rows), "asked": (("repeat", "point"), np.tile(at**asked, (2, 1))),
         "at": (("repeat", "point"), np.tile(at, (2, 1)))},
        {"parameter": ("point", [name] * 3)},
    )  # fmt: skip


def test_holding_up_to_a_value_takes_nothing_between_for_granted():
    fails = {3, 5}
    found = holds_up_to([1, 2, 3, 4, 5, 6], lambda value, enough: enough if value in fails else 0)
    assert found == Threshold(2, 3)
    assert holds_up_to([1, 2], lambda *_: 0) == Threshold(2, math.inf)
    assert holds_up_to([1, 2], lambda *_: 40) == Threshold(math.inf, 1)


def test_no_stable_step_size_is_none_and_not_an_infinite_one(monkeypatch):
    monkeypatch.setattr(step_thresholds, "failing_seeds", lambda *_: TRIALS)
    for conclusion in ("stable", "rate", "too fast"):
        assert step_thresholds._threshold(conclusion, problem("sphere", 4, 0), SPEC).value == 0


def test_a_certificate_s_width_grows_slower_than_c1_s_only_if_its_whole_interval_lies_below():
    asked = Interval(6, 6, 6)
    judged = [certified_widths._smaller(found, asked) for found in (Interval(2, 1, 3), Interval(5, 3, 7), asked)]
    assert judged == [True, None, False]


def test_exponents_of_the_three_widths_are_those_of_power_laws():
    n = np.array([2, 4, 8, 16])
    laws = {"measured": 0.5, "certified": 1.5}
    data = {name: (("n", "seed"), (n[:, None] ** p) * np.array([1.0, 3.0])) for name, p in laws.items()}
    row = certified_widths._exponents(xr.Dataset(data | {"asked": ("n", n**6.0)}, {"n": n}))
    assert row.measured == pytest.approx(1.5, rel=1e-9)  # rounding of logarithms
    assert row.bound == pytest.approx(6, rel=1e-9)
    assert row.conclusion.holds
    assert row.control.broke


def test_losses_at_the_bound_have_ratio_one_and_slower_ones_more():
    made = problem("sphere", 4, 0)
    rate = 1 - SPEC.step_size * made.lambda0.lower * SPEC.local_steps / (2 * SPEC.num_clients)
    for slower in (1, 1.1):
        losses = (slower * rate) ** np.arange(4)[None]
        expected = slower ** (3 if slower > 1 else 1)
        assert federated_convergence.worst_ratio(made, SPEC, losses) == pytest.approx(expected, rel=CLOSE)


def test_as_many_seeds_as_the_level_needs():
    # 1 − 0.025^{1/40} = 8.8% ≤ δ = 10%; with 35 seeds it would be 10.01%.
    assert 1 - 0.025 ** (1 / TRIALS) <= 0.1 < 1 - 0.025 ** (1 / 34)


@pytest.mark.parametrize(("distance", "reached"), [(0.8, True), (0.2, False)])
def test_a_deep_run_is_asked_for_what_the_kernel_regime_reaches_in_half_its_rounds(distance, reached):
    made = problem(f"planted {distance:g}", 4, 0)
    spec = width_thresholds._spec("C2", made, (0,), 4, 5, 2)
    asked, share = width_thresholds._goal(made, spec)
    path = prediction.local_gd(
        kernels.infinite_deep_gram(made.inputs, 2), made.split(4), -made.dataset.targets,
        LocalSGD(spec.step_size, 5, asked // 2),
    )  # fmt: skip
    shares = (path**2).sum(axis=1) / (path[0] ** 2).sum()
    assert shares[-1] <= share < shares[-2]
    assert (share == 0.01) is reached
    assert (asked < spec.num_rounds) is reached
    assert asked <= spec.num_rounds
    half = dataclasses.replace(spec, batch_size=1)
    assert width_thresholds._goal(made, half)[0] <= spec.num_rounds
    assert width_thresholds._goal(made, dataclasses.replace(spec, depth=0))[0] == spec.num_rounds
