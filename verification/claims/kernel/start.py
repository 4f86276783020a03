"""Pre-activations and outputs at initialization: K5, K7."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.bounds.gaussian import anti_concentration_exact
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.statistics import Interval, failure_interval, mean_interval
from verification.claims.kernel.premises import EQUALITY_LEVEL, unit_norms
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.initial import Outputs
from verification.jobs.limits import NearKink
from verification.judging import DELTA, equal, with_probability
from verification.papers import DU, OWN
from verification.registry import claim
from verification.store import Job

__all__: list[str] = []

_RADII = (0.01, 0.05, 0.2, 0.5, 1.0)
_NEURONS, _WIDTH = 500_000, 256

# How many times as many seeds an expectation gets as a probability.
_MORE = 20


def _near_kinks(context: Context, problem: Problem) -> tuple[NearKink, NearKink]:
    """Standard normal weights, and half of them."""
    near = NearKink(problem.source, _NEURONS, _RADII, context.seed, f"K5 {problem.source.kind}")
    return near, dataclasses.replace(near, scale=0.5)


def _all_near_kinks(context: Context) -> Iterator[Job]:
    for problem in context.problems(context.preset.kernel_samples):
        yield from _near_kinks(context, problem)


@claim(
    "K5",
    "w ~ N(0, I), ‖x‖ = 1 ⇒ P(|w·x| ≤ R) = erf(R/√2) ≤ 2R/√(2π)",
    letter="P",
    source=BOUNDS["K5"].source,
    paper=DU,
    needs=_all_near_kinks,
)
def anti_concentration(context: Context, results: Results) -> Iterator[Evidence]:
    """Frequencies of near-kink pre-activations against the error function and its linear bound."""
    bounds = np.array([BOUNDS["K5"].evaluate(R=radius) for radius in _RADII])
    exact = np.array([anti_concentration_exact().evaluate(R=radius) for radius in _RADII])
    for problem in context.problems(context.preset.kernel_samples):
        near, half = _near_kinks(context, problem)
        rates, control = (_rates(results[job].hits.values) for job in (near, half))
        agree = all(value in rate for rate, value in zip(rates, exact.tolist(), strict=True))
        worst = int(np.argmax([rate.estimate / bound for rate, bound in zip(rates, bounds, strict=True)]))
        broke = any(rate.lower > bound for rate, bound in zip(control, bounds, strict=True))
        yield Evidence(
            problem.setting | {"case": f"{_NEURONS} neurons", "R": ", ".join(f"{r:g}" for r in _RADII)},
            Condition("w ~ N(0, I), ‖x‖ = 1", near.scale == 1 and unit_norms(problem)),
            Condition(
                f"frequencies agree with erf(R/√2) at level {EQUALITY_LEVEL:.1%}, and erf(R/√2) ≤ 2R/√(2π)",
                agree and bool((exact <= bounds).all()),
            ),
            "≤",
            rates[worst].estimate,
            float(bounds[worst]),
            Control("w ~ N(0, I/4)", broke, control[worst].estimate),
            # A frequency that agrees with erf may lie above the bound by no more than its interval is wide.
            tolerance=rates[worst].upper - rates[worst].lower,
            interval=(rates[worst].lower, rates[worst].upper),
            trials=_NEURONS,
        )


def _rates(hits: np.ndarray) -> list[Interval]:
    level = 1 - (1 - EQUALITY_LEVEL) / len(_RADII)
    return [failure_interval(int(count), _NEURONS, level=level) for count in hits]


def _outputs(context: Context, problem: Problem) -> tuple[Outputs, Outputs]:
    """At initialization, and with weights twenty times as large."""
    trials, purpose = _MORE * context.preset.trials, f"K7 {problem.source.kind}"
    outputs = Outputs(problem.source, _WIDTH, trials, context.seed, purpose)
    return outputs, dataclasses.replace(outputs, scale=20.0)


def _all_outputs(context: Context) -> Iterator[Job]:
    for problem in context.problems(context.preset.kernel_samples):
        yield from _outputs(context, problem)


@claim(
    "K7",
    "with probability ≥ 1 − δ: ‖y − f(0)‖² ≤ n(C² + ½)/δ",
    letter="D",
    source="Markov's inequality, docs/theory.md K7",
    paper=OWN,
    needs=_all_outputs,
)
def loss_at_init(context: Context, results: Results) -> Iterator[Evidence]:
    """The loss at initialization, against networks started at twenty times the weights."""
    for problem in context.problems(context.preset.kernel_samples):
        jobs = _outputs(context, problem)
        outputs = (results[job].output.values[: context.preset.trials] for job in jobs)
        squares, control = (((problem.dataset.targets - values) ** 2).sum(axis=1) for values in outputs)
        bound = BOUNDS["K7"].evaluate(n=problem.num_samples, C=problem.largest_target, delta=DELTA)
        yield with_probability(
            problem.setting | {"m": _WIDTH},
            Condition("w ~ N(0, I), ‖x_i‖ = 1, |y_i| ≤ C", jobs[0].scale == 1 and unit_norms(problem)),
            f"‖y − f(0)‖² ≤ {bound:.4g}",
            squares,
            bound,
            control=control,
            control_setting="w ~ N(0, 400 I)",
        )


@claim(
    "K7-mean",
    "w ~ N(0, I), ‖x_i‖ = 1 ⇒ E f_i(0)² = ½",
    letter="D",
    source="docs/theory.md, K7",
    paper=OWN,
    needs=_all_outputs,
)
def output_at_init(context: Context, results: Results) -> Iterator[Evidence]:
    """Mean squared output over many seeds, with Student's interval."""
    for problem in context.problems(context.preset.kernel_samples):
        jobs = _outputs(context, problem)
        squares = ((results[job].output.values ** 2).mean(axis=1) for job in jobs)
        means, control = (mean_interval(values, level=EQUALITY_LEVEL) for values in squares)
        yield equal(
            problem.setting | {"m": _WIDTH},
            Condition("w ~ N(0, I), ‖x_i‖ = 1", jobs[0].scale == 1 and unit_norms(problem)),
            f"½ inside the {EQUALITY_LEVEL:.1%} interval of mean f_i(0)²",
            means,
            0.5,
            control=control,
            control_setting="w ~ N(0, 400 I)",
        )
