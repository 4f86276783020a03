"""Outputs on rows that nobody trains on: those of a linear model, and of kernel regression in the end."""

import numpy as np
import pytest

from ntk_localsgd import unseen
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD, Momentum
from tests.local_sgd import practised
from tests.test_responses import GRAM, JACOBIAN, RESIDUAL, SPLIT, START, TARGETS

OTHERS = np.random.default_rng(1).standard_normal((4, 9))


def _slope(weights, own):
    return JACOBIAN[own].T @ (JACOBIAN[own] @ weights - TARGETS[own])


@pytest.mark.parametrize("more", [{}, {"server": Momentum(0.5), "client_weights": "samples", "proximal": 0.3}])
def test_they_are_those_of_a_linear_model_whose_weights_are_trained(more):
    config = LocalSGD(0.03, 3, 6, **more)
    path = practised.walk(START, _slope, SPLIT, config)
    found = unseen.output_changes(OTHERS @ JACOBIAN.T, GRAM, SPLIT, RESIDUAL, config)
    np.testing.assert_allclose(found, (path - START) @ OTHERS.T, rtol=0, atol=1e-12)


def test_gradient_descent_without_end_is_kernel_regression():
    everyone = Clients((np.arange(6),))
    config = LocalSGD(1 / np.linalg.eigvalsh(GRAM)[-1], 4000, 4)
    found = unseen.output_changes(OTHERS @ JACOBIAN.T, GRAM, everyone, RESIDUAL, config)
    np.testing.assert_allclose(found[-1], -OTHERS @ JACOBIAN.T @ np.linalg.solve(GRAM, RESIDUAL), atol=1e-8)


def test_what_diverges_is_no_number_and_shapes_must_fit():
    found = unseen.output_changes(OTHERS @ JACOBIAN.T, GRAM, SPLIT, RESIDUAL, LocalSGD(1e3, 8, 20))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[-1]).all()
    with pytest.raises(InputError, match="needs a column for each of 6 samples"):
        unseen.output_changes(OTHERS, GRAM, SPLIT, RESIDUAL, LocalSGD(0.1, 1, 1))
