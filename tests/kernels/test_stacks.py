"""Gram matrices of every stack and of networks of one's own, against autodiff; bounds on their rounding."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_localsgd import datasets, kernels, networks
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels import empirical

KEY = jax.random.key(2)
X = datasets.sphere(KEY, 6, 3).inputs
ACTIVATIONS = (networks.LeakyReLU(0.3), networks.TANH, networks.GELU)


class Biased(eqx.Module):
    """A network of one's own: what the protocol asks for and no more."""

    weights: jax.Array
    bias: jax.Array
    input_dim: int = eqx.field(static=True, default=3)
    output_dim: int = eqx.field(static=True, default=1)

    @property
    def trained(self):
        return (self.weights,)

    def with_trained(self, trained):
        return Biased(trained[0], self.bias)

    def activation_patterns(self, x):
        return (x @ self.weights.T + self.bias >= 0,)

    def __call__(self, x):
        return jnp.maximum(x @ self.weights.T + self.bias[None], 0).mean(axis=1)


def _nets(activation, residual=False, output_dim=1, dtype=np.float64, width=8):
    if residual is None:
        return networks.two_layer(KEY, width=width, input_dim=3, activation=activation, dtype=dtype)
    return networks.deep(KEY, width=width, depth=2, input_dim=3, output_dim=output_dim, activation=activation,
                         residual=residual, dtype=dtype)  # fmt: skip


def _gram(net, x, other, y):
    """By autodiff of all samples at once, [n k o o]."""

    def rows(net, x):
        jacobian = jax.jacobian(lambda trained: net.with_trained(trained)(x).reshape(len(x), net.output_dim))(
            net.trained
        )
        return np.concatenate([np.asarray(j).reshape(len(x), net.output_dim, -1) for j in jacobian], axis=-1)

    return np.einsum("iap,jbp->ijab", rows(net, x), rows(other, y))


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("residual", [None, False, True])
def test_every_stack_s_gram_is_that_of_autodiff(activation, residual):
    net = _nets(activation, residual, 1 if residual is None else 2)
    moved = net.with_trained(tuple(1.5 * w for w in net.trained))
    shape = (6, 6) if residual is None else (6, 6, 2, 2)
    found = np.asarray(kernels.empirical_gram(net, X))
    np.testing.assert_allclose(found, _gram(net, X, net, X).reshape(shape), rtol=1e-10, atol=1e-12)
    cross = np.asarray(kernels.empirical_gram(net, X, X[:2], other=moved))
    np.testing.assert_allclose(cross, _gram(net, X, moved, X[:2]).reshape(6, 2, *shape[2:]), rtol=1e-10, atol=1e-12)
    stored = found.transpose(0, 2, 1, 3).reshape(12, 12) if found.ndim == 4 else found
    exact = _gram(net, X, net, X).transpose(0, 2, 1, 3).reshape(stored.shape)
    # Autodiff in float64 is an estimate of the truth, with an error of the same size: twice the bound is safe.
    assert np.linalg.norm(stored - exact, 2) <= 2 * kernels.empirical_gram_error(net, X) <= 1e-8


def test_clients_of_two_layers_meet_by_their_own_patterns():
    net = networks.TwoLayerReLU.init(KEY, width=5000, input_dim=3)
    other = networks.TwoLayerReLU.init(jax.random.key(9), width=5000, input_dim=3)
    for y in (None, X[:4]):
        rows = X if y is None else y
        one, two = (np.asarray(n.activation_patterns(x)[0]) for n, x in ((net, X), (other, rows)))
        np.testing.assert_array_equal(
            kernels.pattern_counts(net, X, y, other=other), one.astype(int) @ two.T.astype(int)
        )
        np.testing.assert_allclose(
            kernels.empirical_gram(net, X, y, other=other), kernels.pattern_gram(X, one, rows, two), rtol=0, atol=1e-14
        )


def test_a_network_of_one_s_own_is_differentiated_in_tiles_of_samples(monkeypatch):
    net = Biased(jax.random.normal(KEY, (8, 3)), jnp.ones(8))
    expected = _gram(net, X, net, X)[:, :, 0, 0]
    np.testing.assert_allclose(kernels.empirical_gram(net, X), expected, rtol=1e-12, atol=1e-15)
    monkeypatch.setattr(empirical, "_ENTRIES", 100)  # 4 samples of 24 weights
    np.testing.assert_allclose(kernels.empirical_gram(net, X, X[:5]), expected[:, :5], rtol=1e-12, atol=1e-15)
    with pytest.raises(InputError, match="needs to be a stack"):
        kernels.empirical_gram_error(net, X)
    with pytest.raises(InputError, match="needs to be a TwoLayerReLU"):
        kernels.pattern_counts(net, X)


def test_a_subclass_with_outputs_of_its_own_has_their_gram():
    class Doubled(networks.TwoLayerReLU):
        def __call__(self, x):
            return 2 * super().__call__(x)

    ours, base = (cls.init(KEY, width=8, input_dim=3) for cls in (Doubled, networks.TwoLayerReLU))
    np.testing.assert_allclose(
        kernels.empirical_gram(ours, X), 4 * np.asarray(kernels.empirical_gram(base, X)), rtol=1e-12
    )


def test_single_precision_error_of_deep_networks_is_near_the_true_one():
    net = networks.DeepReLU.init(KEY, width=64, depth=4, input_dim=3, dtype=np.float32)
    wide = networks.DeepReLU.from_arrays(*(jax.tree.map(lambda w: np.asarray(w, np.float64), part) for part in
                                           (net.input_weights, net.hidden_weights, net.output_weights)))  # fmt: skip
    same = all((a == b).all() for a, b in zip(net.activation_patterns(X), wide.activation_patterns(X), strict=True))
    gap = np.linalg.norm(
        np.asarray(kernels.empirical_gram(net, X), float) - np.asarray(kernels.empirical_gram(wide, X)), 2
    )
    assert same
    assert gap <= kernels.empirical_gram_error(net, X) <= 4 * gap  # Frobenius for spectral norm: √6


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_the_bound_of_two_layers_grows_with_the_rows(scale):
    net = networks.TwoLayerReLU.init(KEY, width=64, input_dim=3, dtype=np.float32)
    x = scale * X
    exact = (x @ x.T) * np.asarray(kernels.pattern_counts(net, x)) / 64
    gap = np.linalg.norm(np.asarray(kernels.empirical_gram(net, x), float) - exact, 2)
    assert 0 < gap <= kernels.empirical_gram_error(net, x) <= 1e-5 * scale**2


def test_the_same_gram_inside_jit_and_under_strict_settings():
    for net in (networks.TwoLayerReLU.init(KEY, width=8, input_dim=3), _nets(networks.TANH, True)):
        expected = np.asarray(kernels.empirical_gram(net, X))
        with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
            found = jax.jit(lambda net, x: kernels.empirical_gram(net, x))(net, X)
        np.testing.assert_allclose(found, expected, rtol=1e-13)
    # The bound of two layers needs no weights; that of others looks at them.
    with pytest.raises(InputError, match="traced"):
        jax.jit(lambda net: kernels.empirical_gram_error(net, X))(net)


@pytest.mark.parametrize("call", [kernels.empirical_gram, kernels.empirical_gram_error, kernels.pattern_counts])
def test_what_cannot_be_served_is_refused(call):
    net = networks.TwoLayerReLU.init(KEY, width=8, input_dim=3, dtype=np.float64)
    for x in (X[0], X[:, :2], np.zeros((0, 3)), X * 1j, np.full((1, 3), np.nan), [["a", "b", "c"]]):
        with pytest.raises(InputError):
            call(net, x)
    with jax.enable_x64(False), pytest.raises(InputError, match="x64"):
        call(net, X)
