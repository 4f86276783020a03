"""Invariants of Local GD and the inequalities that hold for every run, over a few fixed shapes."""

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ntk_localsgd import clients, datasets, local_sgd
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.networks import TwoLayerReLU
from tests import helpers

# Client sizes; each new shape costs a second of compiling.
SIZES = st.sampled_from([(3, 5, 1), (4, 4), (6,)])
SEEDS = st.integers(0, 2**31 - 1)
STEPS = st.sampled_from([0.05, 0.5, 1.5])
TRACKED = (
    "local_loss",
    "client_drift",
    "distance_to_average",
    "gradient_difference",
    "average_loss",
    "flips_from_average",
)

# Twelve steps of sums in another order. A step may amplify a difference by 1 + ηλ_max ≤ 10; a pre-activation
# within 1e-13 of zero, which could flip, does not occur among the examples drawn (the profile is derandomised).
CLOSE = 1e-9


def _losses(net, data, split, step_size):
    return local_sgd.run(net, data, split, LocalSGD(step_size, 3, 4)).trajectory.loss.values


@given(SIZES, SEEDS, STEPS)
def test_permuting_samples_changes_nothing(sizes, seed, step_size):
    net, data, split = helpers.problem(seed, sizes=sizes)
    order = np.random.default_rng(seed).permutation(data.num_samples)
    place = np.argsort(order)
    shuffled = datasets.from_arrays(data.inputs[order], data.targets[order])
    moved = clients.Clients(tuple(place[part] for part in split.indices))
    expected = _losses(net, data, split, step_size)
    np.testing.assert_allclose(_losses(net, shuffled, moved, step_size), expected, rtol=CLOSE, atol=CLOSE)


@given(SIZES, SEEDS, STEPS)
def test_permuting_clients_and_neurons_changes_nothing(sizes, seed, step_size):
    net, data, split = helpers.problem(seed, sizes=sizes)
    order = np.random.default_rng(seed).permutation(net.width)
    other = TwoLayerReLU.from_arrays(np.asarray(net.weights)[order], np.asarray(net.signs)[order])
    turned = clients.Clients(split.indices[::-1])
    expected = _losses(net, data, split, step_size)
    np.testing.assert_allclose(_losses(other, data, turned, step_size), expected, rtol=CLOSE, atol=CLOSE)


@given(SIZES, SEEDS, STEPS)
def test_rotating_inputs_together_with_weights_changes_nothing(sizes, seed, step_size):
    net, data, split = helpers.problem(seed, sizes=sizes)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((6, 6)))
    rows = datasets.from_arrays(data.inputs @ rotation, data.targets)
    turned = TwoLayerReLU.from_arrays(np.asarray(net.weights) @ rotation, net.signs)
    expected = _losses(net, data, split, step_size)
    np.testing.assert_allclose(_losses(turned, rows, split, step_size), expected, rtol=CLOSE, atol=CLOSE)


@given(SEEDS, STEPS)
def test_one_client_with_many_local_steps_is_many_rounds_of_one(seed, step_size):
    net, data, split = helpers.problem(seed, sizes=(6,))
    together = local_sgd.run(net, data, split, LocalSGD(step_size, 3, 4)).network.weights
    apart = local_sgd.run(net, data, split, LocalSGD(step_size, 1, 12)).network.weights
    np.testing.assert_allclose(together, apart, rtol=CLOSE, atol=CLOSE)


@given(SIZES, SEEDS, STEPS)
def test_same_seed_same_bits(sizes, seed, step_size):
    net, data, split = helpers.problem(seed, sizes=sizes)
    config, key = LocalSGD(step_size, 3, 4, batch_size=1), jax.random.key(seed)
    first, second = (local_sgd.run(net, data, split, config, key=key).network.weights for _ in range(2))
    np.testing.assert_array_equal(first, second)


@settings(max_examples=40)
@given(SIZES, SEEDS, st.sampled_from([0.05, 0.5, 1.5, 20.0, 1e3]))
def test_drift_and_gradient_difference_obey_s3_and_s1a(sizes, seed, step_size):
    net, data, split = helpers.problem(seed, sizes=sizes)
    found = local_sgd.run(net, data, split, LocalSGD(step_size, 3, 4), observe=TRACKED).trajectory
    assert all(np.isfinite(found[name]).all() for name in found.data_vars)
    chi = split.spectral_norms(data.inputs)
    residual = np.sqrt(2 * found.local_loss.values)
    scale = 1 + float(found.client_drift.max())  # absolute rounding of numbers of this size
    bound = step_size * np.arange(1, 4)[:, None] * chi * np.maximum.accumulate(residual[1:, :-1], axis=1)
    assert (found.client_drift.values[1:, 1:] <= bound * (1 + 1e-12) + 1e-13 * scale).all()
    flips, averaged = found.flips_from_average.values, np.sqrt(2 * found.average_loss.values)
    bound = chi**2 * found.distance_to_average.values + chi * np.sqrt(flips) * averaged
    assert (found.gradient_difference.values <= bound * (1 + 1e-12) + 1e-12 * scale * chi**2).all()
