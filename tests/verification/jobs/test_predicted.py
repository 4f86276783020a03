"""Runs beside their prediction, and a simulation that tells a right second moment from a wrong one."""

import dataclasses

import numpy as np
import pytest

from ntk_localsgd import local_sgd, prediction
from verification.data import Source
from verification.jobs.predicted import PREDICTORS, MinibatchTraining, MomentSimulation, PredictedTraining, simulate
from verification.jobs.training import gram_of, residual_of

SOURCE = Source("sphere", 8, 0)
JOB = PredictedTraining(SOURCE, 2, 512, 0.5, 4, 3, seeds=(5, 6))


def test_losses_predictions_and_errors_are_those_of_each_seed_s_own_run():
    table = JOB.compute()
    assert table.sizes == {"seed": 2, "round": 4, "predictor": len(PREDICTORS)}
    net = JOB.network(6)
    run = local_sgd.run(net, JOB.dataset, JOB.clients, JOB.config)
    np.testing.assert_allclose(table.loss[1], run.trajectory.loss, rtol=1e-5)  # float32 sums in two orders
    path = prediction.local_gd(gram_of(net, JOB.dataset), JOB.clients, residual_of(net, JOB.dataset), JOB.config)
    np.testing.assert_allclose(table.predicted_loss.sel(seed=6, predictor="network"), (path**2).sum(axis=1) / 2)
    error = np.linalg.norm(residual_of(run.network, JOB.dataset) - path[-1]) / np.linalg.norm(path[-1])
    assert float(table.error[1, 0]) == pytest.approx(error, rel=1e-3)
    own, _, control = table.error.mean("seed").values
    assert own < control


def test_averaging_every_step_is_the_recursion_itself_for_one_local_step():
    once = dataclasses.replace(JOB, width=64, local_steps=1, seeds=(5,))
    own, _, control = once.compute().predicted_loss[0].values
    np.testing.assert_array_equal(own, control)


def test_the_control_averages_after_every_local_step():
    table = dataclasses.replace(JOB, width=64, seeds=(5,)).compute()
    job = dataclasses.replace(JOB, width=64)
    gram, start = gram_of(job.network(5), job.dataset), residual_of(job.network(5), job.dataset)
    every = prediction.local_gd(gram, job.clients, start, local_sgd.LocalSGD(0.5, 1, 12))[::4]
    np.testing.assert_allclose(table.predicted_loss[0, -1], (every**2).sum(axis=1) / 2, rtol=1e-12)


def test_the_same_batches_leave_a_small_difference_between_training_and_frozen_patterns():
    table = MinibatchTraining(SOURCE, 2, 4096, 0.5, 4, 3, seeds=(5, 6), draws=3).compute()
    assert table.sizes == {"seed": 2, "draw": 3, "batch_size": 2, "round": 4}
    assert np.abs(table.trained - table.linear).max() < 0.1 * table.linear.std("draw").max()
    assert float(table.predicted[0, 0]) != float(table.predicted[0, 1])
    np.testing.assert_allclose(2 * table.loss[:, -1], table.trained.mean("draw"), rtol=1e-12)


def test_simulations_meet_the_predicted_second_moment_and_not_the_square_of_the_mean():
    table = MomentSimulation(SOURCE, 2, 0.9, 3, 3, 1, simulations=2000, seed=0, miss=1e-4).compute()
    later = table.isel(round=slice(1, None))
    assert (abs(later.simulated - later.predicted) <= later.half_width).all()
    assert (abs(later.simulated - later.without_noise) > later.half_width).any()


def test_simulations_with_whole_batches_are_the_full_batch_recursion():
    problem = SOURCE.load()
    split, start = problem.split(2), -problem.dataset.targets
    config = local_sgd.LocalSGD(0.9, 3, 3, batch_size=max(problem.split(2).sizes))
    squares = simulate(np.random.default_rng(0), problem.gram, split, start, config, 2)
    path = prediction.local_gd(problem.gram, split, start, dataclasses.replace(config, batch_size=None))
    np.testing.assert_allclose(squares, (path**2).sum(axis=1)[:, None] * np.ones(2), rtol=1e-12)
