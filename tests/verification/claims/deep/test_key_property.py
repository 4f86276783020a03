"""The key property: pairs of a run, their fit, and what scaling the output does to them."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from ntk_localsgd import local_sgd
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.networks import DeepReLU
from tests.verification.claims.planted import rows
from verification.claims.deep import key_property
from verification.data import Source

NAMES = ("gradient_difference", "distance_to_average", "average_loss", "jacobian_difference")


def test_fit_recovers_the_constants_that_made_the_pairs():
    rng = np.random.default_rng(0)
    distances, losses = rng.uniform(1e-4, 1e-2, 40), rng.uniform(1, 10, 40)
    assert key_property.fit(5e4 * distances + 3.0 * losses, distances, losses) == pytest.approx((5e4, 3.0), rel=1e-9)


@functools.cache
def _run(scale, step):
    problem = Source("planted", 8, 0, distance=0.4).load()
    net = DeepReLU.init(jax.random.key(1), width=16, depth=2, input_dim=64, dtype=np.float64)
    louder = DeepReLU.from_arrays(net.input_weights, net.hidden_weights, scale * np.asarray(net.output_weights))
    dataset = dataclasses.replace(problem.dataset, targets=scale * problem.dataset.targets)
    return local_sgd.run(louder, dataset, problem.split(2), LocalSGD(step, 2, 3), observe=NAMES).trajectory


def test_louder_output_leaves_the_weights_of_a_run_and_multiplies_gradients():
    scale = 3.0
    plain, louder = _run(1.0, 0.01), _run(scale, 0.01 / scale**2)
    # A dozen steps in float64: the same numbers but for rounding.
    for name, power in zip(NAMES, (2, 0, 2, 2), strict=True):
        np.testing.assert_allclose(louder[name], scale**power * plain[name], rtol=1e-9, atol=1e-13, err_msg=name)
    a, b = (np.array(key_property.fit(*_pairs(run))) for run in (plain, louder))
    np.testing.assert_allclose(b, a * scale ** np.array([4, 2]), rtol=1e-6)  # the least squares' conditioning


def _pairs(run):
    return [column[0] for column in key_property.pairs(run.expand_dims("seed"))[:3]]


def test_pairs_are_means_over_clients_and_leave_the_starts_of_rounds_out():
    run = _run(1.0, 0.01)
    gradients, distances, losses = _pairs(run)
    assert len(gradients) == 3 * 2  # rounds × local steps, but for the start of each
    at = {"round": 2, "local_step": 2}
    assert distances[3] == pytest.approx(float((run.distance_to_average.isel(at) ** 2).mean()))
    assert losses[3] == pytest.approx(float(run.average_loss.isel(at).sum()))
    assert gradients[3] == pytest.approx(float((run.gradient_difference.isel(at) ** 2).mean()))


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_seed_whose_fit_needs_no_a_has_no_exponent_and_is_counted(power, monkeypatch):
    def fits(results, trainings):
        widths = np.array([training.width for training in trainings], float)
        a = np.ones((6, 1)) * widths**power
        a[2, 0] = 0.0
        one = np.ones_like(a)
        return key_property.Fits(a, one, one, one, one)

    monkeypatch.setattr(key_property, "fits", fits)
    for row in rows("S1b-recalled", lambda *_: None):
        assert row.measured == pytest.approx(power)
        assert row.conclusion.holds == (power == 1.0)
        assert "without 1 of 6 seeds" in row.conclusion.text
