"""Infinite-width duals by second routes; limits with every activation; the deep limit's error by ball arithmetic."""

import flint
import jax
import numpy as np
import pytest
import scipy.special

from ntk_localsgd import datasets, kernels, networks
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels.neural_tangents import neural_tangents
from ntk_localsgd.rounding import UNIT

X = datasets.sphere(jax.random.key(0), 6, 4).inputs
ACTIVATIONS = (networks.RELU, networks.LeakyReLU(0.3), networks.TANH, networks.SOFTPLUS, networks.GELU)
SMOOTH = ACTIVATIONS[2:]


@pytest.mark.parametrize("activation", SMOOTH, ids=str)
@pytest.mark.parametrize("variance", [0.5, 1.0, 2.0])
def test_smooth_duals_equal_quadrature_in_two_dimensions(activation, variance):
    nodes, weights = scipy.special.roots_hermitenorm(320)
    weights = weights / weights.sum()
    angles = np.array([0.0, 1e-3, 0.7, np.pi / 2, 2.5, np.pi])
    cosines, sines = (f(angles)[:, None, None] for f in (np.cos, np.sin))
    u = np.sqrt(variance) * nodes[None, :, None]
    v = cosines * u + np.sqrt(variance) * sines * nodes
    (value, slope), (other, other_slope) = activation.on_host(u), activation.on_host(v)
    mean = lambda values: np.einsum("aij,i,j->a", values, weights, weights)  # noqa: E731
    dual = activation.dual(angles, variance)
    # A rule of N nodes is off by about exp(−2a√(2N)), a the width of the strip in which σ'² is analytic: for tanh at
    # variance 2 that is 3e-9 with 160 nodes (poles of fourth order), and below 1e-11 with 320.
    np.testing.assert_allclose(dual.square - dual.gap, mean(value * other), rtol=0, atol=1e-10)
    np.testing.assert_allclose(dual.slopes, mean(slope * other_slope), rtol=0, atol=1e-10)
    assert dual.mean == pytest.approx(weights @ value[0, :, 0], abs=1e-12)


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_leaky_duals_equal_monte_carlo(slope):
    activation = networks.LeakyReLU(slope)
    rng, angles, draws = np.random.default_rng(0), np.array([0.0, 0.4, 2.0, np.pi]), 200_000
    u, w = np.sqrt(1.7) * rng.standard_normal((2, draws, 1))
    (value, own), (other, other_own) = (activation.on_host(z) for z in (u, np.cos(angles) * u + np.sin(angles) * w))
    dual = activation.dual(angles, 1.7)
    for exact, sample in ((dual.square - dual.gap, value * other), (dual.slopes, own * other_own), (dual.mean, value)):
        # Five standard errors; at the ends some samples do not vary, and their 200,000 equal summands round.
        assert (np.abs(sample.mean(axis=0) - exact) <= 5 * sample.std(axis=0) / np.sqrt(draws) + 1e-11).all()


def test_limits_equal_neural_tangents_where_it_has_them():
    stax = neural_tangents().stax
    off = ~np.eye(6, dtype=bool)
    for activation, theirs in ((networks.GELU, stax.Gelu()), (networks.LeakyReLU(0.3), stax.LeakyRelu(0.3))):
        _, _, kernel = stax.serial(stax.Dense(1), theirs, stax.Dense(1))
        both = kernel(X * np.sqrt(X.shape[1]), None, get=("ntk", "nngp"))
        expected = np.asarray(both.ntk) - np.asarray(both.nngp)
        ours = kernels.infinite_gram(X, activation=activation)
        np.testing.assert_allclose(ours[off], expected[off], rtol=0, atol=1e-10)


@pytest.mark.parametrize("activation", ACTIVATIONS[1:3], ids=str)
@pytest.mark.parametrize("residual", [None, False, True])
def test_deep_limit_is_what_wide_networks_tend_to(activation, residual):
    width, grams = 300, []
    for seed in range(16):
        key = jax.random.key(seed)
        if residual is None:
            net = networks.two_layer(key, width=width, input_dim=4, activation=activation)
        else:
            net = networks.deep(key, width=width, depth=2, input_dim=4, activation=activation, residual=residual)
        grams.append(np.asarray(kernels.empirical_gram(net, X)) / (1 if residual is None else width))
    mean, error = np.mean(grams, axis=0), np.std(grams, axis=0) / 4
    if residual is None:
        limit = kernels.infinite_gram(X, activation=activation)
    else:
        limit = kernels.infinite_deep_gram(X, 2, activation=activation, residual=residual)
    # Five standard errors of 16 networks and a bias of order 1/m, of which a few tenths of a percent is seen.
    assert (np.abs(mean - limit) <= 5 * error + 0.01 * np.abs(limit).max()).all()
    if residual is not None:
        np.testing.assert_array_equal(limit, limit.T)


def test_two_sets_of_rows_give_the_blocks_of_one():
    for activation in (networks.RELU, networks.TANH):
        whole = kernels.infinite_gram(X, activation=activation)
        found = kernels.infinite_gram(X[:4], X[4:], activation=activation)
        np.testing.assert_allclose(found, whole[:4, 4:], rtol=0, atol=1e-15)
        deep = kernels.infinite_deep_gram(X, 3, activation=activation, residual=True)
        found = kernels.infinite_deep_gram(X[:4], 3, X[4:], activation=activation, residual=True)
        np.testing.assert_allclose(found, deep[:4, 4:], rtol=0, atol=1e-13)
    assert kernels.infinite_gram_error(8, 3, 2) == pytest.approx(4 * 15 * UNIT)


def _exact_deep(x, depth):
    """The limit for the directions of the stored rows, in 200-bit ball arithmetic."""
    flint.ctx.prec = 200
    pi, rows = flint.arb.pi(), [[flint.arb(float(v)) for v in row] for row in x]
    dot = lambda a, b: sum((p * q for p, q in zip(a, b, strict=True)), flint.arb(0))  # noqa: E731
    norms = [dot(row, row).sqrt() for row in rows]
    for i, a in enumerate(rows):
        for j, b in enumerate(rows[:i]):
            minus, plus = ([p / norms[i] + s * q / norms[j] for p, q in zip(a, b, strict=True)] for s in (-1, 1))
            angle = 2 * flint.arb.atan2(dot(minus, minus).sqrt(), dot(plus, plus).sqrt())
            hidden, slopes = [], []
            for _ in range(depth):
                angle = ((angle.sin() + (pi - angle) * angle.cos()) / pi).acos()
                hidden.append(angle.cos())
                slopes.append((pi - angle) / pi)
            total, backward = flint.arb(0), flint.arb(1) / 2
            for inner, slope in zip(reversed(hidden), reversed(slopes), strict=True):
                backward *= slope
                total += inner * backward
            yield i, j, total


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_deep_limit_is_within_its_stated_error_of_ball_arithmetic(depth):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 12))
    x[1] = x[0] / np.linalg.norm(x[0]) + 1e-9 * rng.standard_normal(12)
    x[3] = -x[2] / np.linalg.norm(x[2]) + 1e-9 * rng.standard_normal(12)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    gram, stated = kernels.infinite_deep_gram(x, depth), kernels.infinite_deep_gram_error(1, 12, depth)
    worst = max(float(abs(flint.arb(float(gram[i, j])) - exact).upper()) for i, j, exact in _exact_deep(x, depth))
    assert worst <= stated <= 1e-12
    assert kernels.infinite_deep_gram_error(8, 12, depth) == pytest.approx(8 * stated, abs=0)
    # A hundred coordinates more: of every angle 100 roundings, and of its cosine and slopes what comes of them.
    more = kernels.infinite_deep_gram_error(1, 112, depth) - stated
    expected = 1.01 * sum(100 + (depth - k) * 100 / np.pi for k in range(depth)) / 2 * 2.0**-53
    assert more == pytest.approx(expected, rel=1e-9, abs=0)


@pytest.mark.parametrize(
    "call", [kernels.infinite_gram, lambda x: kernels.infinite_deep_gram(x, 2), lambda x: kernels.infinite_gram(X, x)]
)
def test_inputs_that_are_no_unit_rows_are_refused(call):
    for x in (X[0], np.zeros((0, 4)), 2 * X, X * 1j, X[:, :3], np.ma.masked_array(X, X > 0), [["a", "b", "c", "d"]]):
        with pytest.raises(InputError):
            call(x)
