"""DeepReLU: initialization, outputs, patterns, shapes for one and several outputs, refusals."""

import jax
import numpy as np
import pytest
import scipy.stats

from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import DeepReLU

KEY = jax.random.key(0)


def _numpy_layers(net, x):
    """Pre-activations of the trained layers and outputs, in float64."""
    h, pre_activations = np.maximum(x @ np.asarray(net.input_weights, np.float64).T, 0), []
    for weights in net.hidden_weights:
        pre_activations.append(h @ np.asarray(weights, np.float64).T)
        h = np.maximum(pre_activations[-1], 0)
    return pre_activations, h @ np.asarray(net.output_weights, np.float64).T


def test_weights_have_the_paper_s_variances():
    net = DeepReLU.init(KEY, width=150, depth=2, input_dim=40, output_dim=30)
    parts = [(net.input_weights, 2 / 150), *((w, 2 / 150) for w in net.hidden_weights), (net.output_weights, 1 / 30)]
    for weights, variance in parts:
        # Fixed seed; each test would be wrong for one seed in ten thousand.
        assert scipy.stats.kstest(np.asarray(weights).ravel() / np.sqrt(variance), "norm").pvalue > 1e-4
    first, second = (np.asarray(w).ravel() for w in net.hidden_weights)
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / 150


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("output_dim", [1, 3])
def test_outputs_and_patterns_match_numpy(dtype, output_dim):
    net = DeepReLU.init(KEY, width=30, depth=3, input_dim=4, output_dim=output_dim, dtype=dtype)
    x = np.random.default_rng(0).standard_normal((6, 4))
    pre_activations, outputs = _numpy_layers(net, x)
    found = net(x)
    assert found.shape == ((6,) if output_dim == 1 else (6, output_dim))
    assert found.dtype == dtype
    # Sums of thirty terms of order 1, four in a row.
    np.testing.assert_allclose(found.reshape(6, -1), outputs, rtol=0, atol=500 * np.finfo(dtype).eps)
    for pattern, z in zip(net.activation_patterns(x), pre_activations, strict=True):
        np.testing.assert_array_equal(pattern, z >= 0)


def test_a_deeper_network_begins_like_a_shallower_one():
    short, long = (DeepReLU.init(KEY, width=8, depth=depth, input_dim=3) for depth in (1, 3))
    np.testing.assert_array_equal(short.hidden_weights[0], long.hidden_weights[0])
    np.testing.assert_array_equal(short.output_weights, long.output_weights)
    assert (short.depth, long.depth, long.width, long.input_dim, long.output_dim) == (1, 3, 8, 3, 1)


def test_only_hidden_weights_are_trained_and_every_leaf_is_a_jax_array():
    net = DeepReLU.init(KEY, width=5, depth=2, input_dim=3)
    moved = net.with_trained(tuple(2 * w for w in net.trained))
    np.testing.assert_array_equal(moved.hidden_weights[1], 2 * net.hidden_weights[1])
    np.testing.assert_array_equal(moved.input_weights, net.input_weights)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(net))
    again = DeepReLU.from_arrays(net.input_weights, net.hidden_weights, net.output_weights)
    np.testing.assert_array_equal(again(np.eye(3)), net(np.eye(3)))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: DeepReLU.init(KEY, width=0, depth=1, input_dim=2), "width is 0"),
        (lambda: DeepReLU.init(KEY, width=2, depth=0, input_dim=2), "depth is 0"),
        (lambda: DeepReLU.init(KEY, width=2, depth=1, input_dim=2, dtype=np.int32), "dtype is int32"),
        (lambda: DeepReLU.from_arrays(np.ones((3, 2)), [np.ones((3, 2))], np.ones((1, 3))), "shapes"),
        (lambda: DeepReLU.from_arrays(np.ones((3, 2)), [], np.ones((1, 3))), "shapes"),
        (
            lambda: DeepReLU.from_arrays(np.ones((3, 2)), [np.full((3, 3), np.inf)], np.ones((1, 3))),
            r"weights\[0, 0\] is inf",
        ),
    ],
)
def test_bad_input_gets_one_sentence(call, named):
    with pytest.raises(InputError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)
