"""Diagnosis against closed forms, simulations and the definition of a gradient."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_localsgd import diagnosis, prediction
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels import empirical_gram
from ntk_localsgd.local_sgd import LocalSGD, run
from ntk_localsgd.networks import FrozenPatterns
from tests.helpers import gradient, problem

NET, DATA, SPLIT = problem(sizes=(3, 4, 1), width=400)
GRAM = np.asarray(empirical_gram(NET, DATA.inputs))
RESIDUAL = np.asarray(NET(DATA.inputs)) - DATA.targets
LARGEST = [np.linalg.eigvalsh(GRAM[np.ix_(part, part)])[-1] for part in SPLIT.indices]


def test_the_largest_stable_step_of_one_step_a_round_is_that_of_gradient_descent():
    stable = diagnosis.largest_stable_step(GRAM, SPLIT, LocalSGD(1.0, 1, 0))
    assert stable == pytest.approx(2 * 3 / np.linalg.eigvalsh(GRAM)[-1], rel=2e-6)


@pytest.mark.parametrize("local_steps", [2, 3, 8])
def test_runs_converge_up_to_the_largest_stable_step_and_not_beyond(local_steps):
    config = LocalSGD(1.0, local_steps, 600)
    stable = diagnosis.largest_stable_step(GRAM, SPLIT, config)
    assert stable >= 2 / max(LARGEST) * (1 - 1e-6)
    frozen = FrozenPatterns.at(NET)  # follows the recursion exactly
    below, beyond = (
        run(frozen, DATA, SPLIT, dataclasses.replace(config, step_size=share * stable)) for share in (0.97, 1.03)
    )
    assert below.trajectory.loss[-1] < below.trajectory.loss[0]
    assert beyond.diverged_at is not None or beyond.trajectory.loss[-1] > beyond.trajectory.loss[0]


def test_a_singular_kernel_has_a_stable_step_and_a_large_server_step_none():
    stable = diagnosis.largest_stable_step(np.ones((8, 8)), SPLIT, LocalSGD(1.0, 1, 0))
    assert stable == pytest.approx(2 * 3 / 8, rel=2e-6)
    with pytest.raises(InputError, match="server_step_size is 50, with which residuals grow"):
        diagnosis.largest_stable_step(GRAM, SPLIT, LocalSGD(1.0, 2, 0, server_step_size=50.0))


@pytest.mark.parametrize("local_steps", [1, 3, 4, (2, 5, 1)])
@pytest.mark.parametrize(
    "settings", [{}, {"server_step_size": 0.7}, {"client_weights": "samples", "reduction": "mean"}, {"batch_size": 2}]
)
def test_the_search_ends_where_the_round_operators_spectral_radius_passes_one(local_steps, settings):
    parts = (np.array([5, 0, 3]), np.array([7, 1]), np.array([2, 6, 4]))  # sizes differ, and rows are out of order
    config = LocalSGD(1.0, local_steps, 0, **settings)
    stable = diagnosis.largest_stable_step(GRAM, Clients(parts), config)
    below, beyond = (
        np.abs(
            np.linalg.eigvals(
                prediction.round_operator(GRAM, Clients(parts), dataclasses.replace(config, step_size=share * stable))
            )
        ).max()
        for share in (1 - 1e-4, 1 + 1e-4)
    )
    assert below < 1 < beyond


def test_the_search_for_a_stable_step_decomposes_no_block_again(monkeypatch):
    calls = []
    contraction = prediction.contraction
    monkeypatch.setattr(prediction, "contraction", lambda *given: calls.append(given) or contraction(*given))
    diagnosis.largest_stable_step(GRAM, SPLIT, LocalSGD(1.0, 3, 0))
    assert len(calls) == 1


def test_heterogeneity_is_that_of_the_clients_gradients():
    found = diagnosis.heterogeneity(GRAM, SPLIT, RESIDUAL)
    weights, signs = np.asarray(NET.weights), np.asarray(NET.signs)
    each = [gradient(weights, signs, DATA.inputs[part], DATA.targets[part]).ravel() for part in SPLIT.indices]
    total = np.sum(each, axis=0)
    norms = np.linalg.norm(each, axis=1)
    np.testing.assert_allclose(found.gradients, norms, rtol=1e-10)
    np.testing.assert_allclose(found.alignment, each @ total / (norms * np.linalg.norm(total)), rtol=1e-9)
    assert found.dissimilarity == pytest.approx(3 * (norms**2).sum() / (total @ total), rel=1e-10)
    np.testing.assert_allclose(found.largest, LARGEST, rtol=1e-12)
    assert 1 <= found.overlap <= 3


def test_heterogeneity_at_its_ends():
    pair = Clients((np.array([0]), np.array([1])))
    apart = diagnosis.heterogeneity(np.eye(2), pair, np.ones(2))
    assert (apart.overlap, apart.dissimilarity) == pytest.approx((1, 2))
    alike = diagnosis.heterogeneity(np.ones((2, 2)), pair, np.ones(2))
    assert (alike.overlap, alike.dissimilarity) == pytest.approx((2, 1))
    assert diagnosis.heterogeneity(np.ones((2, 2)), pair, np.array([1.0, -1])).dissimilarity == math.inf


def test_decisive_samples_are_the_close_pair_and_its_change_is_first_order():
    rows = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    rows[5] = (rows[2] + 0.01 * rows[4]) / np.linalg.norm(rows[2] + 0.01 * rows[4])
    gram = rows @ rows.T
    found = diagnosis.decisive_samples(gram)
    assert set(found.rows[:2].tolist()) == {2, 5}
    assert found.shares.sum() == pytest.approx(1)
    i, step = found.rows[0], 1e-8
    moved = np.linalg.eigvalsh(gram + step * np.outer(np.eye(6)[i], np.eye(6)[i]))[0] - np.linalg.eigvalsh(gram)[0]
    assert moved / step == pytest.approx(found.shares[0], rel=1e-3)


def test_gradient_descent_beside_it_has_as_many_steps_and_the_gap_closes_with_the_step():
    config = LocalSGD(0.9 / max(LARGEST), 4, 30)
    central = diagnosis.centralized(GRAM, SPLIT, RESIDUAL, config)
    power = np.linalg.matrix_power(np.eye(8) - config.step_size / 3 * GRAM, 4 * 30)
    np.testing.assert_allclose(central[-1], power @ RESIDUAL, atol=1e-12)
    gaps = []
    for share in (1.0, 0.1, 0.01):
        small = dataclasses.replace(config, step_size=share * config.step_size)
        local, beside = (
            np.square(follow(GRAM, SPLIT, RESIDUAL, small)[-1]).sum()
            for follow in (prediction.local_gd, diagnosis.centralized)
        )
        gaps.append(local / beside - 1)
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] < 0.01
    one = dataclasses.replace(config, local_steps=1)
    same = prediction.local_gd(GRAM, SPLIT, RESIDUAL, one), diagnosis.centralized(GRAM, SPLIT, RESIDUAL, one)
    np.testing.assert_allclose(*same, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("settings", [{"client_weights": "samples"}, {"reduction": "mean", "server_step_size": 0.7}])
def test_gradient_descent_has_the_average_and_the_losses_of_the_run_beside_it(settings):
    config = LocalSGD(0.1, 1, 20, **settings)
    same = prediction.local_gd(GRAM, SPLIT, RESIDUAL, config), diagnosis.centralized(GRAM, SPLIT, RESIDUAL, config)
    np.testing.assert_allclose(*same, rtol=1e-10, atol=1e-13)
    with pytest.raises(InputError, match="needs None"):
        diagnosis.centralized(GRAM, SPLIT, RESIDUAL, LocalSGD(0.1, 1, 20, batch_size=2))


@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_a_local_step_is_worth_at_most_a_round(seed, local_steps):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((6, 9))
    gram, split = rows @ rows.T, Clients((np.array([0, 3]), np.array([1, 2, 4, 5])))
    eta = 0.9 / max(np.linalg.eigvalsh(gram[np.ix_(part, part)])[-1] for part in split.indices)
    gain = diagnosis.gain_per_local_step(gram, split, LocalSGD(eta, local_steps, 0))
    assert 0 < gain <= 1 + 1e-9
    if local_steps == 1:
        assert gain == pytest.approx(1)


def test_rounds_per_tenth():
    assert diagnosis.rounds_per_tenth(0.1**0.5) == pytest.approx(1)
    assert diagnosis.rounds_per_tenth(1.0) == math.inf
    assert diagnosis.rounds_per_tenth(0.0) == 1


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="do not fit 8 samples"):
        diagnosis.heterogeneity(GRAM, SPLIT, np.ones(3))
    with pytest.raises(InputError, match="need to be one number for all clients"):
        diagnosis.gain_per_local_step(GRAM, SPLIT, LocalSGD(0.1, (1, 2, 3), 0))
