"""Runs of several seeds in one table: targets that controls enlarge, and what stands where a run has ended."""

import dataclasses

import jax
import numpy as np
import pytest

from verification.data import Source
from verification.jobs.training import Training, residual_of, stream

TRAINING = Training(Source("sphere", 4, 0), 2, 16, 0.5, 2, 3, seeds=(0, 1), dtype="float64")


def test_targets_are_multiplied_and_the_network_is_not():
    louder = dataclasses.replace(TRAINING, target_scale=3.0)
    outputs = [np.asarray(job.network(1)(job.dataset.inputs)) for job in (TRAINING, louder)]
    np.testing.assert_array_equal(*outputs)
    expected = outputs[0] - 3 * TRAINING.dataset.targets
    np.testing.assert_allclose(residual_of(louder.network(1), louder.dataset), expected, rtol=1e-14)


def test_rounds_after_a_divergence_have_an_infinite_loss():
    table = TRAINING.compute()
    assert np.isfinite(table.loss).all()
    assert (table.diverged_at == -1).all()
    table = dataclasses.replace(TRAINING, step_size=1e6).compute()
    assert table.sizes["round"] == 4
    for at, path in zip(table.diverged_at.values, table.loss.values, strict=True):
        assert 0 < at < 3
        assert np.isfinite(path[:at]).all()
        assert (path[at:] == np.inf).all()


def test_batches_are_drawn_from_no_key_of_the_network():
    job = dataclasses.replace(TRAINING, batch_size=1)
    assert TRAINING.batch_key(5) is None
    others = [jax.random.key(5), *(jax.random.fold_in(jax.random.key(5), k) for k in range(4)), stream(5, "dirichlet")]
    drawn = jax.random.key_data(job.batch_key(5)).tolist()
    assert drawn not in [jax.random.key_data(key).tolist() for key in others]
    assert drawn == jax.random.key_data(stream(5, "batches")).tolist()


@pytest.mark.parametrize(("depth", "kind"), [(None, "TwoLayerReLU"), (2, "DeepReLU")])
def test_depth_decides_the_kind_of_network(depth, kind):
    net = dataclasses.replace(TRAINING, depth=depth).network(0)
    assert type(net).__name__ == kind
    assert net.dtype == np.float64
