"""Local SGD against the reference: full batch, minibatches, reductions, chunks, divergence, refusals."""

import jax
import numpy as np
import pytest

from ntk_localsgd import clients, datasets, kernels, local_sgd
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD, Observable, recording
from ntk_localsgd.networks import TwoLayerReLU
from tests import helpers

# A few hundred steps of float64 sums in another order.
CLOSE = 1e-11

EVERYTHING = tuple(local_sgd.OBSERVABLES)


# What is observed decides how a round goes: without weights of a client's own, client by client, or in lockstep.
WAYS = pytest.mark.parametrize("observe", [(), ("distance_from_start",), ("local_loss",)])


@WAYS
@pytest.mark.parametrize("server_step_size", [1.0, 0.7])
def test_weights_and_losses_match_the_reference_with_unequal_clients(server_step_size, observe):
    net, data, split = helpers.problem()
    config = LocalSGD(0.5, 4, 12, server_step_size=server_step_size)
    run = local_sgd.run(net, data, split, config, observe=observe)
    _, averages = helpers.local_sgd(net, data, split, config)
    np.testing.assert_allclose(run.network.weights, averages[-1], rtol=0, atol=CLOSE)
    losses = [helpers.loss(w, np.asarray(net.signs), data.inputs, data.targets) for w in averages]
    np.testing.assert_allclose(run.trajectory.loss, losses, rtol=CLOSE, atol=CLOSE)


def _documented_batch(key, t, k, c, size, batch_size):
    for number in (t, k, c):
        key = jax.random.fold_in(key, number)
    uniform = [float(jax.random.uniform(jax.random.fold_in(key, i))) for i in range(size)]
    return np.argsort(uniform)[::-1][:batch_size]


@WAYS
def test_minibatch_runs_match_the_reference_fed_with_the_documented_batches(observe):
    net, data, split = helpers.problem(sizes=(4, 6, 3))
    config, key = LocalSGD(0.4, 3, 4, batch_size=2), jax.random.key(5)
    run = local_sgd.run(net, data, split, config, key=key, observe=observe)
    batches = lambda t, k, c: _documented_batch(key, t, k, c, split.sizes[c], 2)  # noqa: E731
    _, averages = helpers.local_sgd(net, data, split, config, batches)
    np.testing.assert_allclose(run.network.weights, averages[-1], rtol=0, atol=CLOSE)


def test_batch_of_all_samples_is_the_full_batch():
    net, data, split = helpers.problem(sizes=(3, 3))
    full = local_sgd.run(net, data, split, LocalSGD(0.3, 2, 3))
    batch = local_sgd.run(net, data, split, LocalSGD(0.3, 2, 3, batch_size=3), key=jax.random.key(0))
    np.testing.assert_allclose(batch.network.weights, full.network.weights, rtol=0, atol=CLOSE)


def test_one_client_is_gradient_descent():
    net, data, _ = helpers.problem()
    run = local_sgd.run(net, data, clients.iid(jax.random.key(0), data, 1), LocalSGD(0.3, 5, 4))
    weights, signs = np.asarray(net.weights), np.asarray(net.signs)
    for _ in range(20):
        weights = weights - 0.3 * helpers.gradient(weights, signs, data.inputs, data.targets)
    np.testing.assert_allclose(run.network.weights, weights, rtol=0, atol=CLOSE)


def test_one_local_step_is_synchronous_gradient_descent_on_the_mean_loss():
    net, data, split = helpers.problem()
    run = local_sgd.run(net, data, split, LocalSGD(0.3, 1, 20))
    weights, signs = np.asarray(net.weights), np.asarray(net.signs)
    for _ in range(20):
        weights = weights - 0.3 / 3 * helpers.gradient(weights, signs, data.inputs, data.targets)
    np.testing.assert_allclose(run.network.weights, weights, rtol=0, atol=CLOSE)


def test_same_seed_same_bits_however_the_run_is_cut_into_chunks_and_watched():
    net, data, split = helpers.problem()
    config, key = LocalSGD(0.3, 3, 12, batch_size=1), jax.random.key(1)
    never = lambda checkpoint: False  # noqa: ARG005, E731
    never.every = 3
    variants = [{}, {}, {"stop": never}, {"observe": ("gram_movement",), "gram_every": 4}, {"progress": True}]
    runs = [local_sgd.run(net, data, split, config, key=key, **options) for options in variants]
    for run in runs[1:]:
        np.testing.assert_array_equal(run.network.weights, runs[0].network.weights)
        np.testing.assert_array_equal(run.trajectory.loss, runs[0].trajectory.loss)


def test_tracking_every_local_step_changes_nothing():
    net, data, split = helpers.problem()
    config = LocalSGD(0.3, 3, 6)
    plain, tracked = (local_sgd.run(net, data, split, config, observe=names) for names in ((), EVERYTHING))
    # Stepping clients in turn or together compiles to different orders of summation at most.
    np.testing.assert_allclose(tracked.network.weights, plain.network.weights, rtol=0, atol=CLOSE)


class _Together(TwoLayerReLU):
    """The same network by another name, under which nothing has been traced yet."""


def test_both_ways_of_looping_over_clients_agree(monkeypatch):
    net, data, split = helpers.problem(seed=8)
    config, asked = LocalSGD(0.3, 3, 6), []
    one_by_one = local_sgd.run(net, data, split, config, observe=EVERYTHING)
    monkeypatch.setattr(jax, "default_backend", lambda: asked.append(True) or "gpu")
    together = local_sgd.run(_Together(net.weights, net.signs), data, split, config, observe=EVERYTHING)
    assert asked  # while it was traced
    for name in EVERYTHING:
        # Norms of differences that are 0 in exact arithmetic come out at rounding level on either side.
        np.testing.assert_allclose(together.trajectory[name], one_by_one.trajectory[name], rtol=1e-9, atol=1e-12)


def test_the_start_is_not_changed_and_no_rounds_give_it_back():
    net, data, split = helpers.problem()
    before = np.array(net.weights)
    local_sgd.run(net, data, split, LocalSGD(0.3, 2, 3))
    np.testing.assert_array_equal(net.weights, before)
    run = local_sgd.run(net, data, split, LocalSGD(0.3, 2, 0), observe=EVERYTHING)
    np.testing.assert_array_equal(run.network.weights, before)
    assert run.trajectory.sizes["round"] == 1


def test_training_runs_in_the_dtype_of_the_weights():
    _, data, split = helpers.problem()
    net = TwoLayerReLU.init(jax.random.key(0), width=20, input_dim=6, dtype=np.float32)
    run = local_sgd.run(net, data, split, LocalSGD(0.3, 2, 3), observe=EVERYTHING)
    assert run.network.weights.dtype == np.float32
    assert run.trajectory.loss.dtype == np.float32


def test_stop_sees_every_checkpoint_and_ends_the_run():
    net, data, split = helpers.problem()
    seen = []

    def stop(checkpoint):
        seen.append(checkpoint.round)
        assert checkpoint.clients is split
        return checkpoint.round >= 6

    stop.every = 3
    run = local_sgd.run(net, data, split, LocalSGD(0.3, 2, 20), stop=stop)
    assert seen == [0, 3, 6]
    assert run.stopped_at == 6
    assert run.trajectory.sizes["round"] == 7
    at_once = local_sgd.run(net, data, split, LocalSGD(0.3, 2, 20), stop=lambda checkpoint: True)  # noqa: ARG005
    assert at_once.stopped_at == 0


def test_stop_and_gram_keep_their_own_cadence():
    net, data, split = helpers.problem()
    seen = []
    stop = lambda checkpoint: seen.append(checkpoint.round)  # noqa: E731 (never true)
    stop.every = 3
    run = local_sgd.run(net, data, split, LocalSGD(0.3, 2, 13), stop=stop, observe=("gram_movement",), gram_every=2)
    assert seen == [0, 3, 6, 9, 12]
    np.testing.assert_array_equal(run.trajectory.gram_round, [0, 2, 4, 6, 8, 10, 12])


@pytest.mark.parametrize("most", [1, 2, 5])
def test_gram_matrices_come_from_the_weights_of_their_rounds_in_chunks_of_any_length(monkeypatch, most):
    """Beside runs that end there: chunks of other lengths round otherwise, by a few units of float64."""
    net, data, split = helpers.problem()
    seen = Observable(
        "norm", "gram", ("gram_round",), "1", "‖W‖", lambda state: np.linalg.norm(state.network.trained[0])
    )
    monkeypatch.setattr(recording, "_MOST_AT_ONCE", most)
    stop = lambda checkpoint: checkpoint.round == 12  # noqa: E731
    stop.every = 4
    run = local_sgd.run(net, data, split, LocalSGD(0.3, 2, 20), observe=("gram_movement", seen), stop=stop)
    assert run.stopped_at == 12
    np.testing.assert_array_equal(run.trajectory.gram_round, np.arange(13))
    start = kernels.empirical_gram(net, data.inputs)
    for rounds in (1, 7, 12):
        there = local_sgd.run(net, data, split, LocalSGD(0.3, 2, rounds)).network
        change = kernels.empirical_gram(there, data.inputs) - start
        assert float(run.trajectory.norm[rounds]) == pytest.approx(np.linalg.norm(there.weights), rel=1e-12)
        assert float(run.trajectory.gram_movement[rounds]) == pytest.approx(np.linalg.norm(change, 2), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gram_matrix_of_a_network_that_does_not_move_does_not_either(dtype):
    """1,000 neurons: a quotient by m and a product with 1/m round differently, in whichever program."""
    net, data, split = helpers.problem()
    net = TwoLayerReLU.init(jax.random.key(0), width=1000, input_dim=data.input_dim, dtype=dtype)
    run = local_sgd.run(net, data, split, LocalSGD(1e-20, 1, 3), observe=("gram_movement",))
    assert (run.trajectory.gram_movement == 0).all()


def test_chunks_are_as_short_as_their_gram_matrices_are_large():
    net = TwoLayerReLU.init(jax.random.key(0), width=8, input_dim=4)
    few, many = (datasets.sphere(jax.random.key(0), n, 4) for n in (8, 1000))
    assert recording.rounds_at_once((net,), few, []) == 64
    assert recording.rounds_at_once((net,), few, [48, 36]) == 12
    assert recording.rounds_at_once((net,) * 2**15, few, []) == 1
    assert recording.rounds_at_once((net,), many, []) == 4  # 16 bytes of a million numbers each, in 64 MiB


def test_a_run_that_diverges_within_a_chunk_keeps_the_gram_matrices_before():
    net, data, split = helpers.problem()
    largest = np.linalg.eigvalsh(kernels.empirical_gram(net, data.inputs))[-1]
    run = local_sgd.run(net, data, split, LocalSGD(20 * 2 / largest, 1, 100), observe=("gram_movement",))
    assert 1 < run.diverged_at < 64
    np.testing.assert_array_equal(run.trajectory.gram_round, np.arange(run.diverged_at))
    assert np.isfinite(run.trajectory.gram_movement).all()


def test_a_diverging_run_is_recorded_with_its_round_and_ends_finite():
    data = datasets.sphere(jax.random.key(0), 32, 16)
    net = TwoLayerReLU.init(jax.random.key(0), width=256, input_dim=16)
    largest = np.linalg.eigvalsh(kernels.empirical_gram(net, data.inputs))[-1]
    split = clients.iid(jax.random.key(0), data, 1)
    config = LocalSGD(10 * 2 / largest, 1, 100)
    run = local_sgd.run(net, data, split, config, observe=("smallest_eigenvalue",), gram_every=100)
    assert run.diverged_at is not None
    assert 1 < run.diverged_at < 20
    assert run.trajectory.sizes["round"] == run.diverged_at
    assert np.isfinite(run.trajectory.loss).all()
    shorter = LocalSGD(config.step_size, 1, run.diverged_at - 1)
    again = local_sgd.run(net, data, split, shorter)
    np.testing.assert_array_equal(run.network.weights, again.network.weights)
    assert again.diverged_at is None


def test_on_images_a_huge_step_kills_the_network_instead():
    # All inputs are non-negative, so that one step too far switches every neuron off on every sample: f = 0 for ever.
    data = datasets.digits(16, classes=(3, 8), key=jax.random.key(0))
    net = TwoLayerReLU.init(jax.random.key(0), width=64, input_dim=64)
    largest = np.linalg.eigvalsh(kernels.empirical_gram(net, data.inputs))[-1]
    run = local_sgd.run(net, data, clients.iid(jax.random.key(0), data, 1), LocalSGD(20 * 2 / largest, 1, 100))
    assert run.diverged_at is None
    assert float(run.trajectory.loss[-1]) == 8.0  # ½ Σ y² with y = ±1
    assert not run.network.activation_patterns(data.inputs)[0].any()


NET, DATA, SPLIT = helpers.problem()


def _run(config=LocalSGD(0.1, 1, 1), *, net=NET, data=DATA, split=SPLIT, **options):  # noqa: B008
    return local_sgd.run(net, data, split, config, **options)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: LocalSGD(0.0, 1, 1), "step_size is 0"),
        (lambda: LocalSGD(float("nan"), 1, 1), "step_size is nan"),
        (lambda: LocalSGD(0.1, 0, 1), "local_steps is 0"),
        (lambda: LocalSGD(0.1, 1.5, 1), "local_steps is 1.5"),
        (lambda: LocalSGD(0.1, 1, -1), "num_rounds is -1"),
        (lambda: LocalSGD(0.1, 1, 1, batch_size=0), "batch_size is 0"),
        (lambda: LocalSGD(0.1, 1, 1, server_step_size=-1.0), "server_step_size is -1"),
        (lambda: _run(LocalSGD(0.1, 1, 1, batch_size=1)), "key is needed"),
        (lambda: _run(key=jax.random.key(0)), "key is needed"),
        (lambda: _run(observe=("lost",)), "'lost'"),
        (lambda: _run(gram_every=0), "gram_every is 0"),
        (lambda: _run(split=clients.Clients((np.arange(4),))), "clients hold 4 samples"),
        (lambda: _run(data=datasets.sphere(jax.random.key(0), 9, 5)), "dataset has 5 inputs"),
        (lambda: _run(data=datasets.from_arrays(DATA.inputs, np.ones((9, 2)))), "2 targets a row"),
    ],
)
def test_bad_settings_get_one_sentence(call, named):
    with pytest.raises(InputError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)
