"""The two-layer Gram matrix against autodiff, neural-tangents and plain NumPy; the import of neural-tangents."""

import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from ntk_localsgd import datasets, kernels
from ntk_localsgd.kernels.neural_tangents import neural_tangents
from ntk_localsgd.networks import DeepReLU, TwoLayerReLU

# Sums of up to 64 products of numbers below 1 and a quotient: a few dozen roundings.
CLOSE = 1e-13


def _problem(width, *, num_samples=20, input_dim=8, dtype=np.float64):
    key = jax.random.key(width)
    net = TwoLayerReLU.init(key, width=width, input_dim=input_dim, dtype=dtype)
    return net, datasets.sphere(key, num_samples, input_dim).inputs


def _numpy_gram(net, x, y):
    weights = np.asarray(net.weights, np.float64)
    zx, zy = ((a @ weights.T >= 0).astype(float) for a in (x, y))
    return (x @ y.T) * (zx @ zy.T) / len(weights)


def test_equals_jacobian_times_its_transpose():
    net, x = _problem(300)
    jacobian = jax.jacobian(lambda w: net.with_trained((w,))(x))(net.weights).reshape(len(x), -1)
    # The route through 2,400 columns rounds more often; the bound asked for is 1e-10.
    np.testing.assert_allclose(kernels.empirical_gram(net, x), jacobian @ jacobian.T, rtol=0, atol=1e-10)


def test_equals_neural_tangents_empirical_kernel():
    net, x = _problem(300)
    theirs = neural_tangents().empirical_ntk_fn(
        lambda weights, inputs: net.with_trained((weights,))(inputs)[:, None], trace_axes=(), implementation=1
    )(x, None, net.weights)
    np.testing.assert_allclose(kernels.empirical_gram(net, x), theirs[:, :, 0, 0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("width", [1, 4095, 4096, 4097, 9000])
def test_tiles_of_neurons_make_no_difference(width):
    net, x = _problem(width)
    np.testing.assert_allclose(kernels.empirical_gram(net, x), _numpy_gram(net, x, x), rtol=0, atol=CLOSE)


def test_cross_gram_between_two_sets():
    net, x = _problem(5000)
    y = x[:7] * np.array([1.0, -1.0] * 4)
    gram = kernels.empirical_gram(net, x, y)
    assert gram.shape == (20, 7)
    np.testing.assert_allclose(gram, _numpy_gram(net, x, y), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("net", [_problem(300)[0], DeepReLU.init(jax.random.key(0), width=16, input_dim=8, depth=2)])
def test_gram_matrices_at_several_weights_are_those_of_one_after_the_other(net):
    x = _problem(300)[1]
    trained = tuple(np.stack([layer, 2 * layer, layer[::-1]]) for layer in map(np.asarray, net.trained))
    together = kernels.empirical_grams(net, trained, x)
    for k in range(3):
        alone = kernels.empirical_gram(net.with_trained(tuple(layer[k] for layer in trained)), x)
        np.testing.assert_allclose(together[k], alone, rtol=0, atol=CLOSE * abs(alone).max())


def test_counts_are_exact_integers_and_the_gram_is_exactly_symmetric():
    net, x = _problem(9000)
    counts = np.asarray(kernels.pattern_counts(net, x))
    active = np.asarray(net.activation_patterns(x)[0]).astype(np.int64)
    np.testing.assert_array_equal(counts, active @ active.T)
    gram = np.asarray(kernels.empirical_gram(net, x))
    np.testing.assert_array_equal(gram, gram.T)


@pytest.mark.parametrize("width", [100, 4096, 5000])
def test_the_counts_of_many_samples_come_from_half_of_the_blocks(width):
    # 301 samples: groups of unequal sizes; widths below, at and above whole tiles.
    x = datasets.sphere(jax.random.key(4), 301, 8).inputs
    net = TwoLayerReLU.init(jax.random.key(5), width=width, input_dim=8, dtype=np.float64)
    active = np.asarray(net.activation_patterns(x)[0]).astype(np.int64)
    np.testing.assert_array_equal(kernels.pattern_counts(net, x), active @ active.T)


def test_a_neuron_on_the_kink_is_active_as_in_the_derivative():
    x = np.eye(3)
    net = TwoLayerReLU.from_arrays(np.array([[0.0, 0.0, 0.0], [1.0, -1.0, 0.0]]), np.ones(2))
    active = np.array([[1, 1], [1, 0], [1, 1]])  # [sample neuron], 1{w·x ≥ 0}
    np.testing.assert_array_equal(kernels.pattern_counts(net, x), active @ active.T)


def test_single_precision_network_gives_a_single_precision_gram_within_its_stated_error():
    net, x = _problem(1000, dtype=np.float32)
    gram = np.asarray(kernels.empirical_gram(net, x))
    assert gram.dtype == np.float32
    exact = (x @ x.T) * np.asarray(kernels.pattern_counts(net, x)) / 1000
    assert np.linalg.norm(gram - exact, 2) <= kernels.empirical_gram_error(net, x)


def test_error_grows_like_one_over_root_width():
    x = datasets.sphere(jax.random.key(0), 10, 8).inputs
    limit = kernels.infinite_gram(x)
    nets = (TwoLayerReLU.init(jax.random.key(1), width=m, input_dim=8) for m in (10**2, 10**4, 10**6))
    gaps = [np.linalg.norm(kernels.empirical_gram(net, x) - limit) for net in nets]
    slopes = np.diff(np.log(gaps)) / np.log(100)
    # Each ratio of two random norms of 100 entries is within a factor 3 of 10: exponents within 0.24 of −½.
    assert np.abs(slopes + 0.5).max() < 0.24


def test_the_program_of_many_samples_is_compiled_at_once():
    net = DeepReLU.init(jax.random.key(0), width=16, depth=2, input_dim=4)
    inputs = datasets.sphere(jax.random.key(1), 256, 4).inputs
    begun = time.process_time()
    gram = np.asarray(kernels.empirical_gram(net, inputs))
    # 0.3 s; a choice between the matrix and its transpose took 9 s at 256 samples, and minutes at 512.
    assert time.process_time() - begun < 4
    assert (gram == gram.T).all()
    np.testing.assert_allclose(gram, kernels.empirical_gram(net, inputs, inputs), rtol=1e-12, atol=1e-14)


def test_neural_tangents_largest_learning_rate_is_two_over_the_largest_eigenvalue():
    gram = np.array([[2.0, 1.0], [1.0, 3.0]])
    rate = neural_tangents().predict.max_learning_rate(gram, 1)
    assert float(rate) == pytest.approx(2 / np.linalg.eigvalsh(gram)[-1], rel=1e-6)


# Peaks of this program alone, in KiB: ru_maxrss would begin with what the parent had resident when it forked.
_PEAKS = """
import jax
from ntk_localsgd import datasets, kernels, networks

def peak():
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))

key = jax.random.key(0)
jax.random.normal(key, (2,)).block_until_ready()
peak()
datasets.sphere(key, 10_000, 64).separation
peak()
x = datasets.sphere(key, 1000, 64).inputs
net = networks.TwoLayerReLU.init(key, width=100_000, input_dim=64)
kernels.empirical_gram(net, x).block_until_ready()
peak()
"""


@pytest.mark.slow
def test_neither_distances_nor_patterns_are_held_all_at_once():
    done = subprocess.run([sys.executable, "-c", _PEAKS], check=True, capture_output=True, text=True)
    begun, separation, gram = (int(line) / 2**10 for line in done.stdout.split())
    # Distances alone would take 10⁸ numbers, 763 MiB, patterns 10⁸ in four bytes, 381; the weights of 24 MiB are there
    # several times.
    assert separation - begun < 256
    assert gram - begun < 256
