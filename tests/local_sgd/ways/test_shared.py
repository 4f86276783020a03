"""Rounds without weights of a client's own, against clients that have them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_localsgd import clients, datasets, local_sgd
from ntk_localsgd.local_sgd.gradients import ClientData, data_pass, gradient
from ntk_localsgd.local_sgd.observables import select
from ntk_localsgd.local_sgd.ways import Plan, choose, lockstep, one_by_one, shared
from ntk_localsgd.networks import RELU, TANH, DeepReLU, LeakyReLU, Stack, TwoLayerReLU, deep

# A few float64 steps, summed in another order.
CLOSE = 1e-11

# In place of a depth.
TWO_LAYERS = 0


def _problem(depth, output_dim, width=24):
    key = jax.random.key(depth)
    data = datasets.sphere(key, 9, 8)
    if output_dim > 1:
        data = datasets.from_arrays(data.inputs, np.random.default_rng(0).standard_normal((9, output_dim)))
    split = clients.Clients((np.array([0, 4, 5]), np.array([1, 2, 3, 6, 7]), np.array([8])))
    if depth == TWO_LAYERS:
        return TwoLayerReLU.init(key, width=width, input_dim=8), data, split
    return DeepReLU.init(key, width=width, depth=depth, input_dim=8, output_dim=output_dim), data, split


STACKS = [(LeakyReLU(0.2), True, 3), (TANH, True, 1), (TANH, False, 1), (RELU, True, 3)]


@pytest.mark.parametrize(("activation", "residual", "output_dim"), STACKS)
def test_it_serves_every_stack(activation, residual, output_dim):
    _, data, split = _problem(2, output_dim)
    net = deep(jax.random.key(1), width=24, depth=3, input_dim=8, output_dim=output_dim, activation=activation,
               residual=residual)  # fmt: skip
    stacked, batches = ClientData.of(data, split, net), np.array([[[0, 2], [4, 1], [0, 1]], [[2, 1], [4, 3], [0, 2]]])
    for chosen in (None, batches):
        found = _movement(net, stacked, 0.02, 2, None if chosen is None else jnp.asarray(chosen))
        expected = _one_by_one(net, stacked, 0.02, 2, chosen)
        assert max(np.abs(w).max() for w in expected) > 1e-3
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=CLOSE)


class Shifted(TwoLayerReLU):
    """f(W, x) + 1: a network of its own, though it is a stack's child."""

    def __call__(self, x):
        return super().__call__(x) + 1


class Cubed(Stack):
    """Σ_r a_r σ(w_r·x)³, by its layers' outputs."""

    def outputs(self, last):
        return super().outputs(last**3)


def test_networks_that_compute_something_else_train_as_themselves():
    net, data, split = _problem(TWO_LAYERS, 1)
    own = Shifted(net.weights, net.signs), Cubed(None, net.trained, net.signs, divided=True)
    assert shared.is_faster(net, ClientData.of(data, split, net), 2)
    for other in own:
        stacked = ClientData.of(data, split, other)
        assert not shared.is_faster(other, stacked, 2)
        run = local_sgd.run(other, data, split, local_sgd.LocalSGD(0.05, 2, 1))
        assert type(run.network) is type(other)
        (moved,) = _one_by_one(other, stacked, 0.05, 2)
        assert np.abs(moved - _one_by_one(net, stacked, 0.05, 2)[0]).max() > 1e-3
        np.testing.assert_allclose(run.network.trained[0], net.weights + moved, rtol=0, atol=CLOSE)


def _movement(net, data, eta, local_steps, batches=None, *, summed=False):
    start = shared.there_and_back(net, data, back=batches is None or summed, summed=summed)
    return shared.movement(net, data, jnp.asarray(eta), local_steps, start, batches)


def _one_by_one(net, data, eta, local_steps, batches=None):
    """Every client's own weights, step by step by automatic differentiation."""
    moved = [np.zeros(w.shape) for w in net.trained]
    for c, everything in enumerate(zip(*data, strict=True)):
        own = net.trained
        for k in range(local_steps):
            samples = everything if batches is None else [each[batches[k, c]] for each in everything]
            own = [w - eta * g for w, g in zip(own, gradient(net.with_trained(own), *samples), strict=True)]
        moved = [m + (w - start) / len(data.mask) for m, w, start in zip(moved, own, net.trained, strict=True)]
    return moved


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("local_steps", [1, 2, 5])
@pytest.mark.parametrize(("depth", "output_dim"), [(TWO_LAYERS, 1), (1, 1), (2, 3), (4, 1)])
def test_the_mean_movement_is_that_of_clients_with_weights_of_their_own(depth, output_dim, local_steps, summed):
    net, data, split = _problem(depth, output_dim)
    stacked, eta = ClientData.of(data, split, net), 0.05
    found = _movement(net, stacked, eta, local_steps, summed=summed)
    expected = _one_by_one(net, stacked, eta, local_steps)
    assert max(np.abs(w).max() for w in expected) > 1e-3
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=CLOSE)


@pytest.mark.parametrize(("depth", "output_dim"), [(TWO_LAYERS, 1), (1, 1), (2, 3)])
def test_a_pass_gives_losses_and_norms_of_gradients_as_one_client_after_the_other(depth, output_dim):
    net, data, split = _problem(depth, output_dim)
    stacked = ClientData.of(data, split, net)
    seen, expected = shared.there_and_back(net, stacked, summed=True), data_pass(net, stacked)
    np.testing.assert_allclose(seen.losses(), expected.losses, rtol=CLOSE)
    np.testing.assert_allclose(seen.norm(), expected.gradients.norm(), rtol=CLOSE)
    np.testing.assert_allclose(seen.client_norms(), expected.gradients.client_norms(), rtol=CLOSE)


def test_norms_of_single_precision_gradients_lose_no_digits_to_the_square():
    # Two samples that nearly cancel: a hundredth of each is left, a ten-thousandth of the squares.
    x = np.array([[1.0, 0.0, 0.0], [1.0, 0.01, 0.0]])
    data = datasets.from_arrays(x / np.linalg.norm(x, axis=1, keepdims=True), np.zeros(2))
    made = DeepReLU.init(jax.random.key(0), width=256, depth=2, input_dim=3, dtype=np.float32)
    data = dataclasses.replace(data, targets=np.asarray(made(data.inputs), np.float64) + np.array([1.0, -1.0]))
    stacked = ClientData.of(data, clients.Clients((np.array([0, 1]),)), made)
    exact = ClientData(*(np.asarray(part, np.float64) for part in stacked[:2]), stacked.mask)
    wide = jax.tree.map(lambda w: jnp.asarray(w, np.float64), made)
    (norm,) = shared.there_and_back(made, stacked).client_norms()
    (expected,) = data_pass(wide, exact).gradients.client_norms()
    # Roundings of the factors, 6e-8 each, times the cancellation of 100 to 300.
    np.testing.assert_allclose(norm, expected, rtol=1e-4)


@pytest.mark.parametrize(("depth", "output_dim"), [(TWO_LAYERS, 1), (1, 3), (3, 1)])
def test_so_it_is_with_batches_which_may_return_to_a_sample(depth, output_dim):
    net, data, split = _problem(depth, output_dim)
    stacked, eta = ClientData.of(data, split, net), 0.05
    batches = np.array([[[0, 2], [4, 1], [0, 1]], [[2, 1], [4, 3], [0, 2]], [[0, 1], [1, 4], [0, 3]]])
    for summed in (False, True):
        found = _movement(net, stacked, eta, 3, jnp.asarray(batches), summed=summed)
        for ours, theirs in zip(found, _one_by_one(net, stacked, eta, 3, batches), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=CLOSE)


@pytest.mark.parametrize(("depth", "batch_size"), [(2, None), (2, 1), (TWO_LAYERS, None), (TWO_LAYERS, 2)])
def test_a_run_draws_the_same_batches_this_way(depth, batch_size):
    net, data, split = _problem(depth, 1)
    split = clients.Clients((np.array([0, 4, 5]), np.array([1, 2, 3, 6]), np.array([8, 7])))
    config, key = local_sgd.LocalSGD(0.05, 3, 4, batch_size), None if batch_size is None else jax.random.key(5)
    alone = local_sgd.run(net, data, split, config, key=key)
    watched = local_sgd.run(net, data, split, config, key=key, observe=("client_drift",))
    assert shared.is_faster(net, ClientData.of(data, split, net), 3, batch_size)
    for found, seen in zip(alone.network.trained, watched.network.trained, strict=True):
        np.testing.assert_allclose(found, seen, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("depth", [TWO_LAYERS, 2])
@pytest.mark.parametrize(
    ("observe", "way"),
    [
        ((), shared),
        (("neuron_movement",), shared),
        (("distance_from_start",), one_by_one),
        (("client_drift",), lockstep),
    ],
)
def test_clients_have_weights_where_something_sees_them(observe, way, depth):
    net, data, split = _problem(depth, 1)
    when = {name: [e for e in select(observe) if e.when == name] for name in ("round", "taken", "step")}
    plan = Plan(3, None, *map(tuple, when.values()))
    assert choose(net, ClientData.of(data, split, net), plan) is way


def test_a_run_adds_the_mean_movement_times_the_server_s_step_size():
    net, data, split = _problem(2, 1)
    config = local_sgd.LocalSGD(0.05, 3, 4, server_step_size=0.7)
    stacked, weights = ClientData.of(data, split, net), net
    for _ in range(config.num_rounds):
        moved = _movement(weights, stacked, 0.05, 3)
        weights = weights.with_trained([w + 0.7 * m for w, m in zip(weights.trained, moved, strict=True)])
    run = local_sgd.run(net, data, split, config)
    for found, expected in zip(run.network.trained, weights.trained, strict=True):
        # The same operations, which the compiler may fuse in another way.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_it_is_faster_for_deep_networks_that_are_wide_beside_the_samples_of_a_round():
    net, data, split = _problem(2, 1)
    stacked = ClientData.of(data, split, net)
    assert shared.is_faster(net, stacked, 3)
    assert shared.is_faster(_problem(2, 1, width=20)[0], stacked, 3)
    assert not shared.is_faster(_problem(2, 1, width=19)[0], stacked, 3)
    assert not shared.is_faster(_problem(2, 1, width=400)[0], stacked, 17)
    assert shared.is_faster(net, stacked, 3, 1)
    assert not shared.is_faster(net, stacked, 2, 1)  # five samples meet the first layer for two that are used


def test_with_two_layers_it_is_faster_where_it_needs_fewer_operations():
    net, data, split = _problem(TWO_LAYERS, 1)
    stacked = ClientData.of(data, split, net)  # n_c = 5, d = 8
    assert shared.is_faster(net, stacked, 1)
    assert shared.is_faster(net, stacked, 16)
    assert not shared.is_faster(net, stacked, 17)
    assert shared.is_faster(net, stacked, 9, 1)  # 80 + 40 of 144
    assert not shared.is_faster(net, stacked, 5, 1)  # 80 + 20 of 80
    many = ClientData.of(datasets.sphere(jax.random.key(1), 26, 8), clients.Clients((np.arange(26),)), net)
    assert not shared.is_faster(net, many, 2)  # more than twice as many samples as inputs
