"""Invariants of Gram matrices, over random networks and data of a few fixed shapes."""

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ntk_localsgd import datasets, kernels
from ntk_localsgd.networks import TwoLayerReLU

# (n, d, m); each new shape costs half a second of compiling.
SHAPES = st.sampled_from([(1, 2, 1), (5, 3, 7), (12, 20, 64), (9, 4, 5000)])
SEEDS = st.integers(0, 2**31 - 1)

# Inner products of unit vectors in at most 20 dimensions, rounded in another order.
CLOSE = 1e-14


def _problem(shape, seed):
    n, d, m = shape
    key = jax.random.key(seed)
    return TwoLayerReLU.init(key, width=m, input_dim=d), datasets.sphere(key, n, d).inputs


@given(SHAPES, SEEDS)
def test_gram_is_symmetric_and_positive_semidefinite(shape, seed):
    net, x = _problem(shape, seed)
    for gram, error in (
        (np.asarray(kernels.empirical_gram(net, x)), kernels.empirical_gram_error(net, x)),
        (kernels.infinite_gram(x), kernels.infinite_gram_error(*x.shape)),
    ):
        np.testing.assert_array_equal(gram, gram.T)
        assert kernels.smallest_eigenvalue(gram, error=error).upper >= 0


@given(SHAPES, SEEDS)
def test_permuting_samples_permutes_the_gram(shape, seed):
    net, x = _problem(shape, seed)
    order = np.random.default_rng(seed).permutation(len(x))
    for gram in (lambda rows: np.asarray(kernels.empirical_gram(net, rows)), kernels.infinite_gram):
        np.testing.assert_allclose(gram(x[order]), gram(x)[np.ix_(order, order)], rtol=0, atol=CLOSE)


@given(SHAPES, SEEDS)
def test_permuting_neurons_and_flipping_signs_change_nothing(shape, seed):
    net, x = _problem(shape, seed)
    order = np.random.default_rng(seed).permutation(net.width)
    other = TwoLayerReLU.from_arrays(np.asarray(net.weights)[order], -np.asarray(net.signs)[order])
    np.testing.assert_array_equal(kernels.empirical_gram(other, x), kernels.empirical_gram(net, x))


@given(SHAPES, SEEDS)
def test_rotating_inputs_together_with_weights_changes_nothing_but_rounding(shape, seed):
    net, x = _problem(shape, seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((shape[1], shape[1])))
    turned = TwoLayerReLU.from_arrays(np.asarray(net.weights) @ rotation, net.signs)
    rows = datasets.from_arrays(x @ rotation, np.zeros(len(x))).inputs
    np.testing.assert_allclose(kernels.infinite_gram(rows), kernels.infinite_gram(x), rtol=0, atol=5e-14)
    # A pre-activation within rounding of 0 may change sign: it may move each count by one, and no more do.
    near = int((np.abs(np.asarray(net.pre_activations(x)[0])) < 1e-12).sum())
    gap = np.abs(np.asarray(kernels.empirical_gram(turned, rows)) - np.asarray(kernels.empirical_gram(net, x))).max()
    assert gap <= near / net.width + 5e-14


@given(SHAPES, SEEDS, st.floats(-30, 30))
def test_scaling_neurons_leaves_patterns_and_gram_alone(shape, seed, exponent):
    net, x = _problem(shape, seed)
    scales = 2.0 ** np.random.default_rng(seed).integers(-20, 20, net.width)[:, None]  # powers of two scale exactly
    scaled = TwoLayerReLU.from_arrays(np.asarray(net.weights) * scales * 2.0 ** round(exponent), net.signs)
    np.testing.assert_array_equal(scaled.activation_patterns(x)[0], net.activation_patterns(x)[0])
    np.testing.assert_array_equal(kernels.empirical_gram(scaled, x), kernels.empirical_gram(net, x))
