"""A run that goes on from where another ended is the run that was never interrupted."""

import jax
import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import Checkpoint, LocalSGD, join, run, run_seeds
from ntk_localsgd.networks import TwoLayerReLU, deep
from tests.helpers import problem

NET, DATA, SPLIT = problem(sizes=(3, 2))
OBSERVE = ("path_length", "flip_fraction", "frobenius_movement", "client_drift", "smallest_eigenvalue", "gram_movement")


def _at(network, number, config):
    return Checkpoint(network, number, DATA, SPLIT, config)


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("net", [NET, deep(jax.random.key(2), width=10, depth=2, input_dim=6)], ids=["two", "deep"])
def test_both_parts_together_are_the_whole(net, batch_size):
    key = None if batch_size is None else jax.random.key(5)
    config, half = LocalSGD(0.2, 3, 8, batch_size), LocalSGD(0.2, 3, 4, batch_size)
    whole = run(net, DATA, SPLIT, config, key=key, observe=OBSERVE, gram_every=2)
    first = run(net, DATA, SPLIT, half, key=key, observe=OBSERVE, gram_every=2)
    rest = run(net, DATA, SPLIT, config, key=key, observe=OBSERVE, gram_every=2, resume=_at(first.network, 4, half))
    assert rest.trajectory["round"].values.tolist() == [4, 5, 6, 7, 8]
    for weights, expected in zip(rest.network.trained, whole.network.trained, strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-12, atol=1e-14)
    xr.testing.assert_allclose(join(first.trajectory, rest.trajectory), whole.trajectory, rtol=1e-11, atol=1e-12)
    assert join(first.trajectory, rest.trajectory).attrs["num_rounds"] == 8
    assert join(first.trajectory, rest.trajectory).path_length.attrs == whole.trajectory.path_length.attrs


def test_several_networks_go_on_together():
    nets = [TwoLayerReLU.init(jax.random.key(k), width=20, input_dim=6) for k in range(2)]
    config, half = LocalSGD(0.2, 2, 5), LocalSGD(0.2, 2, 2)
    points = [_at(part.network, 2, half) for part in run_seeds(nets, DATA, SPLIT, half)]
    for ended, expected in zip(
        run_seeds(nets, DATA, SPLIT, config, resume=points), run_seeds(nets, DATA, SPLIT, config), strict=True
    ):
        np.testing.assert_allclose(ended.network.weights, expected.network.weights, rtol=1e-12, atol=1e-14)


def test_what_does_not_fit_is_refused():
    config = LocalSGD(0.2, 2, 3)
    with pytest.raises(InputError, match="resume is at round 4, beyond the 3 rounds"):
        run(NET, DATA, SPLIT, config, resume=_at(NET, 4, config))
    with pytest.raises(InputError, match="needs one for each network, all at one round"):
        run_seeds([NET, NET], DATA, SPLIT, config, resume=[_at(NET, 1, config), _at(NET, 2, config)])
    part = run(NET, DATA, SPLIT, config).trajectory
    with pytest.raises(InputError, match="later begins at round 5, needs a round of earlier"):
        join(part, part.assign_coords(round=part["round"] + 5))
