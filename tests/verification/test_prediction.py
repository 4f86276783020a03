"""Frozen patterns are the kernel regime itself; the moment's check tells a right prediction from a wrong one."""

import jax
import numpy as np
import pytest

from ntk_localsgd import kernels, local_sgd, prediction
from ntk_localsgd.local_sgd.gradients import ClientData, gradient
from ntk_localsgd.networks import TwoLayerReLU
from tests import helpers
from verification import prediction as script
from verification.predicted_runs import PREDICTORS, FrozenPatterns, MinibatchRuns, PredictedRun

NET, DATA, SPLIT = helpers.problem(3, sizes=(4, 2, 3), width=24)
FROZEN = FrozenPatterns(NET.weights, NET.signs, NET.weights)
GRAM = np.asarray(kernels.empirical_gram(NET, DATA.inputs))
RESIDUAL = np.asarray(NET(DATA.inputs)) - DATA.targets


def test_frozen_patterns_start_with_the_network_s_outputs_and_gradients():
    samples = (DATA.inputs, DATA.targets, np.ones(DATA.num_samples, bool))
    np.testing.assert_allclose(FROZEN(DATA.inputs), NET(DATA.inputs), rtol=1e-14)
    np.testing.assert_allclose(gradient(FROZEN, *samples)[0], gradient(NET, *samples)[0], rtol=1e-13, atol=1e-15)
    assert FROZEN.output_dim == 1
    assert all((a == b).all() for a, b in zip(FROZEN.activation_patterns(DATA.inputs),
                                              NET.activation_patterns(DATA.inputs), strict=True))  # fmt: skip


@pytest.mark.parametrize("server", [1.0, 0.6])
def test_frozen_patterns_follow_the_kernel_regime_at_every_width(server):
    config = local_sgd.LocalSGD(0.7, 5, 12, server_step_size=server)
    losses = local_sgd.run(FROZEN, DATA, SPLIT, config).trajectory.loss.values
    path = prediction.local_gd(GRAM, SPLIT, RESIDUAL, config)
    # Sixty steps of float64 sums over 24 neurons and 9 samples.
    np.testing.assert_allclose(losses, (path**2).sum(axis=1) / 2, rtol=1e-11)
    # With 24 neurons the network itself does not: the check can tell them apart.
    moving = local_sgd.run(NET, DATA, SPLIT, config).trajectory.loss.values
    assert abs(moving[-1] / losses[-1] - 1) > 0.05


def test_frozen_patterns_have_the_predicted_second_moment():
    config = local_sgd.LocalSGD(1.2, 3, 4, batch_size=1)
    draws = [
        2 * float(local_sgd.run(FROZEN, DATA, SPLIT, config, key=jax.random.key(k)).trajectory.loss[-1])
        for k in range(600)
    ]
    squares = np.array([np.zeros(600), draws])  # round 0 is not looked at
    predicted = prediction.local_sgd_second_moment(GRAM, SPLIT, RESIDUAL, config)
    mean = prediction.local_sgd_mean(GRAM, SPLIT, RESIDUAL, config)
    assert script._worst_deviation(squares, predicted[[0, -1]]) <= 1
    assert script._worst_deviation(squares, np.array([0, mean[-1] @ mean[-1]])) > 1


def test_a_run_s_file_holds_losses_predictions_and_errors():
    spec = PredictedRun("sphere", 9, 0, 3, 512, 0.5, 4, 3, seeds=(5, 6))
    stored = spec.compute(DATA, SPLIT)
    net = TwoLayerReLU.init(jax.random.key(6), width=512, input_dim=6, dtype=np.float32)
    assert stored.sizes == {"seed": 2, "round": 4, "predictor": len(PREDICTORS)}
    start = ((np.asarray(net(DATA.inputs)) - DATA.targets) ** 2).sum() / 2
    np.testing.assert_allclose(stored.loss[1, 0], start, rtol=1e-5)  # float32 sums in two orders
    np.testing.assert_allclose(stored.predicted_loss[1, :, 0], start, rtol=1e-5)
    network, infinite, control = stored.error.mean("seed").values
    assert network < infinite < control


def test_averaging_every_step_is_the_recursion_itself_for_one_local_step():
    spec = PredictedRun("sphere", 9, 0, 3, 64, 0.5, 1, 3, seeds=(5,))
    own, _, control = spec.compute(DATA, SPLIT).predicted_loss[0].values
    np.testing.assert_array_equal(own, control)


def test_the_same_batches_leave_a_small_difference_between_training_and_frozen_patterns():
    spec = MinibatchRuns("sphere", 9, 0, 3, 4096, 0.5, 4, 3, seeds=(5, 6), draws=3)
    stored = spec.compute(DATA, SPLIT)
    assert stored.sizes == {"seed": 2, "draw": 3, "batch_size": 2}
    between_draws = stored.linear.std("draw").max()
    assert np.abs(stored.trained - stored.linear).max() < 0.1 * between_draws
    assert float(stored.predicted[0, 0]) != float(stored.predicted[0, 1])


def test_client_data_has_padding_that_frozen_patterns_do_not_see():
    data = ClientData.of(DATA, SPLIT, np.float64)
    assert not data.mask.all()
    grads = [gradient(FROZEN, *(part[c] for part in data))[0] for c in range(3)]
    whole = gradient(FROZEN, DATA.inputs, DATA.targets, np.ones(9, bool))[0]
    np.testing.assert_allclose(sum(grads), whole, rtol=1e-12, atol=1e-14)
