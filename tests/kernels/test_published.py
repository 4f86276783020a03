"""What published experiments ask for: projections, the kernel of all layers, scales at the start, Gaussian targets."""

import jax
import numpy as np
import pytest

from ntk_localsgd import datasets, kernels, networks
from ntk_localsgd.errors import InputError

ROWS = np.random.default_rng(0).standard_normal((5, 4))
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
OTHERS = ROWS[::-1][:3] * np.array([1, -1, 1, 1])


def test_projections_are_what_gradient_descent_leaves():
    gram, y = kernels.infinite_gram(ROWS), np.arange(1.0, 6.0)
    eigenvalues, shares = kernels.projections(gram, y)
    assert (np.diff(eigenvalues) <= 0).all()
    assert shares.sum() == pytest.approx(1)
    residual, eta = -y, 0.7 / eigenvalues[0]
    for _ in range(6):
        residual = residual - eta * gram @ residual
    left = (shares * (1 - eta * eigenvalues) ** 12).sum()
    assert residual @ residual == pytest.approx(left * (y @ y), rel=1e-12)
    for bad, words in ((np.zeros(5), "y is 0"), (np.ones(4), "needs .4, 4. for y")):
        with pytest.raises(InputError, match=words):
            kernels.projections(gram, bad)


@pytest.mark.parametrize("activation", [networks.RELU, networks.TANH, networks.LeakyReLU(0.3)])
@pytest.mark.parametrize("others", [None, OTHERS])
def test_the_kernel_of_all_layers_is_the_mean_over_neurons(activation, others):
    gram = kernels.infinite_gram_all_layers(ROWS, others, activation=activation)
    number, y = 400_000, ROWS if others is None else others
    weights = np.random.default_rng(1).standard_normal((number, 4))
    z, w = weights @ ROWS.T, weights @ y.T
    slope = jax.vmap(jax.vmap(jax.grad(lambda t: activation(t))))
    mean = np.asarray(activation(z)).T @ np.asarray(activation(w)) / number
    mean += (ROWS @ y.T) * (np.asarray(slope(z)).T @ np.asarray(slope(w)) / number)
    # A neuron's term has a deviation of at most 2; five of them, over √number.
    np.testing.assert_allclose(gram, mean, atol=10 / np.sqrt(number))
    if others is None:
        np.testing.assert_array_equal(gram, gram.T)


def test_relu_s_second_layer_by_its_formula():
    inner = np.clip(ROWS @ OTHERS.T, -1, 1)
    angle = np.arccos(inner)
    added = (np.sin(angle) + (np.pi - angle) * inner) / (2 * np.pi)
    first = inner * (np.pi - angle) / (2 * np.pi)
    # The arccosine of numbers that round to 1 is off by up to √(2u) = 1.5e-8, and so are its entries.
    np.testing.assert_allclose(kernels.infinite_gram_all_layers(ROWS, OTHERS), first + added, atol=1e-7)


def test_weights_start_at_a_scale_and_targets_are_gaussian():
    key = jax.random.key(0)
    one, small = (networks.TwoLayerReLU.init(key, width=50, input_dim=4, scale=s, dtype=np.float64) for s in (1, 0.25))
    np.testing.assert_array_equal(small.weights, 0.25 * one.weights)
    np.testing.assert_allclose(small(ROWS), 0.25 * np.asarray(one(ROWS)), rtol=1e-13)
    with pytest.raises(InputError, match="scale is 0"):
        networks.TwoLayerReLU.init(key, width=50, input_dim=4, scale=0)
    signs, gaussian = (datasets.sphere(key, 4000, 3, gaussian=g) for g in (False, True))
    np.testing.assert_array_equal(signs.inputs, gaussian.inputs)
    assert set(signs.targets) == {-1.0, 1.0}
    moments = [np.mean(gaussian.targets**k) for k in (1, 2, 4)]
    # Five deviations, of variances 1, 2 and 96, over √4000.
    assert (np.abs(np.array(moments) - [0, 1, 3]) < [0.08, 0.12, 0.8]).all()
