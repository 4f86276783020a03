"""Rounding bounds of Gram matrices on adversarial networks: cancellation in every layer, odd scales, residuals."""

from fractions import Fraction

import jax
import numpy as np
import pytest

from ntk_localsgd import kernels, networks
from ntk_localsgd.networks import TwoLayerReLU

# One shape for all, so that each kind of network is compiled once.
N, D, M, DEPTH = 3, 3, 6, 3

# As the bound sees them: compiled.
PATTERNS = jax.jit(lambda net, x: net.activation_patterns(x))


def _exact(array):
    return np.vectorize(Fraction, otypes=[object])(np.asarray(array, np.float64))


def _exact_gram(net, x):
    """Σ_l (h hᵀ) ∘ (b bᵀ) in rationals, with the patterns of the computed pre-activations."""
    low = Fraction(net.activation.negative_slope)  # as it is given; that float32 rounds it is part of the error
    slopes = [np.where(np.asarray(p), Fraction(1), low) for p in PATTERNS(net, x)]
    weights, last = [_exact(w) for w in net.hidden_weights], _exact(net.output_weights).reshape(1, M)
    z = _exact(x) @ _exact(net.input_weights).T
    h = [np.where(z >= 0, z, low * z)]
    for w, slope in zip(weights, slopes, strict=True):
        h.append(slope * (h[-1] @ w.T) + (h[-1] if net.residual else 0))
    total, g = 0, np.repeat(last, len(x), axis=0)
    for layer in reversed(range(DEPTH)):
        b = g * slopes[layer]
        total = total + (h[layer] @ h[layer].T) * (b @ b.T)
        g = b @ weights[layer] + (g if net.residual else 0)
    return total


def _cancelling(rng, shape, scale):
    """Rows whose terms nearly cancel on equal inputs: every entry has a partner of opposite sign, a few units away."""
    half = rng.standard_normal((shape[0], -(-shape[1] // 2)))
    whole = np.concatenate([half, -half * (1 + rng.uniform(-1, 1, half.shape) * 2.0 ** rng.integers(-30, -1))], axis=1)
    return scale * whole[:, : shape[1]]


def _network(rng, residual, slope, dtype):
    """Weights of one kind a layer: random, nearly cancelling, sparse; each layer on a scale of its own."""
    most = 20 if dtype == np.float64 else 4

    def layer(shape):
        scale, kind = 2.0 ** rng.integers(-most, most), rng.integers(3)
        weights = _cancelling(rng, shape, scale) if kind else scale * rng.standard_normal(shape)
        return np.asarray(weights * (rng.random(shape) < 0.7) if kind == 2 else weights, dtype)

    arrays = layer((M, D)), [layer((M, M)) for _ in range(DEPTH)], layer((1, M))
    return networks.Stack.from_arrays(*arrays, activation=networks.LeakyReLU(slope), residual=residual)


def _ratio(net, x):
    """True error over bound; 0 where both are 0."""
    gram, bound = np.asarray(kernels.empirical_gram(net, x), np.float64), kernels.empirical_gram_error(net, x)
    off = np.linalg.norm((_exact(gram) - _exact_gram(net, x)).astype(np.float64), 2)
    return off / bound if off else 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_no_adversarial_deep_network_exceeds_its_bound(dtype, residual, slope):
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(12):
        x = _cancelling(rng, (N, D), 2.0 ** rng.integers(-3, 3)) + 2.0**-20 * rng.standard_normal((N, D))
        ratios.append(_ratio(_network(rng, residual, slope, dtype), x))
    assert 0 < max(ratios) <= 1, max(ratios)


@pytest.mark.parametrize(("width", "input_dim"), [(7, 1), (7, 3), (2**24 + 3, 1)])
def test_no_two_layer_network_exceeds_its_bound(width, input_dim):
    """Of more than 2²⁴ neurons neither the counts nor m are float32 numbers."""
    rng, worst = np.random.default_rng(1), 0.0
    for _ in range(60 if width < 100 else 1):
        weights = np.sign(rng.standard_normal((width, input_dim)) + 0.3).astype(np.float32)
        net = TwoLayerReLU.from_arrays(weights, np.ones(width, np.float32))
        x = _cancelling(rng, (N, input_dim), 1.0) + rng.standard_normal((N, input_dim)) * 2.0 ** rng.integers(-20, 1)
        counts = _exact(kernels.pattern_counts(net, x))
        exact = (_exact(x) @ _exact(x).T) * counts / width
        off = np.linalg.norm((_exact(kernels.empirical_gram(net, x)) - exact).astype(np.float64), 2)
        worst = max(worst, off / kernels.empirical_gram_error(net, x))
    assert 0 < worst <= 1
