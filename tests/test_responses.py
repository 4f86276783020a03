"""Local SGD as it is practised, predicted: against a linear model's own weights, trained by the loop in NumPy."""

import itertools

import numpy as np
import pytest

from ntk_localsgd import conventions, diagnosis, prediction
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import Adam, LocalSGD, Momentum
from tests.local_sgd import practised

SPLIT = Clients((np.array([4, 0]), np.array([1, 2, 5]), np.array([3])))
RNG = np.random.default_rng(0)
JACOBIAN, START, TARGETS = RNG.standard_normal((6, 9)), RNG.standard_normal(9), RNG.standard_normal(6)
GRAM = JACOBIAN @ JACOBIAN.T
RESIDUAL = JACOBIAN @ START - TARGETS

OPTIONS = {
    "samples": {"client_weights": "samples"},
    "own weights": {"client_weights": (0.2, 5.0, 1.0)},
    "means": {"reduction": "mean"},
    "client momentum": {"client_momentum": 0.6},
    "proximal": {"proximal": 0.9},
    "factors": {"step_factors": (1.0, 0.5, 0.25, 2.0, 0.1, 1.0)},
    "server momentum": {"server": Momentum(0.7)},
    "all of it": {
        "client_weights": "samples", "reduction": "mean", "client_momentum": 0.6, "proximal": 0.9,
        "step_factors": (1.0, 0.5, 0.25, 2.0, 0.1, 1.0), "server": Momentum(0.3), "server_step_size": 0.8,
        "local_steps": (3, 1, 4),
    },
    "one batch an epoch": {"batch_size": 3, "batches": "epochs"},
}  # fmt: skip


def _config(**options):
    return LocalSGD(**({"step_size": 0.03, "local_steps": 3, "num_rounds": 6} | options))


def _slope(weights, own):
    return JACOBIAN[own].T @ (JACOBIAN[own] @ weights - TARGETS[own])


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_residuals_are_those_of_a_linear_model(options):
    config = _config(**options)
    path = practised.walk(START, _slope, SPLIT, config)
    predicted = prediction.local_gd(GRAM, SPLIT, RESIDUAL, config)
    np.testing.assert_allclose(predicted, path @ JACOBIAN.T - TARGETS, rtol=0, atol=1e-12)
    assert not np.allclose(predicted[-1], prediction.local_gd(GRAM, SPLIT, RESIDUAL, _config())[-1], atol=1e-3) or (
        config.batch_size is not None
    )
    # J has more columns than rows, so that the movement in weights is known as well.
    moved = prediction.laziness(GRAM, SPLIT, RESIDUAL, config, width=10).movement
    assert moved == pytest.approx(np.linalg.norm(path - START, axis=1).max(), rel=1e-10)


def _all_runs(config):
    """Residuals after one round for every set of participants and every sequence of batches, equally likely."""
    taking_part = itertools.combinations(range(3), config.participants or 3)
    drawn = [
        list(itertools.combinations(range(len(part)), min(config.batch_size or 9, len(part)))) for part in SPLIT.indices
    ]
    steps = [list(itertools.product(each, repeat=n)) for each, n in zip(drawn, config.steps_of(SPLIT), strict=True)]
    for chosen, sequences in itertools.product(taking_part, itertools.product(*steps)):
        batches = lambda t, k, c, of=sequences: np.array(of[c][k])  # noqa: ARG005, E731
        end = practised.walk(START, _slope, SPLIT, config, batches, lambda t, of=chosen: of)[-1]  # noqa: ARG005
        yield JACOBIAN @ end - TARGETS


@pytest.mark.parametrize(
    "options",
    [
        {"client_weights": (0.2, 5.0, 1.0), "participants": 2},
        {"client_weights": "samples", "batch_size": 2, "reduction": "mean", "step_factors": (0.7,)},
        {"client_weights": "samples", "batch_size": 1, "participants": 2, "local_steps": (2, 1, 3)},
    ],
)
def test_moments_are_means_over_all_that_may_be_drawn(options):
    config = _config(**({"num_rounds": 1, "local_steps": 2} | options))
    runs = np.array(list(_all_runs(config)))
    np.testing.assert_allclose(
        prediction.local_sgd_mean(GRAM, SPLIT, RESIDUAL, config)[1], runs.mean(axis=0), rtol=0, atol=1e-12
    )
    found = prediction.local_sgd_second_moment(GRAM, SPLIT, RESIDUAL, config)[1]
    assert found == pytest.approx(np.square(runs).sum(axis=1).mean(), rel=1e-11)


def test_means_with_momentum_and_batches_are_means_over_all_batches():
    config = _config(num_rounds=1, local_steps=2, batch_size=1, client_momentum=0.8, proximal=0.5)
    mean = np.mean(list(_all_runs(config)), axis=0)
    np.testing.assert_allclose(prediction.local_sgd_mean(GRAM, SPLIT, RESIDUAL, config)[1], mean, rtol=0, atol=1e-12)
    with pytest.raises(InputError, match=r"client_momentum is 0\.8, but the second moment does not cover that"):
        prediction.local_sgd_second_moment(GRAM, SPLIT, RESIDUAL, config)


@pytest.mark.parametrize("name", ["samples", "means", "client momentum", "proximal", "server momentum"])
def test_the_rate_is_what_many_rounds_show(name):
    config = _config(**OPTIONS[name])
    rate = prediction.contraction(GRAM, SPLIT, config).asymptotic_rate
    norms = np.linalg.norm(
        prediction.local_gd(GRAM, SPLIT, RESIDUAL, _config(**OPTIONS[name] | {"num_rounds": 400})), axis=1
    )
    # Modes of modulus 1 have no part in it, others that are close to the slowest have faded after 300 rounds.
    assert (norms[400] / norms[300]) ** 0.01 == pytest.approx(rate, rel=0.02)


def test_in_the_weighted_norm_no_round_lets_a_residual_grow_by_more_than_is_said():
    config = _config(client_weights=(0.2, 5.0, 1.0))
    found = prediction.contraction(GRAM, SPLIT, config)
    operator = prediction.round_operator(GRAM, SPLIT, config)
    assert found.norm == pytest.approx(np.abs(np.linalg.eigvals(operator)).max(), rel=1e-10)
    assert found.operator_norm == pytest.approx(np.linalg.norm(operator, 2), rel=1e-10)


def test_the_largest_stable_step_of_weighted_means():
    options = {"client_weights": "samples", "reduction": "mean"}
    config = _config(**options)
    largest = diagnosis.largest_stable_step(GRAM, SPLIT, config)
    rates = [
        prediction.contraction(GRAM, SPLIT, _config(**options, step_size=eta)).asymptotic_rate
        for eta in (0.999 * largest, 1.001 * largest)
    ]
    assert rates[0] <= 1 + 1e-9 < rates[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weight_decay": 0.1}, "weight_decay is 0.1, but prediction does not cover that: needs 0.0"),
        ({"server": Adam()}, "but prediction is linear in the weights"),
        ({"batch_size": 2, "batches": "epochs"}, "local_gd is about full batches"),
    ],
)
def test_what_has_no_recursion_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        prediction.local_gd(GRAM, SPLIT, RESIDUAL, _config(**options))


def test_parts_refuse_what_they_do_not_speak_of():
    shuffled = _config(batch_size=2, batches="epochs")
    with pytest.raises(InputError, match="prediction is about batches drawn independently"):
        prediction.local_sgd_mean(GRAM, SPLIT, RESIDUAL, shuffled)
    with pytest.raises(InputError, match="step_factors is 6 numbers, but contraction does not cover"):
        prediction.contraction(GRAM, SPLIT, _config(step_factors=(1,) * 6))
    with pytest.raises(InputError, match="server is Momentum"):
        prediction.round_operator(GRAM, SPLIT, _config(server=Momentum()))
    many = Clients(tuple(np.array([k]) for k in range(30)))
    with pytest.raises(InputError, match="needs at most 100,000 sets"):
        prediction.local_sgd_mean(
            np.eye(30), many, np.ones(30), _config(client_weights=tuple(range(1, 31)), participants=15)
        )
    with pytest.raises(InputError, match=r"proximal is 0\.1, but the table of conventions"):
        conventions.conventions(SPLIT, _config(proximal=0.1))


def test_several_outputs_are_rows_of_their_samples_clients():
    # Three samples of two outputs: rows 2i and 2i + 1 of the Jacobian belong to sample i.
    split = Clients((np.array([2]), np.array([0, 1])))
    config = _config(local_steps=4)

    def slope(weights, own):
        return _slope(weights, (2 * own[:, None] + np.arange(2)).ravel())

    gram = GRAM.reshape(3, 2, 3, 2).transpose(0, 2, 1, 3)
    path = practised.walk(START, slope, split, config)
    predicted = prediction.local_gd(*prediction.by_output(gram, split, RESIDUAL.reshape(3, 2)), config)
    np.testing.assert_allclose(predicted, path @ JACOBIAN.T - TARGETS, rtol=0, atol=1e-12)
