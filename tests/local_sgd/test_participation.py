"""Some of the clients a round, and local steps of a client's own: every way of computing rounds, and the prediction."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_localsgd import clients, local_sgd, networks, prediction
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.local_sgd.batches import draw, draw_participants
from ntk_localsgd.local_sgd.gradients import ClientData
from ntk_localsgd.local_sgd.ways import shared
from tests import helpers

# Some hundred float64 sums in another order.
CLOSE = 1e-10

# Without weights of a client's own, client by client, or in lockstep.
WAYS = pytest.mark.parametrize("observe", [(), ("distance_from_start",), ("local_loss",)])
KEY = jax.random.key(9)


def _participants(config, split):
    return lambda t: np.asarray(draw_participants(KEY, t, split.num_clients, config.participants))


def _batches(config, split):
    if config.batch_size is None:
        return None
    return lambda t, k, c: np.asarray(draw(KEY, t, k, c, np.ones(split.sizes[c], bool), config.batch_size))


@WAYS
@pytest.mark.parametrize(
    ("steps", "batch_size", "participants"), [((4, 1, 2), None, None), ((1, 3, 2), 2, 2), (5, 1, 1)]
)
def test_runs_match_the_reference(steps, batch_size, participants, observe):
    net, data, split = helpers.problem(sizes=(4, 3, 3), input_dim=16)
    config = LocalSGD(0.4, steps, 5, batch_size, 0.8, participants)
    if not observe:
        assert shared.is_faster(net, ClientData.of(data, split, net), config.most_steps, batch_size)
    run = local_sgd.run(net, data, split, config, key=KEY if config.random else None, observe=observe)
    chosen = None if participants is None else _participants(config, split)
    paths, averages = helpers.local_sgd(net, data, split, config, _batches(config, split), chosen)
    np.testing.assert_allclose(run.network.weights, averages[-1], rtol=0, atol=CLOSE)
    losses = [helpers.loss(w, np.asarray(net.signs), data.inputs, data.targets) for w in averages]
    np.testing.assert_allclose(run.trajectory.loss, losses, rtol=CLOSE, atol=CLOSE)
    if not observe:
        return
    for t, c in itertools.product(range(config.num_rounds), range(3)):
        seen = run.trajectory[observe[0]].values[t + 1, :, c]
        taken = config.steps_of(split)[c] if observe[0] == "distance_from_start" else config.most_steps + 1
        idle = chosen is not None and c not in chosen(t)
        assert np.isnan(seen).tolist() == [idle or k >= taken for k in range(len(seen))]
        if observe[0] == "distance_from_start" and not idle:
            far = np.linalg.norm(paths[t][c, :taken] - averages[t], axis=(1, 2))
            np.testing.assert_allclose(seen[:taken], far, rtol=CLOSE, atol=CLOSE)


def test_deep_networks_together_go_the_way_that_one_goes_in_lockstep():
    _, data, split = helpers.problem(sizes=(3, 4, 3))
    nets = [
        networks.DeepReLU.init(jax.random.key(seed), width=32, depth=2, input_dim=6, dtype=np.float64)
        for seed in range(2)
    ]
    config, keys = LocalSGD(0.02, (1, 3, 2), 4, participants=2), list(jax.random.split(KEY, 2))
    # The summed gradient is that of all clients, which the participants' steps must not take for theirs.
    together = local_sgd.run_seeds(nets, data, split, config, keys=keys, observe=("gradient_norm",))
    names = ("client_drift", "gradient_norm")
    alone = local_sgd.run(nets[1], data, split, config, key=keys[1], observe=names)
    for mine, other in zip(together[1].network.trained, alone.network.trained, strict=True):
        np.testing.assert_allclose(mine, other, rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(together[1].trajectory.gradient_norm, alone.trajectory.gradient_norm, rtol=CLOSE)


def test_all_clients_drawn_is_all_clients_and_batches_stay_those_of_the_key():
    net, data, split = helpers.problem(sizes=(4, 3, 3))
    runs = [
        local_sgd.run(net, data, split, LocalSGD(0.4, 3, 4, 2, participants=number), key=KEY) for number in (None, 3)
    ]
    np.testing.assert_allclose(runs[1].network.weights, runs[0].network.weights, rtol=0, atol=CLOSE)


def test_participants_are_a_uniform_set_of_their_own_stream():
    keys, everyone = jax.random.split(KEY, 600), jnp.ones(4, bool)
    sets = jax.vmap(lambda key: draw_participants(key, 3, 4, 2))(keys).tolist()
    counts = [sets.count(list(pair)) for pair in itertools.combinations(range(4), 2)]
    assert sum(counts) == 600
    # Six sets of probability 1/6 each, six standard deviations: √(600·5/36) ≈ 9.1.
    assert max(abs(count - 100) for count in counts) < 6 * 9.2
    batches = jnp.sort(jax.vmap(lambda key: draw(key, 3, 0, 0, everyone, 2))(keys)).tolist()
    assert sum(a == b for a, b in zip(sets, batches, strict=True)) < 100 + 6 * 9.2


def test_predicted_moments_are_the_means_over_all_sets_of_participants():
    rng = np.random.default_rng(0)
    factor, start = rng.standard_normal((6, 9)), rng.standard_normal(6)
    gram, split = factor @ factor.T / 9, clients.Clients((np.arange(3), np.array([3]), np.array([4, 5])))
    config = LocalSGD(0.3, (1, 3, 2), 2, None, 0.9, 2)
    runs = [start]
    norms, means = [float(start @ start)], [start]
    for _ in range(config.num_rounds):
        after = []
        for r, chosen in itertools.product(runs, itertools.combinations(range(3), 2)):
            gained = np.zeros(6)
            for c in chosen:
                part, local = split.indices[c], r[split.indices[c]]
                for _ in range(config.local_steps[c]):
                    gained[part] += config.step_size * local
                    local = local - config.step_size * gram[np.ix_(part, part)] @ local
            after.append(r - 0.9 / 2 * gram @ gained)
        runs = after
        norms.append(float(np.mean([r @ r for r in runs])))
        means.append(np.mean(runs, axis=0))
    np.testing.assert_allclose(prediction.local_sgd_second_moment(gram, split, start, config), norms, rtol=1e-12)
    np.testing.assert_allclose(prediction.local_sgd_mean(gram, split, start, config), means, rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="participants 2, but local_gd is about runs that no chance decides"):
        prediction.local_gd(gram, split, start, config)


@pytest.mark.parametrize(
    ("config", "key", "words"),
    [
        (LocalSGD(0.1, 1, 1, participants=4), KEY, "participants is 4, needs to be at most K = 3"),
        (LocalSGD(0.1, 1, 1, participants=2), None, "key is needed when batch_size or participants is set"),
        (LocalSGD(0.1, (1, 2), 1), None, "local_steps are 2 numbers, need to be one or 3, one a client"),
    ],
)
def test_what_does_not_fit_is_one_sentence(config, key, words):
    with pytest.raises(InputError, match=words):
        local_sgd.run(*helpers.problem(), config, key=key)


@pytest.mark.parametrize("wrong", [{"participants": 0}, {"local_steps": (1, 0)}, {"local_steps": ()}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        LocalSGD(**({"step_size": 0.1, "local_steps": 1, "num_rounds": 1} | wrong))
