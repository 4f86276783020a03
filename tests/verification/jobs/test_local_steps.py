"""A client's local steps: those of the library, and a bound that needs its term for flips."""

import jax
import numpy as np
import pytest

from ntk_localsgd import clients, datasets, local_sgd
from ntk_localsgd.networks import TwoLayerReLU
from verification.data import Source
from verification.jobs.local_steps import LocalShrinkage, local_steps, shrinkage_bound


def test_local_steps_are_the_library_s():
    data = datasets.sphere(jax.random.key(0), 4, 6)
    net = TwoLayerReLU.init(jax.random.key(1), width=30, input_dim=6, dtype=np.float64)
    steps = local_steps(data.inputs, data.targets, np.asarray(net.weights), np.asarray(net.signs), 0.9, 5)
    config = local_sgd.LocalSGD(steps.step_size, 1, 5)
    everyone = clients.iid(jax.random.key(2), data, 1)
    run = local_sgd.run(net, data, everyone, config, observe=("neuron_movement",)).trajectory
    np.testing.assert_allclose(steps.residual, np.sqrt(2 * run.loss), rtol=1e-12)
    active = (np.asarray(net.weights) @ data.inputs.T >= 0).astype(float)
    gram = (data.inputs @ data.inputs.T) * (active.T @ active) / 30
    eigenvalues = np.linalg.eigvalsh(gram)
    assert steps.largest == pytest.approx(eigenvalues[-1], rel=1e-12)
    assert steps.smallest == pytest.approx(eigenvalues[0], abs=1e-12)
    near = np.abs(np.asarray(net.weights) @ data.inputs.T) <= float(run.neuron_movement.max())
    union = (near[:, :, None] | near[:, None, :]).sum(axis=0)
    error = np.linalg.norm(np.abs(data.inputs @ data.inputs.T) * union / 30, 2)
    assert steps.error == pytest.approx(error, rel=1e-12)


def test_a_neuron_that_turns_off_slows_the_shrinking_below_lambda_and_not_below_lambda_less_its_error():
    # Two neurons on one sample, outputs to be zero: the first step turns the nearer neuron off, and with it half of Θ.
    steps = local_steps(np.eye(2)[:1], np.zeros(1), np.array([[0.1, 0.0], [5.0, 0.0]]), np.ones(2), 0.9, 1)
    shrunk = steps.residual[1] / steps.residual[0]
    bound, without = (shrinkage_bound(steps.step_size, steps.smallest, error, 1) for error in (steps.error, 0.0))
    assert steps.error == 0.5
    assert without < shrunk <= bound


def test_every_client_of_every_network_is_measured_and_stays_below_its_bound():
    job = LocalShrinkage(Source("sphere", 6, 0, input_dim=6), 400, 3, 0, "shrinkage", steps=4)
    steps = job.compute()
    assert steps.residual.shape == (3, 2, 5)
    bound = shrinkage_bound(steps.step_size.values, steps.smallest.values, steps.error.values, 4)
    assert (steps.residual.values[..., 1:] <= bound * steps.residual.values[..., :1]).all()
    assert bound.shape == (3, 2, 4)
