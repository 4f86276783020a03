"""Two passes over the neurons: exact counts, covered residuals, and only what may cross a kink is kept."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_localsgd.certificate.two_layer.neurons import (
    gram_changes,
    near_kinks,
    pairs_of,
    pattern_changes,
    pattern_products,
    survey,
)


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((5, 7))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x, rng.standard_normal((900, 7)), rng.choice([-1.0, 1.0], 900), rng.standard_normal(5)


def _blocks(weights, signs, sizes):
    ends = np.cumsum([0, *sizes])
    return lambda: iter([(weights[a:b], signs[a:b]) for a, b in itertools.pairwise(ends)])


@pytest.mark.parametrize("sizes", [(900,), (100, 700, 100)])
def test_survey_is_the_network_in_exact_arithmetic_up_to_its_error(network, sizes):
    x, weights, signs, targets = network
    found = survey(_blocks(weights, signs, sizes), x, targets)
    active = weights @ x.T >= 0
    assert (found.counts == active.T.astype(int) @ active.astype(int)).all()
    exact = np.longdouble(0) + np.maximum(x.astype(np.longdouble) @ weights.astype(np.longdouble).T, 0) @ signs
    exact = exact / np.sqrt(np.longdouble(900)) - targets
    assert (np.abs(found.residual - exact) <= found.residual_error).all()
    assert (found.residual_error < 1e-11).all()
    assert found.width == 900


def test_the_error_covers_large_terms_that_cancel(network):
    x, weights, signs, targets = network
    # Every neuron again with the other sign and all but the same weights: outputs of order 1 from terms of order 1e6.
    large = 1e6 * np.concatenate([weights, weights * (1 + 1e-9)])
    both = np.concatenate([signs, -signs])
    found = survey(_blocks(large, both, (1800,)), x, targets)
    exact = np.maximum(x.astype(np.longdouble) @ large.astype(np.longdouble).T, 0) @ both
    exact = exact / np.sqrt(np.longdouble(1800)) - targets
    assert (np.abs(found.residual - exact) <= found.residual_error).all()


def test_a_wrong_residual_leaves_its_error(network):
    x, weights, signs, targets = network
    found = survey(_blocks(weights, signs, (900,)), x, targets)
    off = survey(_blocks(weights + 1e-9, signs, (900,)), x, targets)
    assert (np.abs(found.residual - off.residual) > found.residual_error).any()


@pytest.mark.parametrize("sizes", [(900,), (1, 449, 450)])
def test_near_kinks_keeps_every_pair_within_the_threshold(network, sizes):
    x, weights, signs, _ = network
    threshold = np.linspace(0.01, 0.2, 5)
    near = near_kinks(_blocks(weights, signs, sizes), x, threshold)
    z = weights @ x.T
    close = np.abs(z) <= threshold
    assert (near.numbers == np.flatnonzero(close.any(axis=1))).all()
    for j in range(5):
        assert (near.numbers[near.rows[j]] == np.flatnonzero(close[:, j])).all()
        assert np.allclose(near.values[j], z[close[:, j], j], atol=1e-14)
    assert (near.patterns == (z[near.numbers] >= 0)).all()
    assert (near.signs == signs[near.numbers]).all()
    named = pairs_of(near, np.ones_like(near.patterns))
    assert len(named) == near.patterns.size
    assert set(named[:, 1]) == set(near.numbers)


def test_a_sign_within_rounding_of_the_kink_is_never_certain(network):
    x, weights, signs, _ = network
    weights = weights.copy()
    weights[0] -= (weights[0] @ x[0]) * x[0]
    near = near_kinks(_blocks(weights, signs, (900,)), x, np.zeros(5))
    assert 0 in near.numbers
    assert abs(near.values[0][0]) <= near.errors[0][0]


def test_changes_of_the_gram_matrix_cover_its_own_rounding(network):
    x, weights, signs, targets = network
    found = survey(_blocks(weights, signs, (900,)), x, targets)
    inner = x @ x.T
    stored, wide = inner * (found.counts / 900), x.astype(np.longdouble)
    exact = (wide @ wide.T) * found.counts / np.longdouble(900)
    error = float(np.abs(inner - wide @ wide.T).max())
    none = np.zeros((3, 5), bool)
    bound = gram_changes(inner, error, none, none, 900)
    assert (np.abs(stored - exact) <= bound).all()
    assert 0 < bound.max() < 1e-15


@given(st.integers(0, 10_000))
def test_pattern_changes_bound_every_choice_of_slopes(seed):
    rng = np.random.default_rng(seed)
    patterns, uncertain = rng.random((12, 4)) < 0.5, rng.random((12, 4)) < 0.3
    bound = pattern_changes(patterns, uncertain)
    reference = pattern_products(patterns)
    for _ in range(20):
        slopes, indicators = (np.where(uncertain, rng.random((12, 4)), patterns) for _ in range(2))
        indicators = np.where(uncertain, indicators > 0.5, patterns)
        assert (np.abs(slopes.T @ indicators - reference) <= bound + 1e-12).all()
    # The bound is attained: all uncertain pairs on, or all off.
    ends = [pattern_products(patterns | uncertain), pattern_products(patterns & ~uncertain)]
    assert (np.maximum(ends[0] - reference, reference - ends[1]) == bound).all()
