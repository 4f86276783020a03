"""Entropies' jobs: the formula by two routes, autodiff's volumes, a short training against the network built again."""

import dataclasses

import jax
import numpy as np
import pytest

from ntk_localsgd import datasets
from ntk_localsgd.entropy import binned_entropy
from ntk_localsgd.errors import InputError
from verification.jobs import entropies
from verification.jobs.entropies import EntropyChanges, VectorEntropy
from verification.jobs.leaky_training import BIN, LeakyTraining


def test_formula_estimate_and_integral_agree_for_every_distribution(monkeypatch):
    assert len(entropies.DISTRIBUTIONS) == 20
    monkeypatch.setattr(entropies, "DISTRIBUTIONS", entropies.DISTRIBUTIONS[::6])
    found = EntropyChanges(0.2, 500, 3, 0.999).compute()
    np.testing.assert_allclose(found.integrated, found.formula, atol=1e-7)
    np.testing.assert_allclose(found.formula, found.below * np.log(0.2), rtol=1e-12)
    assert ((found.lower <= found.formula) & (found.formula <= found.upper)).all()
    assert ((found.lower <= found.estimate) & (found.estimate <= found.upper)).all()


def test_volumes_are_powers_of_the_slope_as_often_as_closed_forms_say():
    found = VectorEntropy(0.5, 3, 400, 1).compute()
    counts = found.log_volume.values / np.log(0.5)
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-12)
    assert counts.mean() == pytest.approx(float(found.below.sum()), abs=5 * counts.std() / 20)


def test_profile_begins_with_the_network_as_drawn_and_is_the_same_for_a_seed_alone():
    job = LeakyTraining(6, 2, 0.3, 40, 30, 4, (5, 6), 0, step=0.1, batch_size=20)
    found = job.compute()
    assert found.entropy.shape == (2, 3, 3)
    assert found["round"].values.tolist() == [0, 2, 4]
    net = job._network(6)
    train = datasets.digits(70, key=jax.random.key(0))
    train = datasets.from_arrays(train.inputs[:40], train.targets[:40])
    hidden, before = net.layers(train.inputs)
    np.testing.assert_allclose(found.entropy[1, 0], [binned_entropy(h, BIN / 6**0.5) for h in hidden], atol=1e-12)
    narrowing = [binned_entropy(h, 0.3 * BIN / 6**0.5) for h in hidden]
    np.testing.assert_allclose(found.narrowing_entropy[1, 0], narrowing, atol=1e-12)
    np.testing.assert_allclose(found.below[1, 0, 1:], [(np.asarray(z) < 0).mean() for z in before], atol=1e-12)
    loss = 0.5 * float(((np.asarray(net(train.inputs)) - train.targets) ** 2).sum())
    assert float(found.loss[1, 0]) == pytest.approx(loss, rel=1e-5)
    assert (found.loss[:, -1] < found.loss[:, 0]).all()
    assert ((found.test >= 0) & (found.test <= 1)).all()
    silent = dataclasses.replace(job, target_scale=0.0).compute()
    start = 0.5 * float((np.asarray(net(train.inputs)) ** 2).sum())
    assert float(silent.loss[1, 0]) == pytest.approx(start, rel=1e-5)
    assert float(silent.train[1, 0]) == float(found.train[1, 0])  # accuracies are those of the images' labels
    with pytest.raises(InputError, match="step is 1e\\+06"):
        LeakyTraining(6, 2, 0.3, 40, 30, 4, (5, 6), 0, step=1e6, batch_size=20).compute()


def test_a_training_is_that_of_numpy_in_float64():
    """Full batches, so that nothing is drawn: losses to float32's rounding, entropies up to entries at bins' ends."""
    job = LeakyTraining(12, 1, 0.1, 40, 30, 6, (5,), 0, step=0.5, batch_size=40)
    found, net = job.compute(), job._network(5)
    data = datasets.digits(70, key=jax.random.key(0))
    x, y = (np.asarray(part, np.float64)[:40] for part in (data.inputs, data.targets))
    first, (layer,), last = (
        jax.tree.map(np.float64, w) for w in (net.input_weights, net.hidden_weights, net.output_weights)
    )
    below, losses, entropies = x @ first.T, [], []
    h = np.where(below >= 0, below, 0.1 * below)
    for _ in range(7):
        z = h @ layer.T
        out = np.where(z >= 0, z, 0.1 * z)
        rest = out @ last.T - y
        losses.append(0.5 * np.square(rest).sum())
        entropies.append(binned_entropy(out, BIN / 12**0.5))
        layer = layer - 0.5 * 20 / (12 * 40) * (rest @ last * np.where(z >= 0, 1.0, 0.1)).T @ h
    np.testing.assert_allclose(found.loss[0], losses[::2], rtol=1e-5)
    np.testing.assert_allclose(found.entropy[0, :, 1], entropies[::2], atol=0.02)
    assert losses[-1] < 0.9 * losses[0]
