"""The tails of deep networks with convergent weights, and weights from outputs: numbers by hand, networks at random."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from ntk_localsgd.bounds.xu_zhang_2021 import tail_from_output, tail_from_start, weights_from_outputs
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import FeedforwardReLU


def test_tails_match_the_formulas_written_out():
    deviations, biases = np.array([0.5, 0.1]), np.array([0.3, 0.2])
    start = tail_from_start(deviations, biases, 2.0, rest=(0.05, 0.4))
    largest = 1.5 * 1.1 * np.exp(0.05) * (2 + 0.5 + 0.4)
    np.testing.assert_allclose(start, [largest * 0.65 + 0.9, largest * 0.15 + 0.6, largest * 0.05 + 0.4], rtol=1e-8)
    seen = tail_from_output(np.array([2.0, 3.0, 4.0]), deviations, biases, rest=(0.05, 0.4))
    last = np.expm1(0.05) * 4.4 + 0.4
    middle = (1.1 * np.exp(0.05) - 1) * 3.6 + 0.6
    np.testing.assert_allclose(seen[1:], [middle, last], rtol=1e-8)


@hypothesis.given(st.integers(0, 2**32 - 1))
def test_no_tail_is_above_its_bounds(seed):
    rng = np.random.default_rng(seed)
    width, depth = int(rng.integers(1, 6)), int(rng.integers(2, 40))
    deviations = rng.uniform(0.05, 1) * np.arange(1, depth + 1.0) ** -rng.uniform(0.3, 3)
    noise = [rng.choice([np.eye(width), rng.normal(size=(width, width))]) for _ in deviations]
    weights = [np.eye(width) + d * e / np.linalg.norm(e, 2) for d, e in zip(deviations, noise, strict=True)]
    biases = [d * rng.normal(size=width) for d in deviations]
    x = np.abs(rng.normal(size=(3, width)))  # X2 holds from n = 0 on where x ≥ 0
    outputs = np.stack(FeedforwardReLU(weights, biases).layers(x), axis=1)
    tails = np.linalg.norm(outputs - outputs[:, -1:], axis=2)
    sizes, norms = np.linalg.norm(biases, axis=1), np.linalg.norm(outputs, axis=2)
    later = tail_from_output(norms, deviations, sizes)
    assert (tails <= later + 1e-13).all()  # rounding of a few dozen layers
    for k in range(3):
        before = tail_from_start(deviations, sizes, norms[k, 0])
        assert (tails[k] <= before + 1e-13).all()
        # It starts from an output that is never above the bound H on all of them.
        assert (later[k] <= before * (1 + 1e-8)).all()


def test_a_tail_in_one_direction_reaches_the_bound_from_its_output():
    growing = [(1 + 0.5 * layer**-2.0) * np.eye(2) for layer in range(1, 30)]
    outputs = np.stack(FeedforwardReLU(growing).layers([[1.0, 2.0]]), axis=1)[0]
    tails = np.linalg.norm(outputs - outputs[-1], axis=1)
    bound = tail_from_output(np.linalg.norm(outputs, axis=1), 0.5 * np.arange(1, 30.0) ** -2, np.zeros(29))
    np.testing.assert_allclose(bound, tails, rtol=1e-8, atol=1e-14)


def test_increments_and_spread_bound_the_weights():
    rng = np.random.default_rng(1)
    deviation = np.column_stack([0.1 * rng.normal(size=(3, 3)), 0.1 * rng.normal(size=3)])
    before = 1 + np.concatenate([np.zeros((1, 3)), np.eye(3)])
    after = before + np.column_stack([before, np.ones(4)]) @ deviation.T
    increments, spread = weights_from_outputs(before, after)
    assert np.linalg.norm(deviation, 2) <= increments / spread * (1 + 1e-12)
    assert spread == pytest.approx(np.linalg.svd(np.column_stack([before, np.ones(4)]))[1][-1])
    assert weights_from_outputs(np.ones((4, 3)), np.ones((4, 3)))[1] < 1e-15


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: tail_from_start([-0.1], [0.0], 1.0), "deviations holds -0.1"),
        (lambda: tail_from_start([0.1], [np.nan], 1.0), "biases holds nan"),
        (lambda: tail_from_start([0.1], [0.0], np.inf), "input_norm holds inf"),
        (lambda: tail_from_start([0.1], [0.0], 1.0, rest=(-1, 0)), "rest holds -1"),
        (lambda: tail_from_output([-2.0, 1.0], [0.1], [0.0]), "output_norms holds -2"),
        (lambda: weights_from_outputs(np.ones((3, 3)), np.ones((3, 3))), "k > m"),
    ],
)
def test_bad_numbers_get_one_sentence(call, said):
    with pytest.raises(InputError, match=said):
        call()
