"""Deep networks at initialization, against dense Jacobians and networks that are drawn larger."""

import jax
import numpy as np
import pytest

from ntk_localsgd import kernels
from ntk_localsgd.networks import DeepReLU
from verification.data import Source
from verification.jobs.deep_start import DeepStart

DATA = {"one output": Source("planted", 6, 0, distance=0.4), "ten": Source("digits10", 4, 0)}


def _network(source, seed, *, scale=1.0):
    """Drawn in float32, as the job's, then in float64: A and W_l times ``scale``."""
    problem = source.load()
    shape = {"input_dim": problem.dataset.input_dim, "output_dim": problem.num_outputs}
    net = DeepReLU.init(jax.random.key(seed), width=32, depth=2, dtype=np.float32, **shape)
    net = jax.tree.map(lambda w: np.asarray(w, np.float64), net)
    hidden = tuple(scale * w for w in net.hidden_weights)
    return DeepReLU.from_arrays(scale * net.input_weights, hidden, net.output_weights)


def _jacobian(net, x):
    rows = jax.jacobian(lambda trained: net.with_trained(trained)(x).ravel())(net.trained)
    return np.concatenate([np.asarray(part).reshape(len(part), -1) for part in rows], axis=1)


@pytest.mark.parametrize("name", DATA)
def test_eigenvalues_norms_and_errors_are_those_of_the_dense_jacobian(name):
    source, x = DATA[name], DATA[name].load().inputs
    start = DeepStart(source, 32, 2, (5, 6)).compute().sel(seed=6)
    net = _network(source, 6)
    theta = _jacobian(net, x) @ _jacobian(net, x).T
    values = np.linalg.eigvalsh(theta)
    # Float32 in the job: rounding of 2^-24 times a few dozen terms, relative to the largest eigenvalue.
    assert float(start.largest) == pytest.approx(values[-1], rel=1e-5)
    assert float(start.smallest) == pytest.approx(values[0], abs=1e-5 * values[-1])
    limit = np.kron(kernels.infinite_deep_gram(x, 2), np.eye(net.output_dim)) / net.output_dim
    for multiple in (1, 2):
        error = np.linalg.norm(theta / 32 - multiple * limit, 2)
        assert float(start.error.sel(multiple=multiple)) == pytest.approx(error, rel=1e-4)
    norms = np.linalg.norm(np.stack(net.layers(x)[0]), axis=2)
    np.testing.assert_allclose(start.least_norm, norms.min(axis=1), rtol=1e-5)
    np.testing.assert_allclose(start.largest_norm, norms.max(axis=1), rtol=1e-5)


def test_larger_weights_scale_layers_and_kernel_as_the_controls_say():
    source = DATA["one output"]
    x, factor = source.load().inputs, 2**0.5
    plain, grown = _network(source, 5), _network(source, 5, scale=factor)
    for layer, (h, larger) in enumerate(zip(plain.layers(x)[0], grown.layers(x)[0], strict=True)):
        np.testing.assert_allclose(larger, factor ** (layer + 1) * h, rtol=1e-12, atol=1e-14)  # float64
    largest = [np.linalg.norm(_jacobian(net, x), 2) ** 2 for net in (plain, grown)]
    assert largest[1] == pytest.approx(factor ** (2 * 2) * largest[0], rel=1e-12)
    # The job's own gains, in float32.
    shape = (source, 32, 2, (5,))
    own, larger = DeepStart(*shape).compute(), DeepStart(*shape, hidden_gain=factor, readout_gain=3.0).compute()
    np.testing.assert_allclose(larger.largest_norm, own.largest_norm * factor ** (own.layer + 1), rtol=1e-5)
    assert float(larger.largest[0]) == pytest.approx(9 * factor**4 * float(own.largest[0]), rel=1e-5)
