"""Many networks at once: what each would find alone."""

import jax
import numpy as np
import pytest

from ntk_localsgd import clients, datasets, local_sgd, networks
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import run_seeds

DATA = datasets.sphere(jax.random.key(0), 12, 6)
SPLIT = clients.iid(jax.random.key(1), DATA, 3)

# The same sums in the same float64, in an order that the compiler may choose: some roundings a step.
CLOSE = 1e-10


def _two_layer(seed):
    return networks.TwoLayerReLU.init(jax.random.key(seed), width=32, input_dim=6, dtype=np.float64)


def _deep(seed):
    return networks.DeepReLU.init(jax.random.key(seed), width=16, depth=2, input_dim=6, dtype=np.float64)


@pytest.mark.parametrize(
    ("make", "step", "batch", "observe"),
    [
        (_two_layer, 0.2, None, ("flip_fraction", "smallest_eigenvalue", "client_drift")),
        (_two_layer, 0.2, 2, ("gradient_difference",)),
        (_deep, 0.01, None, ("layer_spectral_movement", "distance_to_average")),
    ],
)
def test_every_network_runs_as_it_does_alone(make, step, batch, observe):
    nets = [make(seed) for seed in range(3)]
    config = local_sgd.LocalSGD(step, 2, 4, batch)
    keys = [jax.random.key(10 + seed) for seed in range(3)] if batch else None
    together = run_seeds(nets, DATA, SPLIT, config, keys=keys, observe=observe, gram_every=2)
    for k, (net, run) in enumerate(zip(nets, together, strict=True)):
        key = keys[k] if keys else None
        alone = local_sgd.run(net, DATA, SPLIT, config, key=key, observe=observe, gram_every=2)
        assert str(run.trajectory.attrs) == str(alone.trajectory.attrs)
        assert set(run.trajectory) == set(alone.trajectory)
        for name in alone.trajectory:
            np.testing.assert_allclose(run.trajectory[name], alone.trajectory[name], rtol=CLOSE, atol=CLOSE)
        for mine, other in zip(run.network.trained, alone.network.trained, strict=True):
            np.testing.assert_allclose(mine, other, rtol=CLOSE, atol=CLOSE)


def test_a_network_that_diverges_does_so_alone():
    # All signs alike give outputs, and so a Gram matrix, whose errors add up: unstable where mixed signs are not yet.
    inputs = np.abs(DATA.inputs) * np.where(np.arange(12) % 2, 1, -1)[:, None]
    data, config = datasets.from_arrays(inputs, DATA.targets), local_sgd.LocalSGD(3.0, 3, 6)
    stable = _two_layer(1)
    nets = [stable, networks.TwoLayerReLU.from_arrays(stable.weights, np.ones(32))]
    runs, alone = run_seeds(nets, data, SPLIT, config), [local_sgd.run(net, data, SPLIT, config) for net in nets]
    assert [run.diverged_at for run in alone] == [None, 4]
    assert [run.diverged_at for run in runs] == [None, 4]
    for run, other in zip(runs, alone, strict=True):
        np.testing.assert_allclose(run.trajectory.loss, other.trajectory.loss, rtol=CLOSE)
        np.testing.assert_allclose(run.network.weights, other.network.weights, rtol=CLOSE)


def test_divergence_is_measured_by_each_network_s_own_start():
    """The second starts below a millionth of the first one's loss: a million times it is not yet so much of that."""
    nets = [_two_layer(2), networks.TwoLayerReLU.from_arrays(_two_layer(1).weights, np.ones(32))]
    inputs = np.abs(DATA.inputs) * np.where(np.arange(12) % 2, 1, -1)[:, None]
    targets = np.asarray(nets[1](inputs), np.float64) + 1e-5 * DATA.targets
    data, config = datasets.from_arrays(inputs, targets), local_sgd.LocalSGD(3.0, 3, 12)
    alone = [local_sgd.run(net, data, SPLIT, config) for net in nets]
    assert alone[1].diverged_at is not None
    assert alone[1].trajectory.loss[0] < 1e-6 * alone[0].trajectory.loss[0]
    assert (alone[1].trajectory.loss <= 1e6 * alone[1].trajectory.loss[0]).all()
    runs = run_seeds(nets, data, SPLIT, config)
    assert [run.diverged_at for run in runs] == [run.diverged_at for run in alone]


def test_each_network_stops_on_its_own_and_keeps_what_it_had():
    nets, asked = [_two_layer(seed) for seed in range(3)], []

    def stop(checkpoint):
        asked.append((checkpoint.index, checkpoint.round))
        return checkpoint.round >= 2 * checkpoint.index

    stop.every = 2
    runs = run_seeds(nets, DATA, SPLIT, local_sgd.LocalSGD(0.2, 2, 6), stop=stop, observe=("gram_movement",))
    assert [run.stopped_at for run in runs] == [0, 2, 4]
    assert sorted(asked) == [(0, 0), (1, 0), (1, 2), (2, 0), (2, 2), (2, 4)]
    for net, run in zip(nets, runs, strict=True):
        alone = local_sgd.run(net, DATA, SPLIT, local_sgd.LocalSGD(0.2, 2, run.stopped_at), observe=("gram_movement",))
        for mine, other in zip(run.network.trained, alone.network.trained, strict=True):
            np.testing.assert_allclose(mine, other, rtol=CLOSE, atol=CLOSE)
        np.testing.assert_allclose(run.trajectory.gram_movement, alone.trajectory.gram_movement, rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize(
    ("nets", "keys", "sentence"),
    [
        ([], None, "nets is empty"),
        ([_two_layer(0), _deep(0)], None, "nets have 2 different shapes"),
        ([_two_layer(0)], [jax.random.key(0)] * 2, "keys are 2"),
    ],
)
def test_what_does_not_fit_gets_one_sentence(nets, keys, sentence):
    with pytest.raises(InputError, match=sentence):
        run_seeds(nets, DATA, SPLIT, local_sgd.LocalSGD(0.1, 1, 1), keys=keys)
