"""The lazy scale: f = κ(g(W) − g(W(0))) itself, as a network of its own, beside g on other targets."""

import dataclasses

import equinox as eqx
import jax
import numpy as np
import pytest

from ntk_localsgd import certificate, datasets, kernels, prediction
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD, lazy_targets, run
from ntk_localsgd.networks import Stack, TwoLayerReLU, deep

KEY = jax.random.key(0)
DATA = datasets.sphere(KEY, 6, 5)
SPLIT = Clients((np.array([0, 2, 5]), np.array([1, 4]), np.array([3])))
NETS = {
    "two layers": TwoLayerReLU.init(KEY, width=40, input_dim=5),
    "coupled": TwoLayerReLU.init(KEY, width=40, input_dim=5, coupled=True),
    "deep": deep(KEY, width=12, depth=2, input_dim=5),
    "deep, two outputs": deep(KEY, width=12, depth=2, input_dim=5, output_dim=2),
}


class Scaled(eqx.Module):
    """κ(g(W) − g(W(0))), which nothing in the library takes for a stack."""

    network: Stack
    start: Stack
    scale: float = eqx.field(static=True)

    input_dim = property(lambda self: self.network.input_dim)
    output_dim = property(lambda self: self.network.output_dim)
    trained = property(lambda self: self.network.trained)

    def with_trained(self, trained):
        return Scaled(self.network.with_trained(trained), self.start, self.scale)

    def activation_patterns(self, x):
        return self.network.activation_patterns(x)

    def __call__(self, x):
        return self.scale * (self.network(x) - self.start(x))


@pytest.mark.parametrize(("name", "batch_size"), [(name, None) for name in NETS] + [("deep", 1)])
def test_it_is_the_scaled_network(name, batch_size):
    net, scale, data = NETS[name], 100.0, DATA
    if net.output_dim > 1:
        data = dataclasses.replace(DATA, targets=np.stack([DATA.targets, 1 - DATA.targets], axis=1))
    scaled, lazy = Scaled(net, net, scale), lazy_targets(net, data, scale=scale)
    gram = np.asarray(kernels.empirical_gram(net, data.inputs))
    np.testing.assert_allclose(kernels.empirical_gram(scaled, data.inputs), scale**2 * gram, rtol=1e-10)
    config = LocalSGD(0.3, 3, 5, batch_size)
    key = None if batch_size is None else KEY
    observe = ("frobenius_movement", "flip_fraction")
    own = run(scaled, data, SPLIT, dataclasses.replace(config, step_size=0.3 / scale**2), key=key, observe=observe)
    other = run(net, lazy, SPLIT, config, key=key, observe=observe)
    for weights, expected in zip(other.network.trained, own.network.trained, strict=True):
        np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(scale**2 * other.trajectory.loss, own.trajectory.loss, rtol=1e-10)
    for name in observe:
        np.testing.assert_allclose(other.trajectory[name], own.trajectory[name], rtol=1e-10, atol=1e-12)


def test_the_prediction_is_that_of_the_scaled_network():
    net, scale = NETS["two layers"], 30.0
    gram = np.asarray(kernels.empirical_gram(net, DATA.inputs))
    config = LocalSGD(0.2, 4, 20)
    residual = np.asarray(net(DATA.inputs)) - lazy_targets(net, DATA, scale=scale).targets
    own = prediction.local_gd(scale**2 * gram, SPLIT, -DATA.targets, LocalSGD(0.2 / scale**2, 4, 20))
    np.testing.assert_allclose(scale * prediction.local_gd(gram, SPLIT, residual, config), own, rtol=0, atol=1e-10)


def test_a_large_scale_is_certified_from_initialization_where_none_is_not():
    data = datasets.digits(8, classes=(3, 8), key=KEY)
    split = Clients((np.arange(4), np.arange(4, 8)))
    net, config = TwoLayerReLU.init(KEY, width=512, input_dim=64, coupled=True), LocalSGD(0.1, 5, 0)
    proofs = [certificate.certify(net, lazy_targets(net, data, scale=s), split, config) for s in (1.0, 1000.0)]
    assert [proof.certified for proof in proofs] == [False, True]
    assert proofs[0].residual_norm == pytest.approx(np.sqrt(8), rel=1e-12)
    assert proofs[1].residual_norm == pytest.approx(np.sqrt(8) / 1000, rel=1e-9)


@pytest.mark.parametrize(
    ("net", "scale", "words"),
    [
        ("two layers", 0.0, "scale is 0.0, needs to be positive"),
        ("two layers", 1e17, "outputs' rounding counts: needs to be at most"),
        ("deep, two outputs", 1.0, "outputs are (6, 2)"),
    ],
)
def test_what_cannot_be_scaled_is_refused(net, scale, words):
    with pytest.raises(InputError) as error:
        lazy_targets(NETS[net], DATA, scale=scale)
    assert words in str(error.value)


def test_the_scale_that_a_refusal_names_is_allowed():
    with pytest.raises(InputError) as error:
        lazy_targets(NETS["two layers"], DATA, scale=1e17)
    lazy_targets(NETS["two layers"], DATA, scale=float(str(error.value).split("at most ")[1].split()[0]))
    lazy_targets(NETS["coupled"], DATA, scale=1e12)
