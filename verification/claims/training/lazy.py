"""Weights, patterns and kernel hardly move in wide networks: S4, S5, S6."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence, Relation
from ntk_localsgd.statistics import Interval, slope
from verification.claims.growth import TOLERANCE, learned_alike
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.training import Training
from verification.judging import DELTA, as_exponent, with_probability
from verification.papers import DU
from verification.registry import claim

__all__ = ["LOCAL_STEPS", "NUM_CLIENTS", "growing_targets", "sweep"]

NUM_CLIENTS, LOCAL_STEPS = 4, 5

_OBSERVED = ("neuron_movement", "frobenius_movement", "flip_fraction", "smallest_eigenvalue", "gram_movement")


def _training(context: Context, problem: Problem, width: int, seeds: tuple[int, ...]) -> Training:
    rounds = context.preset.sweep_rounds
    return Training(
        problem.source,
        NUM_CLIENTS,
        width,
        step_size=0.5 / problem.largest_client_eigenvalue(NUM_CLIENTS),
        local_steps=LOCAL_STEPS,
        num_rounds=rounds,
        seeds=seeds,
        observe=_OBSERVED,
        gram_every=max(1, rounds // 4),
    )


def sweep(context: Context, problem: Problem) -> list[Training]:
    """Local GD at several widths, all else alike; every claim about growth in m reads these."""
    seeds = context.seeds("width sweeps", context.preset.sweep_seeds)
    return [_training(context, problem, width, seeds) for width in context.preset.sweep_widths]


def growing_targets(context: Context, problem: Problem) -> list[Training]:
    """The control: targets grow with √m, so that the network must leave the kernel regime at every width."""
    seeds = context.seeds("width sweeps", context.preset.control_seeds)
    trainings = [_training(context, problem, width, seeds) for width in context.preset.control_widths]
    return [dataclasses.replace(job, target_scale=math.sqrt(job.width / 16)) for job in trainings]


def _all_sweeps(context: Context) -> Iterator[Training]:
    for problem in context.problems(context.preset.sweep_samples):
        yield from sweep(context, problem)
        yield from growing_targets(context, problem)


def _many_seeds(context: Context, problem: Problem) -> Training:
    """Local GD at one width for as many seeds as a probability needs."""
    training = _training(context, problem, 1024, context.seeds("many seeds", context.preset.trials))
    return dataclasses.replace(training, observe=("neuron_movement", "smallest_eigenvalue"))


def _too_large_steps(context: Context, problem: Problem) -> Training:
    """The same at forty times the step size: twenty over λ_max, ten times what is stable."""
    training = _many_seeds(context, problem)
    return dataclasses.replace(training, step_size=40 * training.step_size)


def _too_narrow(context: Context, problem: Problem) -> Training:
    """The same with two neurons."""
    return dataclasses.replace(_many_seeds(context, problem), width=2)


def _many_seed_runs(context: Context) -> Iterator[Training]:
    for problem in context.problems(context.preset.kernel_samples):
        yield from (job(context, problem) for job in (_many_seeds, _too_large_steps, _too_narrow))


def _setting(problem: Problem, training: Training) -> dict[str, object]:
    return problem.setting | {"m": training.width, "K": training.num_clients, "τ": training.local_steps}


def _premise(problem: Problem, training: Training) -> Condition:
    """C1's premise, under which the literature proves S4 and S6 for gradient descent (one client, sum loss)."""
    numbers = {"n": problem.num_samples, "lambda0": problem.lambda0.lower, "C": problem.largest_target, "delta": DELTA}
    asked, step = BOUNDS["C1"].smallest_width(**numbers), BOUNDS["C1"].largest_step(**numbers)
    met = BOUNDS["C1"].premise_met(m=training.width, eta=training.step_size, **numbers)
    text = f"K = 1, n > 3, η ≤ {step:.2g}, m ≥ {asked:.2g} (here η = {training.step_size:.2g})"
    return Condition(text, training.num_clients == 1 and met)


@claim(
    "S4",
    "C1's premise ⇒ max_r ‖w_r(t) − w_r(0)‖ ≤ 4√n ‖y − f(0)‖ / (√m λ0) for all t, with probability ≥ 1 − δ",
    letter="P",
    source=BOUNDS["S4"].source,
    paper=DU,
    needs=_many_seed_runs,
)
def movement(context: Context, results: Results) -> Iterator[Evidence]:
    """The largest movement of a neuron over the run, relative to its bound, under Local GD."""
    for problem in context.problems(context.preset.kernel_samples):
        training, broken = _many_seeds(context, problem), _too_large_steps(context, problem)
        yield with_probability(
            _setting(problem, training),
            _premise(problem, training),
            "movement / bound ≤ 1",
            _movement_ratio(results, training),
            1.0,
            control=_movement_ratio(results, broken),
            control_setting="step size 20/λ_max instead of 0.5/λ_max",
        )


def _movement_ratio(results: Results, training: Training) -> np.ndarray:
    run, problem = results[training], training.problem
    numbers = {"n": problem.num_samples, "m": training.width, "lambda0": problem.lambda0.lower}
    residuals = np.sqrt(2 * run.loss.values[:, 0])
    bounds = [BOUNDS["S4"].evaluate(residual=float(residual), **numbers) for residual in residuals]
    return run.neuron_movement.max("round").values / bounds


@claim(
    "S4-slope",
    "max_r ‖w_r(t) − w_r(0)‖ = Θ(m^{-1/2}) after a fixed number of rounds, ‖W(t) − W(0)‖_F = Θ(1)",
    letter="P",
    source=BOUNDS["S4"].source,
    paper=DU,
    needs=_all_sweeps,
)
def movement_slope(context: Context, results: Results) -> Iterator[Evidence]:
    """Exponents of movement in the width."""
    for problem in context.problems(context.preset.sweep_samples):
        yield _exponent(context, results, problem, "neuron_movement", -0.5)
        yield _exponent(context, results, problem, "frobenius_movement", 0.0)


@claim(
    "S5",
    "the share of flipped activations after a fixed number of rounds is Θ(m^{-1/2})",
    letter="D, heuristic",
    source="docs/theory.md, S5",
    paper=DU,
    needs=_all_sweeps,
)
def flip_slope(context: Context, results: Results) -> Iterator[Evidence]:
    """Exponent of the flip fraction in the width."""
    for problem in context.problems(context.preset.sweep_samples):
        yield _exponent(context, results, problem, "flip_fraction", -0.5)


@claim(
    "S6-slope",
    "‖H(t) − H(0)‖₂ = O(m^{-1/2}) after a fixed number of rounds",
    letter="D, heuristic",
    source="docs/theory.md, S6",
    paper=DU,
    needs=_all_sweeps,
)
def gram_slope(context: Context, results: Results) -> Iterator[Evidence]:
    """Exponent of the kernel's movement in the width; it may fall faster than claimed (``docs/theory.md``, S6)."""
    for problem in context.problems(context.preset.sweep_samples):
        yield _exponent(context, results, problem, "gram_movement", -0.5, "≤")


def _exponent(
    context: Context,
    results: Results,
    problem: Problem,
    quantity: str,
    claimed: float,
    relation: Relation = "within",
) -> Evidence:
    trainings = sweep(context, problem)
    setting = {"m": f"{trainings[0].width} … {trainings[-1].width}", "K": NUM_CLIENTS, "τ": LOCAL_STEPS}
    return as_exponent(
        problem.setting | {"quantity": quantity} | setting,
        learned_alike(results, trainings),
        quantity,
        _slope(results, trainings, quantity),
        claimed,
        TOLERANCE,
        control=_slope(results, growing_targets(context, problem), quantity),
        control_setting="targets grow with √m",
        relation=relation,
        trials=context.preset.sweep_seeds,
    )


def _slope(results: Results, trainings: list[Training], quantity: str) -> Interval:
    """Slope over widths of the quantity at the run's end."""
    ends = [results[job][quantity] for job in trainings]
    values = np.stack([end.isel({end.dims[-1]: -1}).values for end in ends], axis=1)
    return slope([job.width for job in trainings], values)


@claim(
    "S6",
    "C1's premise ⇒ λ_min(H(t)) ≥ λ0/2 along the whole run, with probability ≥ 1 − δ",
    letter="P",
    source="Du et al. 2019, Lemmas 3.2 and 4.1",
    paper=DU,
    needs=_many_seed_runs,
)
def smallest_eigenvalue(context: Context, results: Results) -> Iterator[Evidence]:
    """Certified lower bounds of λ_min(H(t)), every quarter of the run."""
    for problem in context.problems(context.preset.kernel_samples):
        training, narrow = _many_seeds(context, problem), _too_narrow(context, problem)
        values, control = (_lowest(results[job]) for job in (training, narrow))
        yield with_probability(
            _setting(problem, training),
            _premise(problem, training),
            "λ_min(H(t)) ≥ λ0/2 at every recorded round",
            values,
            problem.lambda0.upper / 2,
            control=control,
            control_setting="m = 2",
            relation="≥",
        )


def _lowest(run: xr.Dataset) -> np.ndarray:
    """Lower bounds of λ_min(H(t)) over the recorded rounds, per seed; a run that diverged has none."""
    lowest = run.smallest_eigenvalue.sel(bound="lower").min("gram_round")
    return lowest.where(run.diverged_at < 0, -np.inf).values
