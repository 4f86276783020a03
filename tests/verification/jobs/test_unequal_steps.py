"""Runs with unequal local steps: against rounds written from the definition, and where they are equal."""

import numpy as np

from verification.data import Source
from verification.jobs.training import Training
from verification.jobs.unequal_steps import UnequalSteps

SHAPE = (Source("sphere", 6, 0, input_dim=4), 3, 16, 0.3, 2, 3, (5, 6))


def test_every_client_takes_its_own_number_of_steps_and_the_server_averages():
    job = UnequalSteps(*SHAPE, dtype="float64", server_step_size=0.5, steps_by_client=(1, 2, 4))
    found, data = job.compute(), job.dataset
    net = job.network(6)
    weights, signs = np.asarray(net.weights, np.float64), np.asarray(net.signs, np.float64)

    def outputs(w):
        return np.maximum(data.inputs @ w.T, 0) @ signs / np.sqrt(len(signs))

    losses = []
    for _ in range(job.num_rounds + 1):
        losses.append(0.5 * np.sum((outputs(weights) - data.targets) ** 2))
        moved = np.zeros_like(weights)
        for part, steps in zip(job.clients.indices, job.steps_by_client, strict=True):
            local = weights.copy()
            for _ in range(steps):
                x, residual = data.inputs[part], (outputs(local) - data.targets)[part]
                active = (x @ local.T >= 0) * signs / np.sqrt(len(signs))
                local -= job.step_size * (active * residual[:, None]).T @ x
            moved += local - weights
        weights = weights + job.server_step_size * moved / job.num_clients
    np.testing.assert_allclose(found.loss.sel(seed=6), losses, rtol=1e-12)


def test_equal_steps_are_those_of_a_training():
    job = UnequalSteps(*SHAPE, steps_by_client=(2, 2, 2))
    assert job.alike(7).local_steps == 7
    assert type(job.alike(7)) is Training
    np.testing.assert_allclose(job.compute().loss, job.alike(2).compute().loss, rtol=1e-6)
