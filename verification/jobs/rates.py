"""The linear rates of C1 and C4 at the numbers of a run, and how far losses lie above them."""

import functools
import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.bounds import BOUNDS
from verification.jobs.training import Training

__all__ = ["numbers", "rounding_level", "worst_over_decay", "worst_ratio"]


def numbers(training: Training, delta: float) -> dict[str, float]:
    """What C4's premise and conclusion are about, all but the rounds, by the names of its symbols."""
    problem = training.problem
    lambda0, largest = problem.lambda0.lower, float(np.linalg.eigvalsh(problem.gram)[-1])
    known = {"n": problem.num_samples, "lambda0": lambda0, "kappa": largest / lambda0, "delta": delta}
    return known | {"m": training.width} | _settings(training)


def worst_ratio(
    training: Training, losses: Float[ndarray, "seeds rounds+1"], *, lambda0: float | None = None
) -> Float[ndarray, " seeds"]:
    """Worst ‖r(t)‖² over C4's bound, per seed; controls put another number in λ0's place."""
    rate = _rate(training, training.problem.lambda0.lower if lambda0 is None else lambda0)
    return worst_over_decay(losses, rate, training.problem.num_samples, training.width)


def worst_over_decay(
    losses: Float[ndarray, "seeds rounds+1"], rate: float, num_samples: int, width: int
) -> Float[ndarray, " seeds"]:
    """max_{t ≥ 1} of ‖r(t)‖² over rate^t ‖r(0)‖², per seed, from losses ‖r‖²/2; at t = 0 the two are equal.

    Where the bound falls below `rounding_level` it goes on falling and float64 cannot: that level is compared with.
    """
    floor = rounding_level(num_samples, width)
    bounds = 2 * losses[:, :1] * np.exp(np.arange(1, losses.shape[1]) * np.log(rate))
    return (2 * losses[:, 1:] / np.maximum(bounds, floor)).max(axis=1)


def rounding_level(num_samples: int, width: int) -> float:
    """(10⁻¹² n √m)², below which ‖r‖² is float64's rounding: m terms an output, each of size 1/√m."""
    return (1e-12 * math.sqrt(width) * num_samples) ** 2


def _settings(training: Training) -> dict[str, float]:
    steps = {"eta": training.step_size, "eta_g": training.server_step_size}
    return steps | {"tau": training.local_steps, "K": training.num_clients}


@functools.cache
def _rate(training: Training, lambda0: float) -> float:
    """C4's factor of ‖r‖² a round; a step size for which it is none, because it is not positive, gets nearly 0."""
    factor = BOUNDS["C4"].evaluate(**_settings(training), lambda0=lambda0, rounds=1, residual=1.0)
    return max(factor, np.finfo(float).tiny)
