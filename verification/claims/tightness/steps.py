"""The tightness map of step sizes: how large η may be, and whether it must shrink like 1/τ: C6-stability, C6-step."""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from verification.claims.tightness.sweeps import (
    TOLERANCE,
    Point,
    close_pair,
    jobs_of,
    measured,
    no_faster,
    one_at_a_time,
    value_of,
)
from verification.context import Context
from verification.engine import Results
from verification.jobs.rates import numbers
from verification.jobs.thresholds import DELTA, TRIALS, StepThreshold
from verification.jobs.training import Training
from verification.judging import at_least, threshold
from verification.papers import OWN
from verification.registry import claim

__all__ = ["sweeps"]

_ROUNDS = 40

# In the kernel regime η max_c λ_max(Θ_cc) < 2 is stable; one step of the grid for the distance of Θ from H^∞.
_STABLE = math.sqrt(2)

Conclusion = Literal["stable", "rate"]


def sweeps(context: Context, kind: str, width: int, conclusion: Conclusion) -> list[list[Point]]:
    """Of every repeat, a data set of its own: every parameter's values in turn, all else at the first one.

    Stability is measured over τ alone.
    """
    sizes = context.preset.steps
    n, phi, tau = sizes.samples[0], sizes.separations[0], sizes.local_steps[0]
    varied = {"τ": [(n, phi, steps) for steps in sorted(sizes.local_steps)]}
    if conclusion == "rate":
        varied["n"] = [(samples, phi, tau) for samples in sorted(sizes.samples)]
        varied |= {"λ0": [(n, distance, tau) for distance in sizes.separations]} if kind == "planted" else {}
    swept = [(name, at) for name, points in varied.items() if len(points) > 1 for at in points]
    seeds = context.seeds("C6-step data", sizes.repeats)
    return [[_point(context, kind, width, conclusion, seed, name, at) for name, at in swept] for seed in seeds]


def _point(
    context: Context,
    kind: str,
    width: int,
    conclusion: Conclusion,
    seed: int,
    parameter: str,
    at: tuple[int, float, int],
) -> Point:
    samples, phi, tau = at
    problem = context.problem(kind, samples, seed=seed, distance=phi if kind == "planted" else None)
    clients = min(4, samples)
    step = 1 / problem.largest_client_eigenvalue(clients)
    trials = context.seeds("C6-step", TRIALS)
    job = StepThreshold(Training(problem.source, clients, width, step, tau, _ROUNDS, trials), conclusion)
    return Point(parameter, value_of(parameter, job), job, _asked(job.training))


def _asked(training: Training) -> float:
    """The step size that C4 asks for, in units of the training's own."""
    known = {k: v for k, v in numbers(training, DELTA).items() if k in ("n", "lambda0", "kappa", "tau")}
    return BOUNDS["C4"].largest_step(**known) / training.step_size


def _too_fast(points: list[list[Point]]) -> tuple[StepThreshold, float]:
    """The control, at the first point: a rate that no direction has; and the step size that C4 asks for there."""
    job, asked = points[0][0].job, points[0][0].asked
    largest = float(np.linalg.eigvalsh(job.training.problem.gram)[-1])
    return StepThreshold(job.training, "rate", 8 * largest), asked


def _stability_needs(context: Context) -> Iterator[StepThreshold]:
    sizes = context.preset.steps
    for kind in sizes.kinds:
        for width in sizes.widths:
            for conclusion in ("stable", "rate"):
                yield from jobs_of(sweeps(context, kind, width, conclusion))  # type: ignore[misc]


def _step_needs(context: Context) -> Iterator[StepThreshold]:
    for kind in context.preset.steps.kinds:
        points = sweeps(context, kind, context.preset.steps.widths[0], "rate")
        yield from jobs_of(points)  # type: ignore[misc]
        yield _too_fast(points)[0]


def _setting(points: list[list[Point]]) -> dict[str, object]:
    training = points[0][0].job.training
    setting = {"data": close_pair(training.problem), "m": training.width, "data sets": len(points)}
    return setting | {"seeds": TRIALS, "δ": DELTA}


@claim(
    "C6-stability",
    "kernel regime ⇒ Local GD is stable at every η < 2/max_c λ_max(Θ_cc), whatever τ: the largest stable step size "
    "does not fall like 1/τ",
    letter="D",
    source="docs/theory.md §4",
    paper=OWN,
    needs=_stability_needs,
)
def stability(context: Context, results: Results) -> Iterator[Evidence]:
    """Largest stable η at every τ; the control asks for C4's rate besides, which is linear in τ."""
    sizes = context.preset.steps
    for kind in sizes.kinds:
        for width in sizes.widths:
            points = sweeps(context, kind, width, "stable")
            stable, rate = (measured(results, each) for each in (points, sweeps(context, kind, width, "rate")))
            smallest, other = (_over_steps(table).threshold.values.min() for table in (stable, rate))
            yield at_least(
                _setting(points) | {"n": sizes.samples[0], "K": min(4, sizes.samples[0])},
                Condition("kernel regime: Θ stays as it is, which it does at no finite width", False),
                "stable from η max_c λ_max(H^∞_cc) = ½ up to ≥ √2, a grid's step below 2, at every τ; tried up to "
                f"4: {_listed(stable)}",
                smallest,
                _STABLE,
                control=other,
                control_setting=f"C4's rate ‖r(t)‖² ≤ (1 − ηλ0τ/(2K))^t ‖r(0)‖² is asked for: {_listed(rate)}",
                trials=stable.threshold.size,
            )


@claim(
    "C6-step",
    "the largest step size at which C4's rate holds with probability ≥ 1 − δ is at least the one that C4 asks for, and "
    f"its exponents in n, τ and λ0 fall short of those asked for by at most {TOLERANCE:g}",
    letter="R",
    source="step size asked for: bound of C4, constants 1",
    paper=OWN,
    needs=_step_needs,
)
def steps(context: Context, results: Results) -> Iterator[Evidence]:
    """Measured over asked, and exponents beside asked ones; the control puts 8 λ_max(H^∞) in λ0's place."""
    for kind in context.preset.steps.kinds:
        points = sweeps(context, kind, context.preset.steps.widths[0], "rate")
        table, (control, asked) = measured(results, points), _too_fast(points)
        ratios, spoiled = table.threshold.values / table.asked.values, float(results[control].threshold) / asked
        grows, powers = no_faster(table, step=True)
        yield threshold(
            "≥",
            _setting(points),
            one_at_a_time(points),
            f"largest η over the one asked for: {ratios.min():.3g} … {ratios.max():.3g}; exponents measured beside "
            f"asked: {powers}",
            ratios,
            grows=grows,
            control=spoiled,
            control_setting="8 λ_max(H^∞) in λ0's place, faster than any direction: largest η over the one asked for",
            tolerance=TOLERANCE,
        )


def _over_steps(table: xr.Dataset) -> xr.Dataset:
    return table.isel(point=table.parameter.values == "τ")


def _listed(table: xr.Dataset) -> str:
    """Geometric means over data sets by τ."""
    part = _over_steps(table)
    with np.errstate(divide="ignore"):  # a step size of 0 has the mean 0
        means = np.exp(np.log(part.threshold.values).mean(axis=0))
    values = part["at"].values[0]
    return ", ".join(f"{mean:.2g} at τ = {tau:g}" for tau, mean in zip(values, means, strict=True))
