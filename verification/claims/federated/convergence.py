"""Convergence of Local GD on the two-layer network to zero loss, at a rate linear in the local steps: C4."""

import dataclasses
from collections.abc import Iterator

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.rates import numbers, rounding_level, worst_ratio
from verification.jobs.training import Training
from verification.judging import DELTA, with_probability
from verification.papers import HUANG
from verification.registry import claim
from verification.store import Job

__all__: list[str] = []

_CLIENTS, _WIDTH, _LOCAL_STEPS = 4, 256, 5


def _usual_step(problem: Problem) -> float:
    return 0.2 / problem.largest_client_eigenvalue(_CLIENTS)


def _asked(training: Training) -> dict[str, float]:
    """What the premise's width and step size are made of."""
    known = numbers(training, DELTA)
    return {name: known[name] for name in BOUNDS["C4"].needs if name in known and name not in ("m", "eta")}


def _trainings(context: Context, problem: Problem) -> dict[str, Training]:
    """Local GD at C4's step size and at one that is usual, by label and iid, with two server step sizes."""
    rounds, seeds = context.preset.gd_rounds, context.seeds("C4", context.preset.trials)
    shape = (problem.source, _CLIENTS, _WIDTH, _usual_step(problem), _LOCAL_STEPS, rounds, seeds)
    usual = Training(*shape, dtype="float64")
    step = BOUNDS["C4"].largest_step(**_asked(usual))
    return {
        "η = λ0/(κτn²), by label": dataclasses.replace(usual, step_size=step),
        "η = 0.2/max λ_max(H^∞_cc), by label": usual,
        "the same η, iid, η_g = 1.5": dataclasses.replace(usual, split="iid", server_step_size=1.5),
    }


def _too_many_steps(training: Training) -> Training:
    """The control: so many local steps that the bound falls to a tenth a round, which averaging K clients forbids."""
    problem = training.problem
    step = _usual_step(problem)
    rate_of_one = training.server_step_size * step * problem.lambda0.lower / (2 * _CLIENTS)
    return dataclasses.replace(training, step_size=step, local_steps=round(0.9 / rate_of_one), num_rounds=2)


def _all_trainings(context: Context) -> Iterator[Job]:
    for problem in context.problems(context.preset.kernel_samples):
        for training in _trainings(context, problem).values():
            yield from (training, _too_many_steps(training))


@claim(
    "C4",
    "m = Ω(n⁴ log(n/δ)/λ0⁴), η = O(λ0/(κτn²)), η_g = O(1) ⇒ Local GD with K clients and τ local steps: "
    "‖r(t)‖² ≤ (1 − η_g η λ0 τ/(2K))^t ‖r(0)‖² for all t, with probability ≥ 1 − δ",
    letter="R",
    source=BOUNDS["C4"].source,
    paper=HUANG,
    needs=_all_trainings,
)
def linear_rate(context: Context, results: Results) -> Iterator[Evidence]:
    """Every recorded loss against the theorem's, at its step size and at larger ones."""
    bound = BOUNDS["C4"]
    for problem in context.problems(context.preset.kernel_samples):
        floor = rounding_level(problem.num_samples, _WIDTH)
        for name, training in _trainings(context, problem).items():
            over, asked = _too_many_steps(training), _asked(training)
            width, step = bound.smallest_width(**asked), bound.largest_step(**asked)
            yield with_probability(
                problem.setting
                | {"m": _WIDTH, "K": _CLIENTS, "τ": training.local_steps}
                | {"case": name, "rounds": training.num_rounds},
                Condition(
                    f"m ≥ {width:.2g}, η ≤ {step:.2g}, constants 1",
                    bound.premise_met(**asked, m=training.width, eta=training.step_size),
                ),
                f"‖r(t)‖² / bound ≤ 1 at every round (bound at least {floor:.1g}, float64's rounding)",
                worst_ratio(training, results[training].loss.values),
                1.0,
                control=worst_ratio(over, results[over].loss.values),
                control_setting=f"τ = {over.local_steps} at η = {over.step_size:.2g}: the bound of these falls to a "
                "tenth a round",
            )
