"""Measured thresholds: the first of a row of widths or step sizes at which a conclusion holds; exponents in a sweep.

A conclusion holds at a value if the 95% Clopper–Pearson interval of its failures over independent seeds lies below δ,
and fails there if the interval lies above.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr

from ntk_localsgd import local_sgd
from ntk_localsgd.statistics import Interval, failure_interval, slope
from verification.context import Context, Problem
from verification.runs import RunSpec

__all__ = [
    "DELTA", "TRIALS", "Sweep", "Threshold", "exponents", "failing_seeds", "first_to_hold", "holds_up_to", "measure",
    "no_faster", "seeds",
]  # fmt: skip

#: Failure probability at which thresholds are measured, and seeds a value: none of 40 failing is what decides it.
DELTA, TRIALS = 0.1, 40

# Grids have steps of √2: over a sweep of 4 one step more at its end is an exponent of ¼.
_TOLERANCE = 0.25


@dataclasses.dataclass(frozen=True)
class Threshold:
    """``value`` is where the conclusion begins, or ceases, to hold, ``fails`` the nearest tried at which it fails.

    Both are infinite where there is none.
    """

    value: float
    fails: float


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What is varied, and the data and settings at each of its values; what is looked for is left to be filled in."""

    parameter: str
    values: tuple[float, ...]
    points: tuple[tuple[Problem, RunSpec], ...]


def first_to_hold(values: Sequence[float], failures: Callable[[float, int], int], trials: int = TRIALS) -> Threshold:
    """Bisect values that are ordered from failing to holding; once the conclusion holds it is taken to go on holding.

    Parameters
    ----------
    values
        At most a few dozen.
    failures
        Failures among ``trials`` seeds at a value; it may stop counting at its second argument, from which on the
        conclusion has failed whatever other seeds say.
    trials
        Independent seeds at every value.
    """
    enough = _enough(trials)
    counts: dict[int, int] = {}
    below, above = -1, len(values)
    while above - below > 1:
        middle = (below + above) // 2
        counts[middle] = failures(values[middle], enough)
        if failure_interval(counts[middle], trials).upper <= DELTA:
            above = middle
        else:
            below = middle
    failed = [at for at, count in counts.items() if at < above and count >= enough]
    return Threshold(
        values[above] if above < len(values) else math.inf, values[max(failed)] if failed else math.inf
    )  # fmt: skip


def holds_up_to(values: Sequence[float], failures: Callable[[float, int], int], trials: int = TRIALS) -> Threshold:
    """Try ascending values one after the other until the conclusion holds no longer: it holds at all up to ``value``.

    Arguments as in `first_to_hold`. Nothing is taken for granted between them; a conclusion that holds at none of them
    has no value, one that holds at all never fails.
    """
    enough, held = _enough(trials), math.inf
    for value in values:
        if failure_interval(failures(value, enough), trials).upper > DELTA:
            return Threshold(held, value)
        held = value
    return Threshold(held, math.inf)


def _enough(trials: int) -> int:
    """Failures from which on the rate's interval lies above δ."""
    return next(f for f in range(trials + 1) if failure_interval(f, trials).lower > DELTA or f == trials)


def seeds(context: Context, first: int) -> tuple[int, ...]:
    """As many as decide, by the context's seed."""
    return tuple(range(first * (context.seed + 1), first * (context.seed + 1) + TRIALS))


def failing_seeds(
    made: Problem, spec: RunSpec, holds: Callable[[Problem, RunSpec, np.ndarray], bool], enough: int
) -> int:
    """Seeds at which the losses [round] of the run do not satisfy a conclusion; counting stops when they are enough.

    A diverged run's losses end with an infinite one.
    """
    split, failed = made.split(spec.num_clients, spec.split), 0
    for seed in spec.seeds:
        net, batches = spec.network(seed, made.dataset), spec.batch_key(seed)
        run = local_sgd.run(net, spec.scaled(made.dataset), split, spec.config, key=batches)
        losses = run.trajectory.loss.values.astype(np.float64)
        losses = losses if run.diverged_at is None else np.append(losses, np.inf)
        failed += not holds(made, spec, losses)
        if failed >= enough:
            break
    return failed


def measure(
    sweeps: Sequence[Sequence[Sweep]],
    threshold: Callable[[Problem, RunSpec], Threshold],
    asked: Callable[[Problem, RunSpec], float],
) -> xr.Dataset:
    """Thresholds, where the conclusion still fails, and what a theorem asks for, [repeat point].

    ``sweeps`` are of equal shape, one a data set.

    Points that several sweeps share are measured once. Every point keeps its parameter's name and value.
    """
    rows: list[list[Threshold]] = []
    for repeat in sweeps:
        points = {spec: made for sweep in repeat for made, spec in sweep.points}
        known = {spec: threshold(made, spec) for spec, made in points.items()}
        rows.append([known[spec] for sweep in repeat for _, spec in sweep.points])
    wanted = [[asked(*point) for sweep in repeat for point in sweep.points] for repeat in sweeps]
    names = [sweep.parameter for sweep in sweeps[0] for _ in sweep.points]
    at = [[value for sweep in repeat for value in sweep.values] for repeat in sweeps]
    return xr.Dataset(
        {
            "threshold": (("repeat", "point"), np.array([[found.value for found in row] for row in rows])),
            "fails": (("repeat", "point"), np.array([[found.fails for found in row] for row in rows])),
            "asked": (("repeat", "point"), np.array(wanted, np.float64)),
            "at": (("repeat", "point"), np.array(at, np.float64)),
        },
        {"parameter": ("point", np.array(names))},
    )


def exponents(measured: xr.Dataset, quantity: str = "threshold") -> Mapping[str, Interval]:
    """By parameter: the power of it that the thresholds, or what is ``"asked"``, grow with, over data sets.

    A parameter at one of whose values no threshold was found is left out.
    """
    names, values, found = measured.parameter.values, measured[quantity].values, {}
    for name in dict.fromkeys(names.tolist()):
        which = names == name
        at = measured.threshold.values[:, which]
        if quantity == "threshold" and not (np.isfinite(at) & (at > 0)).all():
            continue
        found[name] = slope(np.exp(np.log(measured["at"].values[:, which]).mean(axis=0)), values[:, which])
    return found


def no_faster(measured: xr.Dataset, *, step: bool = False) -> tuple[bool | None, str]:
    """Whether widths needed grow no faster than those asked for in any parameter, and the exponents in words.

    A width asked for that grows as its parameter falls (λ0, φ) is compared as the parameter falls. With ``step`` the
    thresholds are step sizes, which may fall no faster. None if an interval leaves it open, or a threshold is missing.
    """
    needed, asked = exponents(measured), exponents(measured, "asked")
    verdicts: list[bool | None] = [None] * (len(needed) < len(asked))
    for name, found in needed.items():
        sign = (-1 if name in ("λ0", "φ") else 1) * (-1 if step else 1)
        ends, most = sorted((sign * found.lower, sign * found.upper)), sign * asked[name].estimate + _TOLERANCE
        verdicts.append(True if ends[1] <= most else False if ends[0] > most else None)
    words = "; ".join(
        f"{name} {found.estimate:.2f} ± {found.half_width:.2f} beside {asked[name].estimate:.1f}"
        for name, found in needed.items()
    )
    return False if False in verdicts else None if None in verdicts else True, words
