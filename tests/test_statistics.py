"""Intervals and exponents against independent quantiles; what an interval decides."""

import math

import numpy as np
import pytest
import scipy.stats

from ntk_localsgd import statistics
from ntk_localsgd.errors import InputError
from ntk_localsgd.statistics import Interval


@pytest.mark.parametrize(("failures", "trials"), [(0, 10), (3, 20), (20, 20), (7, 1000)])
def test_clopper_pearson_is_the_beta_quantile(failures, trials):
    found = statistics.failure_interval(failures, trials)
    low = scipy.stats.beta.ppf(0.025, failures, trials - failures + 1) if failures else 0.0
    high = scipy.stats.beta.ppf(0.975, failures + 1, trials - failures) if failures < trials else 1.0
    # Both solve for the same quantile iteratively.
    assert found.lower == pytest.approx(low, abs=1e-9)
    assert found.upper == pytest.approx(high, abs=1e-9)
    assert found.estimate == failures / trials


def test_seventy_two_failure_free_seeds_are_the_least_that_decide_five_percent():
    assert statistics.holds_with_probability(0, 71, 0.05) is None
    assert statistics.holds_with_probability(0, 72, 0.05) is True


def test_probability_fails_only_when_the_whole_interval_lies_above():
    assert statistics.holds_with_probability(12, 100, 0.05) is False
    assert statistics.holds_with_probability(5, 100, 0.05) is None
    assert statistics.holds_with_probability(6, 100, 0.05) is None  # the estimate is above, its interval is not


@pytest.mark.parametrize("number", [2, 5, 30])
def test_mean_interval_is_student_s(number):
    values = np.random.default_rng(number).standard_normal(number)
    found, expected = statistics.mean_interval(values), scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.estimate == pytest.approx(values.mean(), rel=1e-12)
    assert (found.lower, found.upper) == pytest.approx(tuple(expected), rel=1e-12)  # the same quantile


def test_slope_recovers_a_power_law_exactly():
    widths = np.array([10.0, 100.0, 1000.0])
    found = statistics.slope(widths, np.outer([1.0, 2.0, 5.0], widths**-0.5))
    assert found.estimate == pytest.approx(-0.5, abs=1e-12)  # logarithms and a fit: some roundings
    assert found.half_width < 1e-12
    assert -0.5 in Interval(found.estimate, found.lower - 1e-12, found.upper + 1e-12)


def test_slope_intervals_cover_the_truth_about_as_often_as_they_say():
    rng, widths, covered = np.random.default_rng(0), np.array([1.0, 2.0, 4.0, 8.0]), 0
    for _ in range(400):
        noisy = widths**-0.5 * np.exp(0.3 * rng.standard_normal((6, 4)))
        covered += -0.5 in statistics.slope(widths, noisy)
    # 95% of 400 within four standard deviations of the binomial.
    assert abs(covered - 380) < 4 * math.sqrt(400 * 0.95 * 0.05)


def test_implied_constant_is_flat_where_the_shape_is_right():
    widths = np.array([1.0, 10.0, 100.0])
    constants = statistics.implied_constant(3 * widths[None] ** 0.5, widths**0.5)
    np.testing.assert_allclose(constants, 3, rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: statistics.failure_interval(3, 2), "failures and trials"),
        (lambda: statistics.failure_interval(0, 0), "failures and trials"),
        (lambda: statistics.slope([1, 2], np.ones((1, 2))), "2 seeds"),
        (lambda: statistics.slope([1, 2, 3], np.ones((4, 2))), "3 parameters"),
        (lambda: statistics.slope([1, 2], np.zeros((3, 2))), "logarithm"),
        (lambda: statistics.slope([1, 2], np.full((3, 2), np.inf)), "logarithm"),
    ],
)
def test_bad_input_gets_one_sentence(call, named):
    with pytest.raises(InputError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)
