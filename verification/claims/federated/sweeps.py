"""C4's rate over server step sizes, and where clients take different numbers of local steps."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from ntk_localsgd import prediction
from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.rates import numbers, rounding_level, worst_ratio
from verification.jobs.training import Training
from verification.jobs.unequal_steps import UnequalSteps
from verification.judging import DELTA, with_probability
from verification.papers import HUANG
from verification.registry import claim

__all__: list[str] = []

_CLIENTS, _WIDTH, _LOCAL_STEPS = 4, 256, 5

# Shares of the server step size at which the kernel regime ceases to be stable; the control's lies far above it.
_SHARES, _BEYOND = (1 / 8, 1 / 4, 1 / 2), 4

# The largest share with which no eigenvalue of a round is negative: beyond, one tends to −1, and C4's rate is false.
_MOST = 1 / 2

# Local steps by client with mean `_LOCAL_STEPS`: spread out, and one that lags behind.
_PATTERNS = ((2, 3, 5, 10), (2, 6, 6, 6))

# The control's step size over the usual one: five over λ_max, with which local steps are unstable.
_UNSTABLE = 25


def _training(context: Context, problem: Problem, purpose: str) -> Training:
    """C4's usual setting."""
    step = 0.2 / problem.largest_client_eigenvalue(_CLIENTS)
    seeds = context.seeds(purpose, context.preset.trials)
    shape = (problem.source, _CLIENTS, _WIDTH, step, _LOCAL_STEPS, context.preset.gd_rounds, seeds)
    return Training(*shape, dtype="float64")


def _premise(training: Training, words: str, met: bool = True) -> Condition:
    """C4's width and step size, constants 1."""
    known, bound = numbers(training, DELTA), BOUNDS["C4"]
    asked = {name: known[name] for name in bound.needs if name in known and name not in ("m", "eta")}
    width, step = bound.smallest_width(**asked), bound.largest_step(**asked)
    holds = bound.premise_met(**asked, m=training.width, eta=training.step_size)
    return Condition(f"m ≥ {width:.2g}, η ≤ {step:.2g}, constants 1; {words}", met and holds)


def _ceiling(training: Training) -> float:
    """2K/λ_max(S) of the kernel H^∞ (docs/theory.md §4): largest stable η_g."""
    one = dataclasses.replace(training.config, server_step_size=1.0)
    eigenvalues = np.linalg.eigvals(prediction.round_operator(training.problem.gram, training.clients, one)).real
    return float(2 / (1 - eigenvalues.min()))


def _by_server_step(context: Context, problem: Problem) -> tuple[list[Training], Training]:
    """Runs that differ in η_g alone, and the control's."""
    training = _training(context, problem, "C4-server")
    *own, beyond = (
        dataclasses.replace(training, server_step_size=share * _ceiling(training)) for share in (*_SHARES, _BEYOND)
    )
    return own, beyond


def _all_server_steps(context: Context) -> Iterator[Training]:
    for problem in context.problems(context.preset.kernel_samples):
        own, beyond = _by_server_step(context, problem)
        yield from (*own, beyond)


def _setting(training: Training) -> dict[str, object]:
    return training.problem.setting | {"m": training.width, "K": training.num_clients}


def _conclusion(rate: str, training: Training) -> str:
    floor = rounding_level(training.problem.num_samples, training.width)
    return f"‖r(t)‖² / bound ≤ 1 at every round, {rate} (bound at least {floor:.1g}, float64's rounding)"


@claim(
    "C4-server",
    "C4's premise, η_g ≤ K/λ_max(S) ⇒ ‖r(t)‖² ≤ (1 − η_g η λ0 τ/(2K))^t ‖r(0)‖² for all t: a rate linear in η_g, with "
    "probability ≥ 1 − δ; from 2K/λ_max(S) on the kernel regime diverges, and below it may be slower than that",
    letter="R",
    source=f"{BOUNDS['C4'].source}; how large O(1) may be: docs/theory.md §4 [D]",
    paper=HUANG,
    needs=_all_server_steps,
)
def over_server_steps(context: Context, results: Results) -> Iterator[Evidence]:
    """Every recorded loss against C4's at several η_g; the control's η_g is four times what is stable."""
    for problem in context.problems(context.preset.kernel_samples):
        trainings, beyond = _by_server_step(context, problem)
        for share, training in zip(_SHARES, trainings, strict=True):
            yield with_probability(
                _setting(training)
                | {"τ": training.local_steps, "η_g": f"{training.server_step_size:.3g}", "rounds": training.num_rounds},
                _premise(training, f"η_g {share:g} ≤ ½ of 2K/λ_max(S) = {_ceiling(training):.3g}", met=share <= _MOST),
                _conclusion(f"at η_g = {training.server_step_size:.3g}", training),
                worst_ratio(training, results[training].loss.values),
                1.0,
                control=worst_ratio(training, results[beyond].loss.values),
                control_setting=f"η_g = {beyond.server_step_size:.3g}, beyond what is stable, against the same bound",
            )


def _by_pattern(context: Context, problem: Problem) -> Iterator[tuple[UnequalSteps, UnequalSteps]]:
    """Runs with unequal local steps, and their controls."""
    training = _training(context, problem, "C4-unequal")
    values = {field.name: getattr(training, field.name) for field in dataclasses.fields(training)}
    for pattern in _PATTERNS:
        job = UnequalSteps(**values | {"local_steps": min(pattern)}, steps_by_client=pattern)
        yield job, dataclasses.replace(job, step_size=_UNSTABLE * job.step_size, num_rounds=2)


def _all_patterns(context: Context) -> Iterator[UnequalSteps]:
    for problem in context.problems(context.preset.kernel_samples):
        for pair in _by_pattern(context, problem):
            yield from pair


@claim(
    "C4-unequal",
    "clients take τ_c local steps each ⇒ C4's rate with min_c τ_c: ‖r(t)‖² ≤ (1 − η_g η λ0 min_c τ_c/(2K))^t ‖r(0)‖² "
    "for all t, with probability ≥ 1 − δ; looked at besides: with their mean",
    letter="D, heuristic",
    source="docs/theory.md §3, C4; in the kernel regime up to a constant: §4 [D]",
    paper=HUANG,
    needs=_all_patterns,
)
def unequal_steps(context: Context, results: Results) -> Iterator[Evidence]:
    """Every recorded loss against C4's with the fewest, and with the mean, of clients' steps."""
    for problem in context.problems(context.preset.kernel_samples):
        for job, unstable in _by_pattern(context, problem):
            taken = ", ".join(map(str, job.steps_by_client))
            for name, steps in (("fewest", min(job.steps_by_client)), ("mean", _LOCAL_STEPS)):
                alike = job.alike(steps)
                yield with_probability(
                    _setting(job) | {"τ_c": taken, "case": f"rate of their {name}", "rounds": job.num_rounds},
                    _premise(alike, "as many local steps at every client", met=False),
                    _conclusion(f"τ = {steps}", job),
                    worst_ratio(alike, results[job].loss.values),
                    1.0,
                    control=worst_ratio(unstable.alike(steps), results[unstable].loss.values),
                    control_setting=f"η = {unstable.step_size:.2g}, {_UNSTABLE} times as large",
                )
