"""The deep Gram matrix against autodiff, neural-tangents and its limit; the limit by two routes and by Monte-Carlo."""

import jax
import numpy as np
import pytest

from ntk_localsgd import datasets, kernels
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels import empirical
from ntk_localsgd.kernels.neural_tangents import neural_tangents
from ntk_localsgd.networks import DeepReLU

WIDTH = 24


def _problem(depth, output_dim=1, *, num_samples=7, dtype=np.float64):
    key = jax.random.key(depth)
    net = DeepReLU.init(key, width=WIDTH, depth=depth, input_dim=5, output_dim=output_dim, dtype=dtype)
    return net, datasets.sphere(key, num_samples, 5).inputs


def _as_rows(net, trained, x):
    return net.with_trained(trained)(x).reshape(len(x), net.output_dim)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("output_dim", [1, 2, 3])
def test_equals_autodiff_and_neural_tangents(depth, output_dim):
    net, x = _problem(depth, output_dim)
    found = np.asarray(kernels.empirical_gram(net, x)).reshape(7, 7, output_dim, output_dim)
    jacobian = jax.jacobian(lambda trained: _as_rows(net, trained, x))(net.trained)
    rows = np.concatenate([np.asarray(j).reshape(7, output_dim, -1) for j in jacobian], axis=-1)
    # Sums of at most 24² products of numbers of order 1 through four layers: 1e-9 is what is asked for, 1e-12 is seen.
    np.testing.assert_allclose(found, np.einsum("iap,jbp->ijab", rows, rows), rtol=0, atol=1e-11)
    theirs = neural_tangents().empirical_ntk_fn(
        lambda trained, inputs: _as_rows(net, trained, inputs), trace_axes=(), implementation=1
    )(x, None, net.trained)
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(found, found.transpose(1, 0, 3, 2))


@pytest.mark.parametrize("output_dim", [1, 3])
def test_tiles_and_a_second_set_of_samples_make_no_difference(output_dim, monkeypatch):
    net, x = _problem(2, output_dim)
    whole = np.asarray(kernels.empirical_gram(net, x))
    cross = np.asarray(kernels.empirical_gram(net, x, x[2:5]))
    assert cross.shape == (7, 3, *whole.shape[2:])
    np.testing.assert_allclose(cross, whole[:, 2:5], rtol=0, atol=1e-13)
    monkeypatch.setattr(empirical, "_ROWS", 3)
    jax.clear_caches()
    np.testing.assert_allclose(kernels.empirical_gram(net, x), whole, rtol=0, atol=1e-13)
    jax.clear_caches()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_stays_within_its_bound(dtype):
    net, x = _problem(2, dtype=dtype)
    wide = [np.asarray(w, np.longdouble) for w in (net.input_weights, *net.hidden_weights, net.output_weights)]
    rows = np.asarray(np.asarray(x, dtype), np.longdouble)
    h0 = np.maximum(rows @ wide[0].T, 0)
    z1 = h0 @ wide[1].T
    h1 = np.maximum(z1, 0)
    b2 = wide[3] * (h1 @ wide[2].T >= 0)
    b1 = (b2 @ wide[2]) * (z1 >= 0)
    expected = (h1 @ h1.T) * (b2 @ b2.T) + (h0 @ h0.T) * (b1 @ b1.T)
    found = np.asarray(kernels.empirical_gram(net, x), np.longdouble)
    gap, bound = float(np.linalg.norm((found - expected).astype(float), 2)), kernels.empirical_gram_error(net, x)
    # A spectral norm beside a Frobenius norm of 7 × 7 numbers: √7, and what the finer evaluation is off by itself.
    assert 0 < gap <= bound < 4 * gap


def test_limit_by_recursion_equals_neural_tangents_with_its_factor_one_half():
    x = datasets.sphere(jax.random.key(0), 9, 5).inputs
    off = ~np.eye(9, dtype=bool)
    for depth in (1, 2, 3, 4):
        ours, theirs = kernels.infinite_deep_gram(x, depth), kernels.infinite_deep_gram_neural_tangents(x, depth)
        np.testing.assert_allclose(ours[off], theirs[off], rtol=0, atol=1e-12)
        np.testing.assert_allclose(np.diagonal(theirs), depth / 2, rtol=0, atol=1e-6)  # arccos near 1, once a layer
        np.testing.assert_array_equal(np.diagonal(ours), depth / 2)
        assert np.linalg.eigvalsh(ours)[0] > 0


def test_limit_keeps_its_digits_for_near_equal_rows():
    x = np.array([[1.0, 0.0], [np.cos(1e-6), np.sin(1e-6)]])
    # To first order an angle passes through a layer unchanged, and κ0 = 1 − θ/π: Θ_12 = ½ (1 − θ/π) for one layer.
    assert 0.5 - kernels.infinite_deep_gram(x, 1)[0, 1] == pytest.approx(0.5e-6 / np.pi, rel=1e-5)


def test_error_has_slope_minus_one_half():
    x = datasets.sphere(jax.random.key(0), 6, 5).inputs
    limit, widths, gaps = kernels.infinite_deep_gram(x, 2), (16, 64, 256), []
    for width in widths:
        nets = (DeepReLU.init(jax.random.key(s), width=width, depth=2, input_dim=5) for s in range(40))
        gaps.append(np.mean([np.linalg.norm(np.asarray(kernels.empirical_gram(n, x)) / width - limit) for n in nets]))
    # A norm varies by 40% from seed to seed (V's squares scale the whole matrix): means of 40 are within 7%, the slope
    # over a factor 16 in width within 0.1 at four standard deviations.
    assert np.polyfit(np.log(widths), np.log(gaps), 1)[0] == pytest.approx(-0.5, abs=0.1)


def test_several_outputs_have_the_limit_on_the_diagonal_blocks():
    x = datasets.sphere(jax.random.key(0), 4, 5).inputs
    net = DeepReLU.init(jax.random.key(0), width=2000, depth=1, input_dim=5, output_dim=2)
    blocks = np.asarray(kernels.empirical_gram(net, x)) / 2000
    limit = np.einsum("ij,ab->ijab", kernels.infinite_deep_gram(x, 1) / 2, np.eye(2))
    np.testing.assert_allclose(blocks, limit, rtol=0, atol=0.05)  # 1/√2000 = 0.022 times a few


def test_bad_input_gets_one_sentence():
    with pytest.raises(InputError, match="depth is 0"):
        kernels.infinite_deep_gram(np.eye(2), 0)
    with pytest.raises(InputError, match="norm 2"):
        kernels.infinite_deep_gram(2 * np.eye(2), 1)
    with pytest.raises(InputError, match=r"depth is 2\.5"):
        kernels.infinite_deep_gram(np.eye(2), 2.5)
    np.testing.assert_array_equal(kernels.infinite_deep_gram(np.eye(2), 2.0), kernels.infinite_deep_gram(np.eye(2), 2))
