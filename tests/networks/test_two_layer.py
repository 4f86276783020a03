"""TwoLayerReLU: initialization, outputs, patterns, derivative at the kink, files, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels import empirical_gram
from ntk_localsgd.local_sgd.gradients import gradient
from ntk_localsgd.networks import NEURONS_PER_BLOCK, TANH, TwoLayerReLU, relu, two_layer

KEY = jax.random.key(0)


def test_weights_are_standard_normal_and_signs_fair():
    net = TwoLayerReLU.init(KEY, width=20_000, input_dim=5)
    # Fixed seed; each test would be wrong for one seed in ten thousand.
    assert scipy.stats.kstest(np.asarray(net.weights).ravel(), "norm").pvalue > 1e-4
    assert scipy.stats.binomtest(int((net.signs > 0).sum()), 20_000).pvalue > 1e-4
    assert set(np.unique(net.signs)) == {-1.0, 1.0}
    assert abs(np.corrcoef(net.weights[:, 0], net.signs)[0, 1]) < 4 / np.sqrt(20_000)


def test_init_is_made_of_independent_blocks_that_can_be_streamed():
    width = NEURONS_PER_BLOCK + 1000
    net = TwoLayerReLU.init(KEY, width=width, input_dim=2, dtype=np.float32)
    for block, size in ((0, NEURONS_PER_BLOCK), (1, 1000)):
        weights, signs = TwoLayerReLU.draw_block(KEY, block, size, 2, np.float32)
        rows = slice(block * NEURONS_PER_BLOCK, block * NEURONS_PER_BLOCK + size)
        np.testing.assert_array_equal(net.weights[rows], weights)
        np.testing.assert_array_equal(net.signs[rows], signs)
    again = slice(NEURONS_PER_BLOCK, width), slice(0, 1000)
    assert not np.any(np.all(net.weights[again[0]] == net.weights[again[1]], axis=1))
    assert abs(np.mean(net.signs[again[0]] * net.signs[again[1]])) < 4 / np.sqrt(1000)
    assert net.width == width


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_coupled_neurons_start_at_zero_and_have_the_kernel_of_half_as_many(dtype):
    net = TwoLayerReLU.init(KEY, width=NEURONS_PER_BLOCK + 6, input_dim=3, coupled=True, dtype=dtype)
    x = np.random.default_rng(0).standard_normal((5, 3))
    # Terms of size 1/256 whose sum is 0: 65,542 of them, each rounded.
    assert np.abs(np.asarray(net(x))).max() <= 256 * np.finfo(dtype).eps
    half = TwoLayerReLU.from_arrays(np.asarray(net.weights)[::2], np.asarray(net.signs)[::2])
    np.testing.assert_array_equal(half.weights, net.weights[1::2])
    np.testing.assert_array_equal(empirical_gram(net, x), empirical_gram(half, x))
    assert len(np.unique(half.weights[:, 0])) > half.width - 100  # no block repeats another; float32 has few numbers
    with pytest.raises(InputError, match="width is 7, needs to be even"):
        TwoLayerReLU.init(KEY, width=7, input_dim=3, coupled=True)
    smooth = two_layer(KEY, width=30, input_dim=3, activation=TANH, coupled=True)
    assert np.abs(np.asarray(smooth(x))).max() <= 1e-14


def test_same_key_same_network():
    a, b, c = (TwoLayerReLU.init(jax.random.key(k), width=10, input_dim=3) for k in (0, 0, 1))
    np.testing.assert_array_equal(a.weights, b.weights)
    assert not np.array_equal(a.weights, c.weights)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outputs_and_patterns_match_numpy(dtype):
    net = TwoLayerReLU.init(KEY, width=50, input_dim=4, dtype=dtype)
    x = np.random.default_rng(0).standard_normal((6, 4))
    z = x @ np.asarray(net.weights, np.float64).T
    expected = np.maximum(z, 0) @ np.asarray(net.signs, np.float64) / np.sqrt(50)
    # Fifty terms of size 1/7, each rounded a few times.
    np.testing.assert_allclose(net(x), expected, rtol=0, atol=50 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(net.activation_patterns(x)[0], z >= 0)
    assert net(x).dtype == net(jnp.asarray(x)).dtype == dtype


def test_no_product_of_weights_may_be_rounded_to_a_lower_precision_on_a_gpu():
    net = TwoLayerReLU.init(KEY, width=50, input_dim=4, dtype=np.float32)
    x, ones = np.eye(4, dtype=np.float32), np.ones(4, np.float32)
    work = str(jax.make_jaxpr(lambda net: gradient(net, x, ones, ones > 0))(net))
    assert work.count("dot_general") == work.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") >= 4


def test_derivative_at_the_kink_is_one_as_in_the_pattern():
    assert jax.grad(relu)(0.0) == 1.0
    assert relu(jnp.asarray(-2.0)) == 0.0
    net = TwoLayerReLU.from_arrays(np.zeros((3, 2)), np.ones(3))
    gradient = jax.grad(lambda w: net.with_trained((w,))(np.array([[1.0, 0.0]]))[0])(net.weights)
    np.testing.assert_allclose(gradient[:, 0], 1 / np.sqrt(3), rtol=1e-15)  # one rounding
    assert bool(net.activation_patterns(np.array([[1.0, 0.0]]))[0].all())


def test_save_and_load_round_trip(tmp_path):
    net = TwoLayerReLU.init(KEY, width=9, input_dim=4)
    net.save(tmp_path / "net.npz")
    loaded = TwoLayerReLU.load(tmp_path / "net.npz")
    np.testing.assert_array_equal(loaded.weights, net.weights)
    np.testing.assert_array_equal(loaded.signs, net.signs)


def test_every_leaf_is_a_jax_array():
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(TwoLayerReLU.init(KEY, width=3, input_dim=2)))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: TwoLayerReLU.init(KEY, width=0, input_dim=2), "width is 0"),
        (lambda: TwoLayerReLU.init(KEY, width=2, input_dim=2, dtype=np.int32), "dtype is int32"),
        (lambda: TwoLayerReLU.from_arrays(np.ones((3, 2)), np.array([1, -1, 0.5])), "signs hold 0.5"),
        (lambda: TwoLayerReLU.from_arrays(np.ones((3, 2)), np.ones(2)), r"weights \(3, 2\) and signs \(2,\)"),
        (lambda: TwoLayerReLU.from_arrays(np.full((3, 2), np.nan), np.ones(3)), r"weights\[0, 0\] is nan"),
        (lambda: TwoLayerReLU.load("absent.npz"), "absent.npz"),
    ],
)
def test_bad_input_gets_one_sentence(call, named):
    with pytest.raises(InputError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)
