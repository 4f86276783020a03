"""The tightness map of widths: what theorems ask for, what runs need, and how both grow: C6-width."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Evidence
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
from verification.jobs.thresholds import DELTA, TRIALS, WidthThreshold
from verification.jobs.training import Training
from verification.judging import threshold
from verification.papers import OWN
from verification.registry import claim

__all__ = ["sweeps"]

# Rounds of every run of a bound; with K = τ = 1, as in C1, a round is one gradient step.
_ROUNDS = {"C1": 256, "C4": 64, "C2": 128, "C3": 128}

# What controls do to the step size: times this, twenty over λ_max and more, diverges at every width with two layers.
# Deep networks of some widths converge even so; they are slowed down instead, as much, with as many rounds as before.
_SPOILED = 40.0


@dataclasses.dataclass(frozen=True)
class _At:
    """The varied parameters at a point."""

    n: int
    phi: float
    clients: int
    tau: int
    depth: int


def sweeps(context: Context, bound: str, kind: str) -> list[list[Point]]:
    """Of every repeat, a data set of its own: every parameter's values in turn, all else at the first one."""
    sizes = context.preset.widths
    first = _At(sizes.samples[0], sizes.separations[0], sizes.clients[0], sizes.local_steps[0], sizes.depths[0])
    varied = {"n": [dataclasses.replace(first, n=n) for n in sorted(sizes.samples)]}
    if kind == "planted":
        close = [dataclasses.replace(first, phi=phi) for phi in sizes.separations]
        varied["λ0" if bound in ("C1", "C4") else "φ"] = close
    if bound in ("C4", "C2") and kind == "planted":
        varied["K"] = [dataclasses.replace(first, clients=clients) for clients in sorted(sizes.clients)]
        varied["τ"] = [dataclasses.replace(first, tau=tau) for tau in sorted(sizes.local_steps)]
    if bound == "C2":
        varied["L"] = [dataclasses.replace(first, depth=depth) for depth in sorted(sizes.depths)]
    swept = [(name, at) for name, points in varied.items() if len(points) > 1 for at in points]
    seeds = context.seeds("C6-width data", sizes.repeats)
    return [[_point(context, bound, kind, seed, name, at) for name, at in swept] for seed in seeds]


def _point(context: Context, bound: str, kind: str, seed: int, parameter: str, at: _At) -> Point:
    job = WidthThreshold(_training(context, bound, kind, seed, at), context.preset.widths.largest_width)
    return Point(parameter, value_of(parameter, job), job, _asked(bound, job.training))


def _training(context: Context, bound: str, kind: str, seed: int, at: _At) -> Training:
    """The runs of a bound at m = 1."""
    distance = at.phi if kind == "planted" else None
    problem = context.problem(kind, at.n, seed=seed, distance=distance)
    clients, tau = (1, 1) if bound == "C1" else (at.clients, at.tau)
    deep = bound in ("C2", "C3")
    if deep:
        step = 0.5 / problem.largest_deep_eigenvalue(clients, at.depth)
    else:
        # ∝ 1/τ, as C4 asks for: at a fixed step size its rate, linear in τ, is beyond every width for large τ.
        step = (0.5 if bound == "C1" else 1 / tau) / problem.largest_client_eigenvalue(clients)
    return Training(
        problem.source,
        clients,
        width=1,
        step_size=step,
        local_steps=tau,
        num_rounds=_ROUNDS[bound],
        seeds=context.seeds("C6-width", TRIALS),
        depth=at.depth if deep else None,
        batch_size=max(1, min(problem.split(clients).sizes) // 2) if bound == "C3" else None,
    )


def _asked(bound: str, training: Training) -> float:
    """The width that a theorem asks for, constants 1."""
    problem = training.problem
    known = numbers(training, DELTA) | {"C": problem.largest_target, "phi": problem.dataset.separation, "o": 1}
    known["L"] = training.depth or 1
    needs = BOUNDS[bound].needs
    return float(BOUNDS[bound].smallest_width(**{k: v for k, v in known.items() if k in needs and k != "m"}))


def _spoiled(context: Context, bound: str, kind: str) -> WidthThreshold:
    """The control: the first point with a step size at which no width will do."""
    job = sweeps(context, bound, kind)[0][0].job
    assert isinstance(job, WidthThreshold)
    return dataclasses.replace(job, factor=_SPOILED if job.training.depth is None else 1 / _SPOILED)


def _families(context: Context) -> Iterator[tuple[str, str]]:
    return ((bound, kind) for bound in context.preset.widths.bounds for kind in context.preset.widths.kinds)


def _needs(context: Context) -> Iterator[WidthThreshold]:
    for bound, kind in _families(context):
        yield from jobs_of(sweeps(context, bound, kind))  # type: ignore[misc]
        yield _spoiled(context, bound, kind)


@claim(
    "C6-width",
    "the smallest width at which a theorem's conclusion holds with probability ≥ 1 − δ is at most the width that the "
    f"theorem asks for, and its exponents in n, λ0, φ, K, τ and L exceed those asked for by at most {TOLERANCE:g}",
    letter="R",
    source="widths asked for: bounds of C1 (published), C2, C3 and C4 (recalled), constants 1",
    paper=OWN,
    needs=_needs,
)
def widths(context: Context, results: Results) -> Iterator[Evidence]:
    """One row a bound and kind of data; in the control a step size at which no width will do."""
    for bound, kind in _families(context):
        points = sweeps(context, bound, kind)
        table, control = measured(results, points), _spoiled(context, bound, kind)
        needed, asked, broken = table.threshold.values, table.asked.values, float(results[control].threshold)
        found, fails = (values[np.isfinite(values)] for values in (needed, table.fails.values))
        failing = f" (fails at {fails.min():g} … {fails.max():g})" if fails.size else ""
        missing = f"none up to {control.largest_width} at {needed.size - found.size} of {needed.size} points; "
        least = f"needed {found.min():g} … {found.max():g}{failing}, " if found.size else ""
        grows, powers = no_faster(table)
        data = close_pair(points[0][0].job.training.problem)
        yield threshold(
            "≤",
            {"case": bound, "data": data, "data sets": len(points), "seeds": TRIALS, "δ": DELTA},
            one_at_a_time(points),
            f"{least}{missing * (found.size < needed.size)}asked {asked.min():.2g} … {asked.max():.2g}; exponents "
            f"needed beside asked: {powers}",
            needed / asked,
            grows=grows,
            control=broken / asked[0, 0],
            control_setting=f"step size {control.factor:g} times as large: width needed, "
            f"{f'none up to {control.largest_width}' if math.isinf(broken) else f'{broken:g}'}, over the one asked for",
            tolerance=TOLERANCE,
        )
