"""Measured thresholds: bisection, exponents, and the verdict that follows from them."""

import dataclasses
import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ntk_localsgd.evidence import Interval
from verification import federated_convergence, width_thresholds
from verification.context import problem
from verification.runs import RunSpec
from verification.thresholds import TRIALS, Threshold, exponents, failing_seeds, first_to_hold

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
    asked = {"n": Interval(4, 4, 4), "φ": Interval(-4, -4, -4)}
    found = {name: Interval(sum(needed) / 2, *needed)}
    assert width_thresholds._no_faster(0.5, found, asked) is holds
    assert width_thresholds._no_faster(2.0, found, asked) is False


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
