"""Rows that no client holds: their loss and error along a run are those of the networks that the run passes through."""

import jax
import numpy as np
import pytest

from ntk_localsgd import datasets, local_sgd, networks
from ntk_localsgd.local_sgd import LocalSGD
from tests import helpers

NET, DATA, SPLIT = helpers.problem(sizes=(4, 3), input_dim=12)
OTHERS = datasets.sphere(jax.random.key(5), 30, 12)


@pytest.mark.parametrize("more", [(), ("local_loss",)])
def test_they_are_those_of_the_networks_on_the_way(more):
    config, seen = LocalSGD(0.4, 3, 6), local_sgd.held_out(OTHERS)
    run = local_sgd.run(NET, DATA, SPLIT, config, observe=(*seen, *more))
    _, weights = helpers.local_sgd(NET, DATA, SPLIT, config)
    outputs = np.array([helpers.outputs(w, np.asarray(NET.signs), OTHERS.inputs) for w in weights])
    np.testing.assert_allclose(run.trajectory.held_out_loss, ((outputs - OTHERS.targets) ** 2).mean(axis=1) / 2)
    wrong = np.sign(outputs) != OTHERS.targets
    np.testing.assert_allclose(run.trajectory.held_out_error, wrong.mean(axis=1))
    assert 0 < wrong.mean() < 1
    np.testing.assert_allclose(run.trajectory.loss, local_sgd.run(NET, DATA, SPLIT, config).trajectory.loss, rtol=1e-9)


def test_classes_are_the_largest_outputs_and_other_numbers_have_no_error():
    net = networks.DeepReLU.init(jax.random.key(1), width=20, depth=2, input_dim=12, output_dim=3)
    targets = np.eye(3)[np.arange(30) % 3]
    rows = datasets.from_arrays(OTHERS.inputs, targets)
    few = datasets.from_arrays(DATA.inputs, targets[:7])
    run = local_sgd.run(net, few, SPLIT, LocalSGD(0.01, 2, 2), observe=local_sgd.held_out(rows, name="test"))
    outputs = np.asarray(run.network(rows.inputs))
    assert float(run.trajectory.test_error[-1]) == pytest.approx((outputs.argmax(1) != np.arange(30) % 3).mean())
    assert float(run.trajectory.test_loss[-1]) == pytest.approx(((outputs - targets) ** 2).sum(axis=1).mean() / 2)
    assert run.trajectory.test_error.attrs["units"] == "1"
    numbers = datasets.from_arrays(OTHERS.inputs, np.linspace(0, 1, 30))
    assert [entry.name for entry in local_sgd.held_out(numbers)] == ["held_out_loss"]
