"""Gradient descent on the two-layer network converges to zero loss at a linear rate: C1."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.rates import rounding_level, worst_over_decay
from verification.jobs.training import Training
from verification.judging import DELTA, with_probability
from verification.papers import DU
from verification.registry import claim
from verification.store import Job

__all__: list[str] = []

# With one client, local steps are gradient steps: 20 a round means that every 20th loss is recorded.
_STEPS, _WIDTH = 20, 256


def _problems(context: Context) -> list[Problem]:
    # The theorem asks for n > 3; its step size λ0/8n² makes larger n a matter of millions of steps.
    return context.problems(max(4, context.preset.kernel_samples // 2))


def _numbers(problem: Problem) -> dict[str, float]:
    known = {"n": problem.num_samples, "lambda0": problem.lambda0.lower}
    return known | {"C": problem.largest_target, "delta": DELTA}


def _trainings(context: Context, problem: Problem) -> dict[str, Training]:
    """Gradient descent at the theorem's step size and at a usual one."""
    steps = {
        "η = λ0/8n²": BOUNDS["C1"].largest_step(**_numbers(problem)),
        "η = 0.9/λ_max": 0.9 / problem.largest_client_eigenvalue(1),
    }
    rounds, seeds = context.preset.gd_rounds, context.seeds("C1", context.preset.trials)
    return {
        name: Training(problem.source, 1, _WIDTH, step, _STEPS, rounds, seeds, dtype="float64")
        for name, step in steps.items()
    }


def _too_large(context: Context, problem: Problem) -> Training:
    """The control: ten times what is stable; a few rounds show what becomes of it."""
    training = _trainings(context, problem)["η = 0.9/λ_max"]
    return dataclasses.replace(training, step_size=20 / problem.largest_client_eigenvalue(1), num_rounds=5)


def _all_trainings(context: Context) -> Iterator[Job]:
    for problem in _problems(context):
        yield from _trainings(context, problem).values()
        yield _too_large(context, problem)


@claim(
    "C1",
    "n > 3, η ≤ λ0/8n², m ≥ 4⁵·16² (C² + 1)/(2π) · n⁶/(λ0⁴δ³) ⇒ ‖f(k) − y‖² ≤ (1 − ηλ0/2)^k ‖f(0) − y‖² for all k, "
    "with probability ≥ 1 − δ",
    letter="P",
    source=BOUNDS["C1"].source,
    paper=DU,
    needs=_all_trainings,
)
def gradient_descent(context: Context, results: Results) -> Iterator[Evidence]:
    """Every recorded loss against the theorem's, at two step sizes; the control has one ten times too large."""
    for problem in _problems(context):
        numbers, broken = _numbers(problem), _too_large(context, problem)
        floor = rounding_level(problem.num_samples, _WIDTH)
        asked, largest = BOUNDS["C1"].smallest_width(**numbers), BOUNDS["C1"].largest_step(**numbers)
        for name, training in _trainings(context, problem).items():
            met = BOUNDS["C1"].premise_met(m=training.width, eta=training.step_size, **numbers)
            yield with_probability(
                problem.setting | {"m": _WIDTH, "case": name, "steps": training.num_rounds * _STEPS},
                Condition(f"n > 3, η ≤ {largest:.2g}, m ≥ {asked:.2g}", met and training.num_clients == 1),
                f"‖f(k) − y‖² / bound ≤ 1 at every recorded k (bound at least {floor:.1g}, float64's rounding)",
                _worst_ratio(results, training, training.step_size),
                1.0,
                control=_worst_ratio(results, broken, training.step_size),
                control_setting="the run's η = 20/λ_max, ten times what is stable; same bound",
            )


def _worst_ratio(results: Results, training: Training, step_size: float) -> np.ndarray:
    """Worst ‖f(k) − y‖² over the bound at a step size, per seed."""
    problem = training.problem
    rate = (1 - step_size * problem.lambda0.lower / 2) ** _STEPS
    return worst_over_decay(results[training].loss.values, rate, problem.num_samples, training.width)
