"""Entropies: by hand, against SciPy's distributions, invariants; coverage of the interval; what is refused."""

import math

import hypothesis
import numpy as np
import pytest
import scipy.stats
from hypothesis import strategies as st

from ntk_localsgd.entropy import binned_entropy, entropy_change, estimated_change
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import RELU, TANH, LeakyReLU
from ntk_localsgd.statistics import failure_interval


@hypothesis.given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_binned_entropy_counts_bins_and_is_no_matter_of_order_or_shape(seed, bins):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, bins, 60) + rng.uniform(0.01, 0.99, 60)
    shares = np.bincount(values.astype(int)) / 60
    expected = -sum(p * math.log(p) for p in shares if p > 0)
    assert binned_entropy(values, 1.0) == pytest.approx(expected, abs=1e-12)
    assert binned_entropy(rng.permutation(2 * values).reshape(6, 10), 2.0) == pytest.approx(expected, abs=1e-12)
    assert 0 <= expected <= math.log(bins) + 1e-12


def test_fine_bins_of_gaussian_values_give_the_differential_entropy():
    values = np.random.default_rng(0).normal(size=(500, 400))
    assert binned_entropy(values, 0.1) + math.log(0.1) == pytest.approx(scipy.stats.norm.entropy(), abs=0.01)


def test_change_is_that_of_known_entropies():
    # Of −X, X exponential, α scales everything: h(αX) = h(X) + log α. A fair sign with it: half of it.
    assert entropy_change(LeakyReLU(0.2), 1.0) == pytest.approx(math.log(0.2))
    assert entropy_change(LeakyReLU(0.2), [0.5, 0.25]) == pytest.approx(0.75 * math.log(0.2))
    assert entropy_change(LeakyReLU(1.0), 0.3) == 0
    assert entropy_change(RELU, [0.3, 0.0]) == -math.inf
    assert entropy_change(RELU, 0.0) == 0


@hypothesis.given(st.floats(0.01, 1), st.integers(0, 2**32 - 1))
def test_estimate_is_the_share_below_0_up_to_its_window(slope, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.normal(), 1, int(rng.integers(16, 400)))
    found = estimated_change(x, LeakyReLU(slope))
    window = math.floor(math.sqrt(len(x)) + 0.5) / len(x) * -math.log(slope)
    assert abs(found.estimate - (x < 0).mean() * math.log(slope)) <= window + 1e-12
    share = failure_interval(int((x < 0).sum()), len(x))
    assert found.lower <= share.upper * math.log(slope) + 1e-12
    assert found.upper >= share.lower * math.log(slope) - 1e-12


def test_interval_covers_the_formula_as_often_as_it_says():
    rng, sigma = np.random.default_rng(3), LeakyReLU(0.1)
    formula = entropy_change(sigma, scipy.stats.norm.cdf(-0.4))
    found = [estimated_change(rng.normal(0.4, 1, 300), sigma, level=0.8) for _ in range(60)]
    assert np.mean([formula in interval for interval in found]) >= 0.8
    # No wider than the window and twice a Gaussian interval for the share.
    spread = 1.28 * math.sqrt(0.34 * 0.66 / 300) * math.log(10)
    assert np.mean([interval.half_width for interval in found]) < 17 / 300 * math.log(10) + 2 * spread


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: binned_entropy([1.0], 0.0), "bin_width is 0"),
        (lambda: binned_entropy([1.0, np.nan], 1.0), "values"),
        (lambda: binned_entropy([1e300], 1e-300), "wide enough"),
        (lambda: entropy_change(TANH, 0.5), "LeakyReLU"),
        (lambda: entropy_change(LeakyReLU(0.5), 1.5), "below holds 1.5"),
        (lambda: entropy_change(LeakyReLU(0.5), [0.5, -0.1]), "below holds -0.1"),
        (lambda: LeakyReLU(1.5), "negative_slope is 1.5"),
        (lambda: estimated_change(np.ones(20), RELU), "slope and samples are 0 and 20"),
        (lambda: estimated_change(np.ones(15), LeakyReLU(0.5)), "1 and 15|0.5 and 15"),
        (lambda: estimated_change(np.full(20, np.inf), LeakyReLU(0.5)), "samples"),
    ],
)
def test_bad_input_gets_one_sentence(call, said):
    with pytest.raises(InputError, match=said):
        call()
