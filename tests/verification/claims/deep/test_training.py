"""Runs of deep networks as claims ask for them, and the premise that all statements about growing width share."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from verification.claims.deep import training
from verification.claims.growth import learned_alike
from verification.context import Context
from verification.engine import Results
from verification.presets import PRESETS

CONTEXT = Context(PRESETS["smoke"], 0)


def _alike(jobs, ends):
    losses = [xr.Dataset({"loss": (("seed", "round"), np.array([[1.0, end]]))}) for end in ends]
    return learned_alike(Results(dict(zip(jobs, losses, strict=True))), jobs)


def test_steps_of_all_widths_are_half_of_what_the_limit_kernel_of_a_client_allows():
    for problem in CONTEXT.deep_problems():
        jobs = training.sweep(CONTEXT, problem)
        largest = problem.largest_deep_eigenvalue(4, 3)
        assert [job.step_size * job.width * largest for job in jobs] == pytest.approx([0.5] * len(jobs))
        premise = _alike(jobs, [0.5, 0.52])
        assert premise.holds
        assert "(here 0.5)" in premise.text


def test_the_premise_fails_where_more_changes_than_the_width():
    first, second = training.sweep(CONTEXT, CONTEXT.deep_problems()[0])
    assert not _alike([first, second], [0.5, 0.56]).holds  # widths learn differently
    assert not _alike([first, dataclasses.replace(second, target_scale=2.0)], [0.5, 0.5]).holds
    assert not _alike([first, dataclasses.replace(second, step_size=2 * second.step_size)], [0.5, 0.5]).holds
    steep = [dataclasses.replace(job, step_size=2.1 * job.step_size) for job in (first, second)]
    assert not _alike(steep, [0.5, 0.5]).holds


def test_runs_of_deep_networks_with_ten_outputs_and_minibatches():
    problem = CONTEXT.problem("digits10", 20)
    job = training.deep_training(CONTEXT, problem, width=16, depth=2, clients=2, local_steps=2, split="iid", seeds=2)
    job = dataclasses.replace(job, num_rounds=2)
    full, batches = job.compute(), dataclasses.replace(job, batch_size=3).compute()
    assert full.sizes["seed"] == 2
    assert job.network(job.seeds[0]).output_dim == 10
    assert float(abs(full.loss - batches.loss).isel(round=-1).max()) > 0
    np.testing.assert_allclose(full.loss.isel(round=0), batches.loss.isel(round=0))
