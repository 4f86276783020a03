"""Under JAX's strict flags, in other numbers' types, and where a run cannot go."""

import dataclasses

import jax
import numpy as np
import pytest

from ntk_localsgd import datasets, local_sgd, networks
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD
from tests import helpers

EVERYTHING = tuple(local_sgd.OBSERVABLES)


@pytest.mark.parametrize(("batch_size", "dtype"), [(None, np.float64), (1, np.float32)])
def test_everything_is_observed_under_strict_promotion(batch_size, dtype):
    net, data, split = helpers.problem(seed=2)
    net = jax.tree.map(lambda leaf: leaf.astype(dtype), net)
    config, key = LocalSGD(0.4, 2, 3, batch_size), None if batch_size is None else jax.random.key(1)
    plain = [local_sgd.run(net, data, split, config, key=key, observe=names) for names in ((), EVERYTHING)]
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        strict = [local_sgd.run(net, data, split, config, key=key, observe=names) for names in ((), EVERYTHING)]
        many = local_sgd.run_seeds([net, net], data, split, config, keys=None if key is None else [key, key])
    for run, other in zip(strict, plain, strict=True):
        for name in other.trajectory:
            np.testing.assert_array_equal(run.trajectory[name], other.trajectory[name], err_msg=name)
    np.testing.assert_allclose(many[1].trajectory.loss, plain[0].trajectory.loss, rtol=1e-6)


def test_batches_of_a_run_do_not_depend_on_the_x64_flag():
    _, data, split = helpers.problem(sizes=(4, 5, 3))
    net = networks.TwoLayerReLU.init(jax.random.key(0), width=32, input_dim=6, dtype=np.float32)
    losses = []
    for flag in (False, True):
        with jax.enable_x64(flag):
            run = local_sgd.run(net, data, split, LocalSGD(0.3, 2, 5, 1), key=jax.random.key(3))
            losses.append(run.trajectory.loss.values)
    np.testing.assert_allclose(*losses, rtol=1e-5)  # a few steps in float32


def test_targets_may_stand_in_one_column():
    net, data, split = helpers.problem()
    column = dataclasses.replace(data, targets=data.targets[:, None])
    runs = [local_sgd.run(net, each, split, LocalSGD(0.3, 2, 3), observe=("local_loss",)) for each in (data, column)]
    np.testing.assert_array_equal(runs[0].trajectory.local_loss, runs[1].trajectory.local_loss)


def test_a_loss_that_is_infinite_at_the_start_has_diverged_at_round_0():
    _, data, split = helpers.problem()
    net = networks.TwoLayerReLU.init(jax.random.key(0), width=8, input_dim=6, dtype=np.float32)
    huge = datasets.from_arrays(data.inputs, np.full(9, 1e30))
    for rounds in (0, 3):
        run = local_sgd.run(net, huge, split, LocalSGD(0.1, 2, rounds), observe=("client_drift",))
        assert run.diverged_at == 0
        assert run.trajectory.sizes["round"] == 1
        assert run.network is net
    good, bad = local_sgd.run_seeds(
        [net, net.with_trained((net.weights * np.float32(1e30),))], data, split, LocalSGD(0.1, 2, 3)
    )
    assert (good.diverged_at, bad.diverged_at) == (None, 0)


def test_attributes_are_plain_values_that_netcdf_holds():
    net, data, split = helpers.problem()
    config = LocalSGD(jax.numpy.asarray(0.1), np.int64(2), 3.0, np.array(1), np.float32(1))
    run = local_sgd.run(net, data, split, config, key=jax.random.key(0))
    kinds = {name: type(value) for name, value in run.trajectory.attrs.items()}
    assert kinds.pop("client_sizes") is np.ndarray
    assert set(kinds.values()) == {int, float, str}
    assert run.trajectory.attrs["num_rounds"] == 3


def test_a_run_under_jit_gets_one_sentence():
    net, data, split = helpers.problem()
    with pytest.raises(InputError, match="traced by a JAX transformation"):
        jax.jit(lambda net: local_sgd.run(net, data, split, LocalSGD(0.1, 1, 1)).network)(net)
    with pytest.raises(InputError, match="step_size is traced"):
        jax.jit(lambda eta: local_sgd.run(net, data, split, LocalSGD(eta, 1, 1)).network)(0.1)


def test_a_float64_network_outside_x64_gets_one_sentence():
    net, data, split = helpers.problem()
    with jax.enable_x64(False), pytest.raises(InputError, match="dtype is float64, which needs"):
        local_sgd.run(net, data, split, LocalSGD(0.1, 1, 1))
