"""Networks written to files and read again."""

import jax
import numpy as np
import pytest

from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import (
    GELU,
    DeepReLU,
    LeakyReLU,
    TwoLayerReLU,
    deep,
    load_network,
    save_network,
    two_layer,
)

KEY = jax.random.key(0)
SIZES = {"width": 6, "input_dim": 3}
NETS = {
    "two layers": TwoLayerReLU.init(KEY, **SIZES),
    "two layers, GELU": two_layer(KEY, **SIZES, activation=GELU),
    "deep": DeepReLU.init(KEY, **SIZES, depth=2, output_dim=2, dtype=np.float32),
    "residual, leaky": deep(KEY, **SIZES, depth=3, activation=LeakyReLU(0.2), residual=True),
}


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_what_is_written_is_read(tmp_path, net):
    save_network(net, tmp_path / "net.npz")
    again = load_network(tmp_path / "net.npz")
    assert type(again) is type(net)
    assert (again.activation, again.residual, again.divided) == (net.activation, net.residual, net.divided)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(net), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"weights": np.ones((2, 2))}, "arrays weights and signs needed"),
        ({"hidden_weights_1": np.ones((2, 2))}, "lacks an array 'output_weights'"),
        ({"hidden_weights_2": np.ones((2, 2)), "output_weights": np.ones(2)}, "lacks an array 'hidden_weights_1'"),
        (
            {"hidden_weights_1": np.ones((2, 2)), "output_weights": np.ones(2), "activation": "swish"},
            "activation is 'swish', needs to be one of",
        ),
        (
            {"hidden_weights_1": np.ones((2, 2)), "output_weights": np.ones(2), "activation": "leaky_relu a"},
            "activation is leaky_relu a, needs a slope",
        ),
    ],
)
def test_files_that_hold_no_network_are_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "net.npz", **arrays)
    with pytest.raises(InputError) as error:
        load_network(tmp_path / "net.npz")
    assert words in str(error.value)
