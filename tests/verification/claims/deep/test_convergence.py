"""C2 and C3: premises that no computer meets, and what does not count as decay."""

import numpy as np
import pytest

from ntk_localsgd.bounds import BOUNDS
from verification.claims.deep import convergence
from verification.claims.deep.training import deep_training
from verification.context import Context
from verification.presets import PRESETS

CONTEXT = Context(PRESETS["smoke"], 0)


@pytest.mark.parametrize("claim_id", ["C2", "C3"])
def test_premises_solve_for_the_width_and_are_not_met(claim_id):
    problem = CONTEXT.deep_problems()[0]
    training = deep_training(CONTEXT, problem)
    premise = convergence.premise_of(claim_id, [training])
    numbers = {"n": 8, "L": 3, "K": 4, "phi": problem.dataset.separation}
    asked = BOUNDS[claim_id].smallest_width(**numbers, **({"o": 1} if claim_id == "C2" else {}))
    assert not premise.holds
    assert f"m ≥ {asked:.2g}" in premise.text
    assert "here 64" in premise.text
    step = {"n": 8, "m": 64, "o": 1, "phi": problem.dataset.separation, "tau": 5}
    if claim_id == "C2":  # a step η of the sum loss is a step ηn of the mean
        assert f"η n ≤ {BOUNDS['C2'].largest_step(**step):.2g} (here {8 * training.step_size:.2g})" in premise.text


@pytest.mark.parametrize(
    ("decay", "rate"),
    [(np.full((3, 4), 0.5), 0.5), (np.array([[0.1, 1, 1, 1]] * 3), 1.0), (np.full((3, 4), np.inf), np.inf)],
)
def test_a_dead_network_or_a_diverged_one_does_not_decay(decay, rate):
    assert convergence.rate(decay) == pytest.approx(rate)
