"""Predictions against closed forms, neural-tangents, Monte-Carlo of the same recursion, and trained wide networks."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from ntk_localsgd import clients, datasets, kernels, local_sgd, prediction
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels.neural_tangents import neural_tangents
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.networks import TwoLayerReLU

KEY = jax.random.key(3)
DATA = datasets.digits(24, classes=(3, 8), key=KEY)
GRAM = kernels.infinite_gram(DATA.inputs)
RESIDUAL = -DATA.targets + np.linspace(-0.5, 0.5, 24)
UNEQUAL = Clients((np.array([7]), np.arange(7), np.arange(8, 24)))
ONE = Clients((np.arange(24),))


def step_size(split: Clients) -> float:
    return 0.9 / max(np.linalg.eigvalsh(GRAM[np.ix_(s, s)])[-1] for s in split.indices)


def loop(gram, split, residual, eta, tau, rounds, server=1.0):
    """The recursion written out: every client's local steps one by one, then the server's step."""
    history = [residual]
    for _ in range(rounds):
        weights = np.zeros_like(residual)
        for s in split.indices:
            r = residual[s].copy()
            for _ in range(tau):
                weights[s] += eta * r
                r = r - eta * gram[np.ix_(s, s)] @ r
        residual = residual - server / split.num_clients * gram @ weights
        history.append(residual)
    return np.array(history)


@pytest.mark.parametrize("server", [1.0, 0.7])
@pytest.mark.parametrize("tau", [1, 6])
def test_local_gd_is_the_recursion_step_by_step_for_unequal_clients(tau, server):
    eta = step_size(UNEQUAL)
    predicted = prediction.local_gd(GRAM, UNEQUAL, RESIDUAL, LocalSGD(eta, tau, 30, server_step_size=server))
    # 30 contracting rounds of sums over 24 terms.
    np.testing.assert_allclose(predicted, loop(GRAM, UNEQUAL, RESIDUAL, eta, tau, 30, server), rtol=0, atol=1e-12)


def test_one_client_is_gradient_descent_in_closed_form():
    eta, (values, vectors) = step_size(ONE), np.linalg.eigh(GRAM)
    predicted = prediction.local_gd(GRAM, ONE, RESIDUAL, LocalSGD(eta, 7, 10))
    expected = vectors * (1 - eta * values) ** 70 @ vectors.T @ RESIDUAL
    np.testing.assert_allclose(predicted[-1], expected, rtol=0, atol=1e-12)


def test_one_local_step_is_synchronous_gradient_descent():
    eta = step_size(UNEQUAL)
    predicted = prediction.local_gd(GRAM, UNEQUAL, RESIDUAL, LocalSGD(eta, 1, 12))
    step = np.eye(24) - eta / 3 * GRAM
    np.testing.assert_allclose(predicted[-1], np.linalg.matrix_power(step, 12) @ RESIDUAL, rtol=0, atol=1e-12)


def test_small_steps_are_gradient_flow_as_neural_tangents_solves_it():
    eta, time = 1e-5, 3.0
    rounds = round(time / (eta / 2 * 5))  # two clients of half weight, five local steps each
    half = Clients((np.arange(12), np.arange(12, 24)))
    predicted = prediction.local_gd(GRAM, half, RESIDUAL, LocalSGD(eta, 5, rounds))[-1]
    # neural-tangents' loss is the mean over samples.
    flow = neural_tangents().predict.gradient_descent_mse(GRAM, np.zeros((24, 1)), learning_rate=1.0)
    expected = np.asarray(flow(time * 24, RESIDUAL[:, None], None)).ravel()
    # First order in η·τ·λ_max = 5e-5·λ_max, over a time in which the residual moves by its own size.
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=5e-5 * np.linalg.eigvalsh(GRAM)[-1] * time)


def test_many_local_steps_are_damped_block_jacobi():
    eta = step_size(UNEQUAL)
    predicted = prediction.local_gd(GRAM, UNEQUAL, RESIDUAL, LocalSGD(eta, 10**6, 9))
    inverse = np.zeros_like(GRAM)
    for s in UNEQUAL.indices:
        inverse[np.ix_(s, s)] = np.linalg.inv(GRAM[np.ix_(s, s)])
    expected = np.linalg.matrix_power(np.eye(24) - GRAM @ inverse / 3, 9) @ RESIDUAL
    # The blocks' condition numbers, below 1e4, times roundings.
    np.testing.assert_allclose(predicted[-1], expected, rtol=0, atol=1e-9)


def test_accumulated_weights_are_exact_for_tiny_zero_and_large_eigenvalues():
    values, eta, tau = np.array([0.0, 1e-300, 1e-18, 1e-9, 0.3, 1.0, 1.5, 2.5]), 1.0, 9
    powers = (1 - values)[:, None] ** np.arange(tau)
    np.testing.assert_allclose(prediction.accumulated(values, eta, tau), powers.sum(axis=1), rtol=1e-14)


@pytest.mark.parametrize("tau", [1, 5, 50])
def test_contraction_is_the_norm_of_the_operator_and_bounds_every_round(tau):
    eta = step_size(UNEQUAL)
    found = prediction.contraction(GRAM, UNEQUAL, LocalSGD(eta, tau, 0))
    operator = prediction.round_operator(GRAM, UNEQUAL, LocalSGD(eta, tau, 0))
    eigenvalues = scipy.linalg.eigvals(operator)
    # A non-symmetric eigenvalue is off by at most κ(M)^{1/2} times a few roundings of a norm near 1.
    assert np.abs(eigenvalues).max() == pytest.approx(found.asymptotic_rate, abs=1e-10)
    assert np.abs(eigenvalues.imag).max() < 1e-10
    assert 0 <= found.norm < 1
    assert found.operator_norm == pytest.approx(np.linalg.norm(operator, 2), rel=1e-12)
    weights = prediction.round_weights(GRAM, UNEQUAL, LocalSGD(eta, tau, 0))
    norms = [np.sqrt(r @ weights @ r) for r in prediction.local_gd(
        GRAM, UNEQUAL, RESIDUAL, LocalSGD(eta, tau, 20))]  # fmt: skip
    assert all(after <= found.norm * before * (1 + 1e-12) for before, after in itertools.pairwise(norms))


def test_the_euclidean_norm_may_exceed_one_while_the_recursion_converges():
    angles = np.linspace(0, np.pi, 12, endpoint=False)
    plane = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    gram = kernels.infinite_gram(plane)
    split = Clients((np.arange(6), np.arange(6, 12)))  # two sectors
    eta = 0.9 / max(np.linalg.eigvalsh(gram[np.ix_(s, s)])[-1] for s in split.indices)
    found = prediction.contraction(gram, split, LocalSGD(eta, 500, 0))
    assert found.operator_norm > 1.3
    assert found.norm < 1


def test_contraction_says_when_local_steps_diverge():
    eta = 2.5 * step_size(ONE)
    found = prediction.contraction(GRAM, ONE, LocalSGD(eta, 2, 0))
    assert found.norm == np.inf
    assert found.asymptotic_rate > 1


def simulate(rng, split, eta, tau, batch, rounds, trials):
    """Monte-Carlo of the minibatch recursion: ‖r‖² and r at the end, for every trial."""
    r = np.tile(RESIDUAL, (trials, 1))
    for _ in range(rounds):
        weights = np.zeros_like(r)
        for s in split.indices:
            local = r[:, s]
            for _ in range(tau):
                order = rng.random(local.shape).argsort(axis=1)
                drawn = np.where(order < batch, local, 0)
                weights[:, s] += eta * drawn
                local = local - eta * drawn @ GRAM[np.ix_(s, s)]
        r = r - weights @ GRAM / split.num_clients
    return (r**2).sum(axis=1), r


@pytest.mark.parametrize("batch", [1, 3])
def test_second_moment_and_mean_lie_inside_monte_carlo_intervals(batch):
    split, trials, rounds = Clients((np.arange(3), np.arange(3, 10), np.arange(10, 24))), 10_000, 3
    config = LocalSGD(step_size(split), 4, rounds, batch)
    squares, ends = simulate(np.random.default_rng(0), split, config.step_size, 4, batch, rounds, trials)
    expected = prediction.local_sgd_second_moment(GRAM, split, RESIDUAL, config)[-1]
    # A fixed seed; each interval would miss for one seed in ten thousand.
    level = scipy.stats.t.ppf(1 - 0.5e-4, trials - 1)
    assert abs(squares.mean() - expected) <= level * scipy.stats.sem(squares)
    mean = prediction.local_sgd_mean(GRAM, split, RESIDUAL, config)[-1]
    level = scipy.stats.t.ppf(1 - 0.5e-4 / 24, trials - 1)
    assert np.all(np.abs(ends.mean(axis=0) - mean) <= level * scipy.stats.sem(ends, axis=0) + 1e-12)
    # The moment is above the square of the mean, by more than the interval: the noise is seen.
    assert expected - mean @ mean > level * scipy.stats.sem(squares)


def ends_of_all_batches(gram, split, start, eta, tau, batch, rounds):
    """r after some rounds, [runs n], one for every choice of batches at every step: all are equally likely."""
    ends = [start]
    for _ in range(rounds):
        weights = [[] for _ in ends]  # [start][client][choice]: what a client's steps add up to
        for r, found in zip(ends, weights, strict=True):
            for s in split.indices:
                choices = list(itertools.combinations(range(len(s)), batch))
                found.append([])
                for drawn in itertools.product(choices, repeat=tau):
                    local, total = r[s], np.zeros(len(r))
                    for chosen in map(list, drawn):
                        step = np.zeros(len(s))
                        step[chosen] = eta * local[chosen]
                        total[s] += step
                        local = local - gram[np.ix_(s, s)] @ step
                    found[-1].append(total)
        ends = [
            r - gram @ sum(taken) / split.num_clients
            for r, found in zip(ends, weights, strict=True)
            for taken in itertools.product(*found)
        ]
    return np.array(ends)


@pytest.mark.parametrize("batch", [1, 2])
def test_second_moment_and_mean_are_those_over_all_batches(batch):
    gram, start = GRAM[:5, :5], RESIDUAL[:5] * np.array([1, -2, 3, 1, -1])
    split = Clients((np.array([3, 0]), np.array([1, 4, 2])))
    config = LocalSGD(1.1, 2, 2, batch)
    ends = ends_of_all_batches(gram, split, start, 1.1, 2, batch, 2)
    moments = prediction.local_sgd_second_moment(gram, split, start, config)
    # Sums over at most 1,296 runs.
    assert moments[-1] == pytest.approx((ends**2).sum(axis=1).mean(), rel=1e-12)
    np.testing.assert_allclose(
        prediction.local_sgd_mean(gram, split, start, config)[-1], ends.mean(axis=0), rtol=0, atol=1e-12
    )


def test_full_batches_leave_no_noise():
    equal = Clients((np.arange(12), np.arange(12, 24)))
    config = LocalSGD(step_size(equal), 5, 12)
    drawn = dataclasses.replace(config, batch_size=12)
    moments = prediction.local_sgd_second_moment(GRAM, equal, RESIDUAL, drawn)
    path = prediction.local_gd(GRAM, equal, RESIDUAL, config)
    np.testing.assert_allclose(moments, (path**2).sum(axis=1), rtol=1e-11)
    np.testing.assert_array_equal(prediction.local_sgd_mean(GRAM, equal, RESIDUAL, drawn), path)  # the same operator


def test_wide_networks_follow_the_prediction_and_narrow_ones_less():
    split = clients.by_label(KEY, DATA, 3)
    errors = []
    for width in (2**9, 2**13):
        net = TwoLayerReLU.init(KEY, width=width, input_dim=DATA.input_dim, dtype=np.float64)
        theta = np.asarray(kernels.empirical_gram(net, DATA.inputs))
        eta = 0.5 / np.linalg.eigvalsh(theta)[-1]
        config = LocalSGD(eta, 5, 20)
        run = local_sgd.run(net, DATA, split, config)
        residual = np.asarray(net(DATA.inputs)) - DATA.targets
        path = prediction.local_gd(theta, split, residual, config)
        losses = (path**2).sum(axis=1) / 2
        errors.append(np.abs(run.trajectory.loss.values / losses - 1).max())
    # Slope −½ from a factor of 16 in width: four times smaller, with room of two for two single networks.
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.05


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"gram": GRAM[:5, :5]}, "gram has shape"),
        ({"gram": np.full((24, 24), np.nan)}, "gram.* is nan, needs to be finite"),
        ({"gram": np.triu(GRAM)}, "transpose"),
        ({"residual": RESIDUAL[:5]}, "residual has shape"),
        ({"residual": RESIDUAL * np.nan}, "residual.* is nan"),
        ({"config": LocalSGD(0.1, (2, 1), 3, 2)}, "local_steps are 2 numbers, need to be one or 3"),
    ],
)
def test_impossible_requests_are_refused_in_one_sentence(change, sentence):
    given = {"gram": GRAM, "clients": UNEQUAL, "residual": RESIDUAL, "config": LocalSGD(0.1, 2, 3, 1)} | change
    with pytest.raises(InputError, match=sentence):
        prediction.local_sgd_second_moment(**given)


def test_a_batch_size_is_refused_where_it_would_be_ignored():
    with pytest.raises(InputError, match="batch_size 1, but local_gd is about full batches"):
        prediction.local_gd(GRAM, UNEQUAL, RESIDUAL, LocalSGD(0.1, 2, 3, 1))


@pytest.mark.parametrize("kind", ["digits", "sphere"])
def test_laziness_is_the_movement_of_wide_networks_and_bounds_their_flips(kind):
    data = DATA if kind == "digits" else datasets.sphere(KEY, 24, 48)
    split, x = clients.iid(KEY, data, 3), np.asarray(data.inputs)
    net = TwoLayerReLU.init(KEY, width=2**12, input_dim=data.input_dim, dtype=np.float64)
    theta = np.asarray(kernels.empirical_gram(net, x))
    config = LocalSGD(0.9 / np.linalg.eigvalsh(theta)[-1], 5, 20)
    found = prediction.laziness(theta, split, np.asarray(net(x)) - data.targets, config, width=net.width)
    run = local_sgd.run(net, data, split, config)
    before, after = np.asarray(net.weights), np.asarray(run.network.weights)
    # To leading order in m^{-1/2} = 1.6%.
    assert np.linalg.norm(after - before) == pytest.approx(found.movement, rel=0.03)
    flips = ((before @ x.T >= 0) != (after @ x.T >= 0)).mean()
    assert flips <= found.flips < 8 * flips
    moved = np.linalg.norm(after - before, axis=1).max()
    assert moved <= found.neuron_movement < 8 * moved


def test_laziness_falls_with_the_width_and_says_when_a_run_diverges():
    config = LocalSGD(step_size(ONE), 5, 20)
    few, many = (prediction.laziness(GRAM, ONE, RESIDUAL, config, width=m) for m in (100, 10_000))
    assert few.movement == many.movement
    assert few.neuron_movement == pytest.approx(10 * many.neuron_movement)
    assert many.flips < few.flips < 0.5
    assert few.flips == pytest.approx(10 * many.flips, rel=0.2)  # erf bends
    # Sample by sample: the weights a with Θa = r(0) − r(t) move W by aᵀΘa.
    gained = np.linalg.solve(GRAM, RESIDUAL - prediction.local_gd(GRAM, ONE, RESIDUAL, config)[-1])
    assert few.movement == pytest.approx(np.sqrt(gained @ GRAM @ gained), rel=1e-6)  # κ(Θ) of about 1e4
    diverged = prediction.laziness(GRAM, ONE, RESIDUAL, LocalSGD(100 * config.step_size, 5, 200), width=100)
    assert diverged == (np.inf, np.inf, 0.5)
    with pytest.raises(InputError, match="width is 0"):
        prediction.laziness(GRAM, ONE, RESIDUAL, config, width=0)


@pytest.mark.parametrize("steps", [200, 201, 10**6])
def test_local_steps_that_leave_float64_are_infinite_or_refused(steps):
    config = LocalSGD(1e3, steps, 3)
    assert prediction.contraction(GRAM, UNEQUAL, config) == (np.inf, np.inf, np.inf)
    with pytest.raises(InputError, match="local steps leave float64's range: needs to be below 2/λ_max"):
        prediction.local_gd(GRAM, UNEQUAL, RESIDUAL, config)


def test_a_diverging_recursion_is_infinite_and_never_no_number():
    config = LocalSGD(1e3, 5, 2000)
    for values in (
        prediction.local_gd(GRAM, UNEQUAL, RESIDUAL, config),
        prediction.local_sgd_second_moment(GRAM, UNEQUAL, RESIDUAL, config),
    ):
        assert np.isfinite(values[:3]).all()
        assert (values[-1] == np.inf).all()
        assert not np.isnan(values).any()
    assert prediction.contraction(GRAM, UNEQUAL, config).operator_norm > 1


@pytest.mark.parametrize(("residual", "words"), [
    (1e200 * RESIDUAL, "residual holds .*e.200, needs to be at most 1e.140: use smaller targets"),
    (RESIDUAL + 0j, "residual holds complex"),
    (np.ma.masked_less(RESIDUAL, 0), "masked"),
    (RESIDUAL.reshape(2, 12), "residual has shape"),
])  # fmt: skip
def test_residuals_that_cannot_be_served_are_refused_in_one_sentence(residual, words):
    with pytest.raises(InputError, match=words):
        prediction.local_gd(GRAM, UNEQUAL, residual, LocalSGD(0.1, 2, 3))


def test_a_column_of_residuals_is_read_as_a_vector_and_too_many_rounds_are_refused():
    column, plain = (prediction.local_gd(GRAM, UNEQUAL, r, LocalSGD(0.1, 2, 3)) for r in (RESIDUAL[:, None], RESIDUAL))
    np.testing.assert_array_equal(column, plain)
    with pytest.raises(InputError, match=r"num_rounds is 2,000,000,000, needs to be below 44,739,242 for 24 samples"):
        prediction.local_gd(GRAM, UNEQUAL, RESIDUAL, LocalSGD(0.1, 2, 2 * 10**9))


def test_a_planted_direction_needs_the_server_step_in_the_rate():
    # One client: B = (1 − η_g) I + η_g P^τ; at η_g = 1.9 the fastest direction overshoots and alone decides the rate.
    config = LocalSGD(step_size(ONE), 50, 1, server_step_size=1.9)
    found, plain = (prediction.contraction(GRAM, ONE, dataclasses.replace(config, server_step_size=s)).norm
                    for s in (1.9, 1.0))  # fmt: skip
    fastest = np.linalg.eigh(GRAM)[1][:, -1]
    before, after = prediction.local_gd(GRAM, ONE, fastest, config)
    ratio = np.linalg.norm(after) / np.linalg.norm(before)
    assert ratio == pytest.approx(0.9, abs=1e-9)
    assert ratio <= found * (1 + 1e-12)
    timid = prediction.contraction(GRAM, ONE, dataclasses.replace(config, server_step_size=0.1)).norm
    slowest = np.linalg.eigh(GRAM)[1][:, 0]
    before, after = prediction.local_gd(GRAM, ONE, slowest, dataclasses.replace(config, server_step_size=0.1))
    kept = np.linalg.norm(after) / np.linalg.norm(before)
    # Without the server's step the rate would be that of η_g = 1, and false.
    assert plain < kept <= timid * (1 + 1e-12)
