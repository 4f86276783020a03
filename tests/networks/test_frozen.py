"""Frozen patterns: the stack's own outputs and gradients at the start, linear in W from there on."""

import jax
import numpy as np
import pytest

from ntk_localsgd import datasets, networks
from ntk_localsgd.errors import InputError

KEY = jax.random.key(3)
X = datasets.sphere(KEY, 7, 4).inputs


def _gradient(net):
    return jax.grad(lambda trained: (net.with_trained(trained)(X) ** 2).sum())(net.trained)


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_it_starts_as_the_network_itself(slope):
    net = networks.deep(
        KEY, width=6, depth=2, input_dim=4, activation=networks.LeakyReLU(slope), residual=slope > 0, dtype=np.float64
    )
    frozen = networks.FrozenPatterns.at(net)
    np.testing.assert_allclose(frozen(X), net(X), rtol=1e-14)
    # The same products in the same order; autodiff of two ways of writing them may add in another.
    for ours, theirs in zip(_gradient(frozen), _gradient(net), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def test_outputs_are_linear_in_the_weights_of_one_trained_layer():
    net = networks.TwoLayerReLU.init(KEY, width=9, input_dim=4, dtype=np.float64)
    frozen = networks.FrozenPatterns.at(net)
    moved = frozen.with_trained((-3 * net.weights,))
    np.testing.assert_allclose(moved(X), -3 * net(X), rtol=1e-13, atol=1e-15)
    for ours, theirs in zip(moved.activation_patterns(X), net.activation_patterns(X), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (moved.input_dim, moved.output_dim) == (4, 1)


def test_a_smooth_activation_has_no_patterns_to_freeze():
    with pytest.raises(InputError, match="ReLU"):
        networks.FrozenPatterns.at(networks.two_layer(KEY, width=4, input_dim=2, activation=networks.TANH))
