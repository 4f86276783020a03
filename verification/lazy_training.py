"""Weights, patterns and kernel hardly move in wide networks: S4, S5, S6."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.statistics import Interval, holds_as_exponent, slope
from verification.claims import claim
from verification.context import Context, Problem
from verification.runs import RunSpec
from verification.sampling import DELTA, with_probability

NUM_CLIENTS, LOCAL_STEPS = 4, 5

# How far an exponent may lie from the claimed one: m^0.1 is a factor 1.3 over a sweep of 16 in width, what corrections
# of relative order m^{-1/2} leave at the widths swept.
TOLERANCE = 0.1

# How much the share of the loss that is learned may differ between widths. Movement and flips follow what is learned;
# where half of it or more is, 0.05 is a tenth at most, or 0.035 in an exponent over a factor of 16 in width, a third of
# the tolerance. Where it differs by more, m is not yet large enough for a statement about m → ∞.
_LEARNED = 0.05

_OBSERVED = ("neuron_movement", "frobenius_movement", "flip_fraction", "smallest_eigenvalue", "gram_movement")


def sweep(context: Context, made: Problem) -> list[RunSpec]:
    """Local GD at several widths, all else alike; every claim about growth in m reads these."""
    return [_spec(context, made, width, context.preset.sweep_seeds) for width in context.preset.sweep_widths]


def growing_targets(context: Context, made: Problem) -> list[RunSpec]:
    """The control: targets grow with √m, so that the network must leave the kernel regime at every width."""
    preset = context.preset
    return [
        _spec(context, made, width, preset.control_seeds, target_scale=math.sqrt(width / 16))
        for width in preset.control_widths
    ]


def _spec(context: Context, made: Problem, width: int, seeds: int, *, target_scale: float = 1.0) -> RunSpec:
    rounds = context.preset.sweep_rounds
    return RunSpec(
        made.kind, made.num_samples, made.seed, NUM_CLIENTS, width,
        step_size=0.5 / made.largest_client_eigenvalue(NUM_CLIENTS), local_steps=LOCAL_STEPS, num_rounds=rounds,
        seeds=tuple(1000 * (context.seed + 1) + s for s in range(seeds)), observe=_OBSERVED,
        gram_every=max(1, rounds // 4), target_scale=target_scale,
    )  # fmt: skip


def _all_sweeps(context: Context) -> Iterator[RunSpec]:
    for made in context.problems(context.preset.sweep_samples):
        yield from sweep(context, made)
        yield from growing_targets(context, made)


def many_seeds(context: Context, made: Problem) -> RunSpec:
    """Local GD at one width for as many seeds as a probability needs."""
    rounds = context.preset.sweep_rounds
    return RunSpec(
        made.kind, made.num_samples, made.seed, NUM_CLIENTS, 1024,
        step_size=0.5 / made.largest_client_eigenvalue(NUM_CLIENTS), local_steps=LOCAL_STEPS, num_rounds=rounds,
        seeds=tuple(5000 * (context.seed + 1) + s for s in range(context.preset.trials)),
        observe=("neuron_movement", "smallest_eigenvalue"), gram_every=max(1, rounds // 4),
    )  # fmt: skip


def _many_seed_runs(context: Context) -> Iterator[RunSpec]:
    for made in context.problems(context.preset.kernel_samples):
        yield from (many_seeds(context, made), too_large_steps(context, made), too_narrow(context, made))


def too_large_steps(context: Context, made: Problem) -> RunSpec:
    """The same at forty times the step size: twenty over λ_max, ten times what is stable."""
    spec = many_seeds(context, made)
    return dataclasses.replace(spec, step_size=40 * spec.step_size)


def too_narrow(context: Context, made: Problem) -> RunSpec:
    """The same with two neurons."""
    return dataclasses.replace(many_seeds(context, made), width=2)


def _premise(made: Problem, spec: RunSpec) -> Condition:
    """C1's premise, under which the literature proves S4 and S6 for gradient descent (one client, sum loss)."""
    numbers = {"n": made.num_samples, "lambda0": made.lambda0.lower, "C": made.largest_target, "delta": DELTA}
    asked, step = BOUNDS["C1"].smallest_width(**numbers), BOUNDS["C1"].largest_step(**numbers)
    met = spec.num_clients == 1 and BOUNDS["C1"].premise_met(m=spec.width, eta=spec.step_size, **numbers)
    return Condition(f"K = 1, n > 3, η ≤ {step:.2g}, m ≥ {asked:.2g} (here η = {spec.step_size:.2g})", met)


@claim(
    "S4",
    "C1's premise ⇒ max_r ‖w_r(t) − w_r(0)‖ ≤ 4√n ‖y − f(0)‖ / (√m λ0) for all t, with probability ≥ 1 − δ",
    letter="P",
    source=BOUNDS["S4"].source,
    runs=_many_seed_runs,
)
def movement(context: Context) -> Iterator[Evidence]:
    """The largest movement of a neuron over the run, relative to its bound, under Local GD."""
    for made in context.problems(context.preset.kernel_samples):
        spec = many_seeds(context, made)
        ratios, control = (_movement_ratio(context, made, s) for s in (spec, too_large_steps(context, made)))
        yield with_probability(
            "S4", f"{made}, m = {spec.width}, K = {NUM_CLIENTS}, τ = {LOCAL_STEPS}", _premise(made, spec),
            "movement / bound ≤ 1", ratios, 1.0,
            control=control, control_setting="step size 20/λ_max instead of 0.5/λ_max",
        )  # fmt: skip


def _movement_ratio(context: Context, made: Problem, spec: RunSpec) -> np.ndarray:
    run = context.run(spec)
    bounds = [
        BOUNDS["S4"].evaluate(n=made.num_samples, m=spec.width, lambda0=made.lambda0.lower, residual=float(residual))
        for residual in np.sqrt(2 * run.loss.values[:, 0])
    ]
    return run.neuron_movement.max("round").values / bounds


@claim("S4-slope", "max_r ‖w_r(t) − w_r(0)‖ = Θ(m^{-1/2}) after a fixed number of rounds, ‖W(t) − W(0)‖_F = Θ(1)",
       letter="P", source=BOUNDS["S4"].source, runs=_all_sweeps)  # fmt: skip
def movement_slope(context: Context) -> Iterator[Evidence]:
    """Exponents of movement in the width."""
    for made in context.problems(context.preset.sweep_samples):
        yield _exponent(context, made, "S4-slope", "neuron_movement", -0.5)
        yield _exponent(context, made, "S4-slope", "frobenius_movement", 0.0)


@claim("S5", "the share of flipped activations after a fixed number of rounds is Θ(m^{-1/2})",
       letter="R", source="docs/theory.md, S5", runs=_all_sweeps)  # fmt: skip
def flip_slope(context: Context) -> Iterator[Evidence]:
    """Exponent of the flip fraction in the width."""
    for made in context.problems(context.preset.sweep_samples):
        yield _exponent(context, made, "S5", "flip_fraction", -0.5)


@claim("S6-slope", "‖H(t) − H(0)‖₂ = O(m^{-1/2}) after a fixed number of rounds",
       letter="R", source="docs/theory.md, S6", runs=_all_sweeps)  # fmt: skip
def gram_slope(context: Context) -> Iterator[Evidence]:
    """Exponent of the kernel's movement in the width; it may fall faster than claimed (``docs/theory.md``, S6)."""
    for made in context.problems(context.preset.sweep_samples):
        yield _exponent(context, made, "S6-slope", "gram_movement", -0.5, upper_bound_only=True)


def _exponent(
    context: Context, made: Problem, claim_id: str, quantity: str, claimed: float, *, upper_bound_only: bool = False
) -> Evidence:
    measured, control = (
        _slope(context, specs, quantity) for specs in (sweep(context, made), growing_targets(context, made))
    )
    holds, control_holds = (
        holds_as_exponent(found, claimed, TOLERANCE, upper_bound_only=upper_bound_only) for found in (measured, control)
    )
    widths = context.preset.sweep_widths
    relation = "at most" if upper_bound_only else "within"
    inside = "contains" if claimed in measured else "does not contain"
    return Evidence(
        claim_id, f"{made}, {quantity}, m = {widths[0]} … {widths[-1]}, K = {NUM_CLIENTS}, τ = {LOCAL_STEPS}",
        _alike_at_all_widths(context, made, sweep(context, made)),
        Condition(
            f"exponent {relation} {claimed:g} {'+' if upper_bound_only else '±'} {TOLERANCE:g}; "
            f"its interval {inside} {claimed:g}", holds,
        ),
        measured.estimate, claimed, Control("targets grow with √m", control_holds is False, control.estimate),
        interval=(measured.lower, measured.upper), trials=context.preset.sweep_seeds,
    )  # fmt: skip


def _alike_at_all_widths(context: Context, made: Problem, specs: list[RunSpec]) -> Condition:
    """The premise of every exponent: only the width changes, local steps are stable, all widths learn the same."""
    stable = all(spec.step_size * made.largest_client_eigenvalue(spec.num_clients) <= 1 for spec in specs)
    alike = len({dataclasses.replace(spec, width=0) for spec in specs}) == 1
    losses = [context.run(spec).loss.values for spec in specs]
    differs = float(np.ptp([np.mean(loss[:, -1] / loss[:, 0]) for loss in losses]))
    return Condition(
        f"only m changes (targets do not), η ≤ 1/max_c λ_max(H^∞_cc), the learned share of the loss differs by at most "
        f"{_LEARNED:g} between widths (here {differs:.2g})",
        stable and alike and differs <= _LEARNED,
    )


def _slope(context: Context, specs: list[RunSpec], quantity: str) -> Interval:
    """Slope over widths of the quantity at the run's end."""
    ends = [context.run(spec)[quantity] for spec in specs]
    values = np.stack([end.isel({end.dims[-1]: -1}).values for end in ends], axis=1)
    return slope([spec.width for spec in specs], values)


@claim(
    "S6",
    "C1's premise ⇒ λ_min(H(t)) ≥ λ0/2 along the whole run, with probability ≥ 1 − δ",
    letter="P",
    source="Du et al. 2019, Lemmas 3.2 and 4.1",
    runs=_many_seed_runs,
)
def smallest_eigenvalue(context: Context) -> Iterator[Evidence]:
    """Certified lower bounds of λ_min(H(t)), every quarter of the run."""
    for made in context.problems(context.preset.kernel_samples):
        spec = many_seeds(context, made)
        values, control = (
            context.run(s).smallest_eigenvalue.sel(bound="lower").min("gram_round").values
            for s in (spec, too_narrow(context, made))
        )
        yield with_probability(
            "S6", f"{made}, m = {spec.width}, K = {NUM_CLIENTS}, τ = {LOCAL_STEPS}", _premise(made, spec),
            "λ_min(H(t)) ≥ λ0/2 at every recorded round", values, made.lambda0.upper / 2,
            control=control, control_setting="m = 2", at_least=True,
        )  # fmt: skip
