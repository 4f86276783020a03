"""Measured thresholds: the first of a row of widths or step sizes at which a conclusion about runs holds.

A conclusion holds at a value if the 95% Clopper–Pearson interval of its failures over independent seeds lies below δ,
and fails there if the interval lies above.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import kernels, prediction
from ntk_localsgd.statistics import failure_interval
from verification.jobs.rates import worst_ratio
from verification.jobs.training import Training

__all__ = [
    "DELTA",
    "TRIALS",
    "StepThreshold",
    "Threshold",
    "WidthThreshold",
    "failing_seeds",
    "first_to_hold",
    "holds_up_to",
    "patience",
]

#: Failure probability at which thresholds are measured, and seeds a value: none of 40 failing is what decides it.
DELTA, TRIALS = 0.1, 40

# Seeds that are trained in one program, then counted: nine failures decide, so that one group mostly does.
_GROUP = 10

# 2, 3, 4, 6, 8, … 16384: steps of √2.
_WIDTHS = tuple(math.ceil(2 ** (k / 2)) for k in range(2, 29))

# η in units of 1/max_c λ_max(H^∞_cc) from 32 down to 2^-10 in steps of √2: in the kernel regime runs are stable below
# 2. Stability is tried from ½ to 4, where losses fall below `_STABLE_SHARE` well within forty rounds.
_STEPS = tuple(2 ** (5 - k / 2) for k in range(31))
_UPWARDS = tuple(sorted(step for step in _STEPS if 0.5 <= step <= 4))

# A run is stable if its loss ends below this share of its start; a network that one huge step has killed, f = 0, does
# not.
_STABLE_SHARE = 0.5

# A deep run has converged if its loss has fallen to this share within twice the rounds of the kernel regime, or as far
# as the kernel regime gets in half of all rounds: the theorems' own rate, exp(−t/R_0), is too slow for a width to fail.
_SHARE = 0.01

Losses = Float[ndarray, " rounds"]


@dataclasses.dataclass(frozen=True)
class Threshold:
    """``value`` is where the conclusion begins, or ceases, to hold, ``fails`` the nearest tried at which it fails.

    Both are infinite where there is none.
    """

    value: float
    fails: float

    def dataset(self) -> xr.Dataset:
        """Both as scalars."""
        return xr.Dataset({"threshold": float(self.value), "fails": float(self.fails)})


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
    value = values[above] if above < len(values) else math.inf
    return Threshold(value, values[max(failed)] if failed else math.inf)


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


@functools.cache
def _enough(trials: int) -> int:
    """Failures from which on the rate's interval lies above δ."""
    return next(f for f in range(trials + 1) if failure_interval(f, trials).lower > DELTA or f == trials)


def failing_seeds(training: Training, holds: Callable[[Losses], bool], enough: int) -> int:
    """Seeds at which the losses of a run do not satisfy a conclusion; none are trained once enough have failed.

    A diverged run's losses end with an infinite one.
    """
    failed = 0
    for first in range(0, len(training.seeds), _GROUP):
        for run in training.runs(training.seeds[first : first + _GROUP]):
            losses = run.trajectory.loss.values.astype(np.float64)
            failed += not holds(losses if run.diverged_at is None else np.append(losses, np.inf))
        if failed >= enough:
            break
    return failed


@dataclasses.dataclass(frozen=True)
class WidthThreshold:
    """The smallest width of a grid at which runs converge: two-layer networks at C4's rate, deep ones by `patience`.

    Attributes
    ----------
    training
        The runs at m = 1; a deep network's step size is divided by the width.
    largest_width
        Where the grid ends.
    factor
        Multiplies the step size, but not the rate that deep networks are asked for: controls change it.
    """

    training: Training
    largest_width: int
    factor: float = 1.0

    def compute(self) -> xr.Dataset:
        """See `Threshold`."""
        return first_to_hold([width for width in _WIDTHS if width <= self.largest_width], self._failures).dataset()

    def _failures(self, width: float, enough: int) -> int:
        step_size = self.factor * self.training.step_size / (1 if self.training.depth is None else width)
        training = dataclasses.replace(self.training, width=int(width), step_size=step_size)
        if training.depth is None:
            return failing_seeds(training, functools.partial(_at_rate, training, None), enough)
        return failing_seeds(training, functools.partial(_reached, *patience(self.training)), enough)


@dataclasses.dataclass(frozen=True)
class StepThreshold:
    """The largest step size of a grid at which runs are stable, or keep C4's rate, in units of the training's own.

    Attributes
    ----------
    training
        The runs at η = 1/max_c λ_max(H^∞_cc).
    conclusion
        ``"stable"``, or ``"rate"``.
    lambda0
        Stands in λ0's place in the rate: controls set it.
    """

    training: Training
    conclusion: Literal["stable", "rate"]
    lambda0: float | None = None

    def compute(self) -> xr.Dataset:
        """See `Threshold`; the threshold is 0 where no step size will do."""
        stable = self.conclusion == "stable"
        threshold = holds_up_to(_UPWARDS, self._failures) if stable else first_to_hold(_STEPS, self._failures)
        return Threshold(threshold.value if math.isfinite(threshold.value) else 0.0, threshold.fails).dataset()

    def _failures(self, factor: float, enough: int) -> int:
        training = dataclasses.replace(self.training, step_size=factor * self.training.step_size)
        if self.conclusion == "stable":
            return failing_seeds(training, functools.partial(_reached, training.num_rounds, _STABLE_SHARE), enough)
        return failing_seeds(training, functools.partial(_at_rate, training, self.lambda0), enough)


def _at_rate(training: Training, lambda0: float | None, losses: Losses) -> bool:
    """Whether losses keep C4's rate; with K = τ = 1 that is C1's."""
    return bool(worst_ratio(training, losses[None], lambda0=lambda0)[0] <= 1)


def _reached(rounds: int, share: float, losses: Losses) -> bool:
    """Whether a run has not diverged, and its loss has fallen to a share of its start by a round."""
    return bool(np.isfinite(losses[-1]) and losses[min(rounds, len(losses) - 1)] <= share * losses[0])


@functools.cache
def patience(training: Training) -> tuple[int, float]:
    """Rounds, and the share of its loss that a deep run has reached by then if it has converged.

    Twice the rounds (four times with minibatches) that an infinitely wide network, f(0) = 0, takes to `_SHARE`; if it
    takes more than all rounds allow, all rounds, and the share that it reaches in half (a quarter) of them.
    """
    problem, times = training.problem, 2 if training.batch_size is None else 4
    assert training.depth is not None
    gram = kernels.infinite_deep_gram(problem.inputs, training.depth)
    config = dataclasses.replace(training.config, batch_size=None)
    path = prediction.local_gd(gram, training.clients, -problem.dataset.targets, config)
    shares = (path**2).sum(axis=1) / (path[0] ** 2).sum()
    share = max(_SHARE, float(shares[training.num_rounds // times]))
    return times * int(np.flatnonzero(shares <= share)[0]), share
