"""What federated learning libraries run: every option against a loop in NumPy, in every way of computing rounds."""

import jax
import numpy as np
import pytest

from ntk_localsgd import clients, local_sgd
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import Adam, LocalSGD, Momentum, epoch_steps
from ntk_localsgd.local_sgd.batches import draw, draw_participants
from ntk_localsgd.local_sgd.gradients import ClientData
from ntk_localsgd.local_sgd.ways import ClientRule, Plan, choose, lockstep, one_by_one, shared
from tests import helpers
from tests.local_sgd import practised

# Some hundred float64 sums in another order; Adam divides by no less than its ε, 1e-3.
CLOSE = 1e-10
KEY = jax.random.key(4)
SIZES = (4, 3, 2)
NET, DATA, SPLIT = helpers.problem(seed=3, sizes=SIZES, input_dim=16, width=24)

# Client by client or without weights of a client's own, in lockstep; and client by client with steps observed.
WAYS = [(), ("local_loss",)]

OPTIONS = {
    "samples": {"client_weights": "samples"},
    "own weights, participants": {"client_weights": (3.0, 1.0, 0.5), "participants": 2},
    "means": {"reduction": "mean", "step_size": 1.0},
    "client momentum": {"client_momentum": 0.8},
    "proximal": {"proximal": 0.7},
    "weight decay": {"weight_decay": 0.3},
    "factors": {"step_factors": (1.0, 0.5, 2.0, 0.25, 1.0)},
    "server momentum": {"server": Momentum(0.7)},
    "adam": {"server": Adam(epsilon=1e-3), "server_step_size": 0.05},
    "published adam": {"server": Adam(0.8, 0.99, 1e-3, corrected=False), "server_step_size": 0.05},
    "short batches": {"batch_size": 3},
    "epochs": {"batch_size": 2, "batches": "epochs", "local_steps": epoch_steps(SPLIT, 2, 2)},
    "fedavg": {
        "batch_size": 3, "batches": "epochs", "local_steps": epoch_steps(SPLIT, 3, 2), "reduction": "mean",
        "client_weights": "samples", "participants": 2, "client_momentum": 0.5, "weight_decay": 0.1, "proximal": 0.2,
        "server": Momentum(0.5), "step_factors": (1.0, 0.9, 0.8, 0.7, 0.6),
    },
}  # fmt: skip


def _config(**options):
    return LocalSGD(**({"step_size": 0.4, "local_steps": 3, "num_rounds": 5} | options))


def _batches(config, split):
    if config.batch_size is None:
        return None
    everyone = [np.ones(size, bool) for size in split.sizes]

    def batch(t, k, c):
        if config.batches == "independent":
            size = min(config.batch_size, split.sizes[c])
            return np.asarray(draw(KEY, t, k, c, everyone[c], size))
        return practised.walked(
            lambda e: np.asarray(draw(KEY, t, e, c, everyone[c], split.sizes[c])), k, config.batch_size
        )

    return batch


def _expected(config, net=NET, split=SPLIT):
    chosen = None
    if config.participants is not None:
        chosen = lambda t: np.asarray(draw_participants(KEY, t, split.num_clients, config.participants))  # noqa: E731
    return practised.averages(net, DATA, split, config, _batches(config, split), chosen)


@pytest.mark.parametrize(
    ("name", "observe"),
    [*((name, observe) for name in OPTIONS for observe in WAYS), ("fedavg", ("distance_from_start",))],
)
def test_every_option_is_the_loop_in_numpy(name, observe):
    config = _config(**OPTIONS[name])
    run = local_sgd.run(NET, DATA, SPLIT, config, key=KEY if config.random else None, observe=observe)
    expected = _expected(config)
    assert np.abs(expected[-1] - expected[0]).max() > 1e-2  # it moves
    np.testing.assert_allclose(run.network.weights, expected[-1], rtol=0, atol=CLOSE)
    losses = [helpers.loss(w, np.asarray(NET.signs), DATA.inputs, DATA.targets) for w in expected]
    np.testing.assert_allclose(run.trajectory.loss, losses, rtol=CLOSE, atol=CLOSE)


def test_an_order_visits_every_sample_once_and_the_next_one_is_another():
    config = _config(batch_size=2, batches="epochs", local_steps=4)
    batch = _batches(config, SPLIT)
    orders = [np.concatenate([batch(0, k, 0) for k in pair]).tolist() for pair in ((0, 1), (2, 3))]
    assert [sorted(order) for order in orders] == [[0, 1, 2, 3]] * 2
    assert orders[0] != orders[1]
    assert [len(batch(0, k, 1)) for k in range(4)] == [2, 1, 2, 1]


def test_what_no_way_without_own_weights_knows_goes_another_way():
    data = ClientData.of(DATA, SPLIT, NET)
    plain = Plan(3, None)
    assert choose(NET, data, plain) is shared
    for options in OPTIONS.values():
        config = _config(**options)
        plan = Plan(3, config.batch_size, rule=ClientRule.of(config), weighted=config.client_weights != "uniform")
        takes = config.client_weights == "uniform" and ClientRule.of(config) == ClientRule()
        assert choose(NET, data, plan) is (shared if takes else one_by_one)
    watched = Plan(3, None, at_steps=(local_sgd.OBSERVABLES["local_loss"],))
    assert choose(NET, data, watched) is lockstep


@pytest.mark.parametrize("server", [Momentum(0.9), Adam(epsilon=1e-3)], ids=["momentum", "adam"])
def test_a_server_that_remembers_goes_on_where_it_was(server):
    config, half = (_config(server=server, server_step_size=0.1, num_rounds=rounds) for rounds in (6, 2))
    first, whole = (local_sgd.run(NET, DATA, SPLIT, each) for each in (half, config))
    point = local_sgd.Checkpoint(first.network, 2, DATA, SPLIT, half, server=first.server)
    rest = local_sgd.run(NET, DATA, SPLIT, config, resume=point)
    np.testing.assert_allclose(rest.network.weights, whole.network.weights, rtol=0, atol=1e-13)
    together = local_sgd.run_seeds([NET, NET], DATA, SPLIT, config, resume=[point, point])
    np.testing.assert_allclose(together[1].network.weights, whole.network.weights, rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="resume has no server state"):
        local_sgd.run(NET, DATA, SPLIT, config, resume=local_sgd.Checkpoint(first.network, 2, DATA, SPLIT, half))


def test_movement_is_measured_from_the_reference():
    start = NET.with_trained((NET.weights + 0.3,))
    names, config = ("frobenius_movement", "flip_fraction", "gram_movement"), _config()
    run = local_sgd.run(start, DATA, SPLIT, config, observe=names, reference=NET)
    plain = local_sgd.run(start, DATA, SPLIT, config)
    np.testing.assert_allclose(run.trajectory.loss, plain.trajectory.loss, rtol=1e-12)
    assert run.trajectory.frobenius_movement[0] == pytest.approx(0.3 * np.sqrt(NET.weights.size))
    before, after = (np.asarray(net.activation_patterns(DATA.inputs)[0]) for net in (NET, start))
    assert run.trajectory.flip_fraction[0] == pytest.approx(np.mean(before != after))
    assert run.trajectory.gram_movement[0] > 0
    other = type(NET)(NET.weights, -NET.signs)
    with pytest.raises(InputError, match="needs the same fixed ones"):
        local_sgd.run(start, DATA, SPLIT, config, reference=other)


def test_many_networks_go_the_way_of_one():
    config = _config(server=Momentum(0.5), client_weights="samples", step_factors=np.linspace(1, 2, 9))
    together = local_sgd.run_seeds([NET, NET], DATA, SPLIT, config)
    np.testing.assert_allclose(together[1].network.weights, _expected(config)[-1], rtol=0, atol=CLOSE)


@pytest.mark.parametrize("name", ["fedavg", "adam"])
def test_options_run_under_strict_promotion(name):
    net = jax.tree.map(lambda leaf: leaf.astype(np.float32), NET)
    config = _config(**OPTIONS[name] | {"num_rounds": 2})
    key = KEY if config.random else None
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        strict = local_sgd.run(net, DATA, SPLIT, config, key=key)
    assert strict.network.weights.dtype == np.float32
    np.testing.assert_allclose(strict.network.weights, _expected(config)[-1], rtol=0, atol=1e-5)


def test_settings_show_what_differs_and_files_hold_them():
    config = _config(client_weights=[1, 2, 3], server=Adam(), proximal=np.float32(0.5))
    assert repr(config) == (
        "LocalSGD(step_size=0.4, local_steps=3, num_rounds=5, client_weights=(1.0, 2.0, 3.0), proximal=0.5, "
        "server=Adam(decay=0.9, square_decay=0.999, epsilon=1e-08, corrected=True))"
    )
    assert hash(config) == hash(_config(client_weights=(1.0, 2.0, 3.0), server=Adam(), proximal=0.5))
    attributes = local_sgd.run(NET, DATA, SPLIT, config).trajectory.attrs
    assert attributes["client_weights"].tolist() == [1, 2, 3]
    assert attributes["server"].startswith("Adam(")
    assert list(attributes)[:3] == ["step_size", "local_steps", "num_rounds"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"client_weights": "sizes"}, "client_weights is 'sizes', needs to be uniform, samples"),
        ({"client_weights": (1.0, 0.0)}, "client_weights hold 0, need to be positive"),
        ({"batches": "epochs"}, "'epochs', which needs a batch_size"),
        ({"batches": "shuffled"}, "needs to be independent or epochs"),
        ({"reduction": "max"}, "needs to be sum or mean"),
        ({"step_factors": (1.0, 2.0)}, "step_factors are 2, need to be one for each of 5 rounds"),
        ({"client_momentum": -0.1}, "client_momentum is -0.1, needs to be finite and at least 0"),
        ({"proximal": np.nan}, "proximal is nan"),
        ({"server": "adam"}, "needs to be a Momentum, an Adam or None"),
    ],
)
def test_settings_out_of_range_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        _config(**options)


def test_servers_out_of_range_and_weights_of_other_clients_are_refused():
    with pytest.raises(InputError, match="decay is 1, needs to be below 1"):
        Momentum(1.0)
    with pytest.raises(InputError, match=r"epsilon is 0\.0"):
        Adam(epsilon=0.0)
    with pytest.raises(InputError, match="client_weights are 2 numbers, need to be 3"):
        local_sgd.run(NET, DATA, SPLIT, _config(client_weights=(1.0, 2.0)))
    assert epoch_steps(clients.Clients((np.arange(5), np.array([5]))), 2) == (3, 1)
