"""The linear rates that losses are held against."""

import dataclasses

import numpy as np
import pytest

from verification.data import Source
from verification.jobs import rates
from verification.jobs.training import Training

TRAINING = Training(Source("sphere", 4, 0), 2, 16, 0.5, 2, 3, seeds=(0, 1), dtype="float64")

# A relative error of a few roundings of double precision.
CLOSE = 1e-12


def test_losses_at_the_bound_have_ratio_one_and_slower_ones_more():
    rate = 1 - 0.5 * 2 * TRAINING.problem.lambda0.lower / (2 * 2)  # ‖r‖² a round: 1 − η λ0 τ/(2K)
    rounds = np.arange(4)
    for factor, expected in ((1.0, 1.0), (1.01, 1.01**3), (0.9, 0.9)):
        losses = np.stack([(factor * rate) ** rounds, 3 * (factor * rate) ** rounds])
        assert rates.worst_ratio(TRAINING, losses) == pytest.approx(expected, rel=CLOSE)


def test_a_server_step_size_takes_part_and_another_lambda0_may_stand_in():
    twice = dataclasses.replace(TRAINING, server_step_size=2.0)
    losses, lambda0 = np.ones((1, 4)), TRAINING.problem.lambda0.lower
    assert rates.worst_ratio(twice, losses) == pytest.approx((1 - lambda0 / 2) ** -3, rel=CLOSE)
    assert rates.worst_ratio(TRAINING, losses, lambda0=2 * lambda0) == pytest.approx((1 - lambda0 / 2) ** -3, rel=CLOSE)


def test_losses_at_rounding_level_are_compared_with_that_level():
    losses = np.array([[1.0, 1e-30, 1e-30]])
    assert rates.worst_over_decay(losses, 1e-20, 10, 100)[0] <= 1
    assert rates.worst_over_decay(losses, 1e-20, 1, 1)[0] == pytest.approx(2e-30 / 1e-24)


def test_numbers_are_those_of_the_run():
    known = rates.numbers(TRAINING, 0.1)
    eigenvalues = np.linalg.eigvalsh(TRAINING.problem.gram)
    assert known["kappa"] == pytest.approx(eigenvalues[-1] / eigenvalues[0], rel=1e-9)
    settings = {"n": 4, "delta": 0.1, "K": 2, "tau": 2, "eta": 0.5, "eta_g": 1.0, "m": 16}
    assert {name: known[name] for name in settings} == settings
