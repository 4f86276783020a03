"""Stacks: every activation and connection against NumPy; what counts as a stack; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_localsgd import datasets, networks
from ntk_localsgd.errors import InputError

KEY = jax.random.key(1)
X = datasets.sphere(KEY, 5, 3).inputs
ACTIVATIONS = (networks.RELU, networks.LeakyReLU(0.3), networks.TANH, networks.SOFTPLUS, networks.GELU)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("residual", [False, True])
def test_outputs_match_numpy(activation, residual):
    net = networks.deep(
        KEY, width=7, depth=2, input_dim=3, output_dim=2, activation=activation, residual=residual, dtype=np.float64
    )
    h, _ = activation.on_host(X @ np.asarray(net.input_weights).T)
    for weights in map(np.asarray, net.hidden_weights):
        h = activation.on_host(h @ weights.T)[0] + (h if residual else 0)
    np.testing.assert_allclose(net(X), h @ np.asarray(net.output_weights).T, rtol=1e-12, atol=1e-13)
    assert (net.width, net.depth, net.input_dim, net.output_dim) == (7, 2, 3, 2)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(net))


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_slopes_are_the_derivative_on_device_and_host_within_their_stated_bounds(activation):
    z = jnp.linspace(-6, 6, 401)  # 0 is among them
    slopes = activation.slope(z)
    np.testing.assert_allclose(jax.vmap(jax.grad(activation))(z), slopes, rtol=1e-12, atol=1e-14)
    values, own = activation.on_host(np.asarray(z))
    np.testing.assert_allclose(values, activation(z), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(own, slopes, rtol=1e-12, atol=1e-14)
    assert np.abs(own).max() <= activation.steepest
    bends = np.abs(np.diff(own) / np.diff(z))
    assert (bends.max() if not activation.kinks else 0) <= activation.most_bent


def test_two_layers_with_relu_are_the_same_network_by_either_constructor():
    ours, theirs = (make(KEY, width=9, input_dim=3) for make in (networks.two_layer, networks.TwoLayerReLU.init))
    np.testing.assert_array_equal(ours(X), theirs(X))


def test_a_subclass_is_a_stack_until_it_overrides_what_one_is():
    class Doubled(networks.TwoLayerReLU):
        def __call__(self, x):
            return 2 * super().__call__(x)

    class Named(networks.TwoLayerReLU):
        def title(self):
            return "named"

    class Mixin:
        def activation_patterns(self, x):
            return (x[:, :1] >= 0,)

    class Other(Mixin, networks.DeepReLU):
        pass

    make = {"width": 4, "input_dim": 3}
    assert networks.structure(Doubled.init(KEY, **make)) is None
    named = Named.init(KEY, **make)
    assert networks.structure(named) is named
    assert isinstance(named.with_trained(named.trained), Named)
    assert networks.structure(Other.init(KEY, depth=1, **make)) is None
    assert networks.structure("a string") is None


def test_networks_work_under_jax_s_strict_settings():
    net = networks.deep(KEY, width=4, depth=2, input_dim=3, activation=networks.LeakyReLU(0.2), residual=True)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        np.testing.assert_allclose(jax.jit(lambda net, x: net(x))(net, X.astype(np.float32)), net(X), rtol=1e-6)


def test_half_precision_weights_from_arrays_are_widened():
    net = networks.TwoLayerReLU.from_arrays(np.ones((3, 2), np.float16), np.ones(3, np.float16))
    assert net.dtype == np.float32


def test_a_float64_network_is_refused_where_its_precision_is_off():
    net = networks.TwoLayerReLU.init(KEY, width=4, input_dim=3, dtype=np.float64)
    with jax.enable_x64(False), pytest.raises(InputError, match="x64"):
        net(X)


_NET = networks.TwoLayerReLU.init(KEY, width=4, input_dim=3)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: networks.TwoLayerReLU.init(KEY, width=4, input_dim=3, dtype=jnp.bfloat16), "more range and digits"),
        (lambda: networks.TwoLayerReLU.init(KEY, width=4.5, input_dim=3), "width is 4.5"),
        (lambda: networks.LeakyReLU(-0.1), "negative_slope is -0.1"),
        (lambda: networks.Smooth("swish"), "swish"),
        (lambda: networks.TwoLayerReLU.from_arrays([["a", "b"]], [1]), "real numbers"),
        (lambda: networks.TwoLayerReLU.from_arrays(np.ones((2, 2)) * 1j, np.ones(2)), "complex"),
        (lambda: networks.Stack.from_arrays(None, [np.ones((3, 2))], np.ones(3), residual=True), "shapes"),
        (lambda: networks.Stack.from_arrays(None, [], np.ones(3)), "shapes"),
        (lambda: _NET(X[0]), r"\(3,\)"),
        (lambda: _NET(X[:, :2]), r"\[n 3\]"),
        (lambda: _NET(np.ma.masked_array(X, X > 0)), "masked"),
        (lambda: _NET(jnp.asarray(X) * 1j), "complex"),
        (lambda: _NET.with_trained(()), "trained holds 0"),
        (lambda: jax.jit(lambda w: networks.TwoLayerReLU.from_arrays(w, np.ones(2)))(np.ones((2, 2))), "traced"),
    ],
)
def test_bad_input_gets_one_sentence(call, named):
    with pytest.raises(InputError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_file_cut_short_or_damaged_anywhere_gives_the_network_or_one_sentence(tmp_path):
    path = tmp_path / "net.npz"
    _NET.save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(60):
        damaged = bytearray(whole[: rng.integers(len(whole))] if trial % 2 else whole)
        for _ in range(4):
            if damaged:
                damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            networks.TwoLayerReLU.load(path)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 (a damaged file may also load)
    with path.open("wb") as file:
        np.save(file, np.ones((3, 2)))
    with pytest.raises(InputError, match="cannot be read as a network"):
        networks.TwoLayerReLU.load(path)
