"""The network with both layers trained: outputs, Jacobian, mirrored halves, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_localsgd.errors import InputError
from ntk_localsgd.interpolation import Shallow, least_width
from ntk_localsgd.networks import RELU, TANH
from tests.interpolation.cases import ACTIVATIONS, data, network


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)
@pytest.mark.parametrize("width", [4, 5])
def test_outputs_are_those_of_a_stack(activation, width):
    (x, _), net = data(6, 3), network(6, 3, activation, width)
    np.testing.assert_allclose(net(x), np.asarray(net.stack()(x)), rtol=1e-13)


def test_the_jacobian_is_autodiff_s():
    (x, _), net, width = data(6, 3), network(6, 3, TANH, 5), 5

    def outputs(parameters):
        weights, readout = parameters[: width * 3].reshape(width, 3), parameters[width * 3 :]
        return jnp.tanh(jnp.asarray(x) @ weights.T) @ readout

    np.testing.assert_allclose(net.jacobian(x), jax.jacobian(outputs)(net.parameters), rtol=1e-12, atol=1e-15)
    again = Shallow.from_parameters(net.parameters, 3, TANH)
    np.testing.assert_array_equal(again.weights, net.weights)
    np.testing.assert_array_equal(again.readout, net.readout)


@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 40), st.sampled_from(ACTIVATIONS), st.integers(0, 99))
def test_mirrored_halves_cancel_to_the_last_bit(n, d, half, activation, seed):
    x, _ = data(n, d, seed)
    net = Shallow.mirrored(np.random.default_rng(seed), width=2 * half, input_dim=d, activation=activation)
    assert np.abs(net.readout).min() > 0
    assert not net(x).any()


def test_mirrored_weights_have_lecun_s_variance():
    net = Shallow.mirrored(np.random.default_rng(0), width=2000, input_dim=50)
    assert net.weights.std() == pytest.approx(50**-0.5, rel=0.02)
    assert net.readout.std() == pytest.approx(2000**-0.5, rel=0.1)


def test_what_is_no_such_network_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="needs to be smooth"):
        Shallow(np.ones((2, 3)), np.ones(2), RELU)
    with pytest.raises(InputError, match="do not fit"):
        Shallow(np.ones((2, 3)), np.ones(3), TANH)
    with pytest.raises(InputError, match="width is 3, needs to be even"):
        Shallow.mirrored(np.random.default_rng(0), width=3, input_dim=2)
    assert [least_width(64, 8), least_width(7, 3)] == [16, 5]
