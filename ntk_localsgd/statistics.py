"""Intervals for what is random, exponents of power laws, and when an interval decides. The statistics are SciPy's."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.errors import InputError

__all__ = [
    "LEVEL",
    "Interval",
    "failure_interval",
    "holds_with_probability",
    "implied_constant",
    "mean_interval",
    "slope",
]

#: Level of every interval that decides a probability or an exponent.
LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate with the ends of its confidence interval; of a mean, the independent values too."""

    estimate: float
    lower: float
    upper: float
    values: tuple[float, ...] = ()

    @property
    def half_width(self) -> float:
        """(upper − lower) / 2."""
        return (self.upper - self.lower) / 2

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.lower <= value <= self.upper


def failure_interval(failures: int, trials: int, *, level: float = LEVEL) -> Interval:
    """Clopper–Pearson interval for a failure rate: exact coverage at least ``level``, two-sided.

    Parameters
    ----------
    failures, trials
        Independent trials and how many of them failed.
    level
        Confidence level.

    Returns
    -------
    Interval

    Raises
    ------
    InputError
        If there is no trial, or more failures than trials.
    """
    if not 0 <= failures <= trials or trials < 1:
        raise InputError(f"failures and trials are {failures} and {trials}, need 0 ≤ failures ≤ trials and a trial.")
    ci = scipy.stats.binomtest(failures, trials).proportion_ci(level, method="exact")
    return Interval(failures / trials, float(ci.low), float(ci.high))


def holds_with_probability(failures: int, trials: int, delta: float) -> bool | None:
    """Whether "with probability at least 1 − δ" holds: True, False, or None while the interval straddles δ.

    At δ = 0.05 even failure-free trials decide nothing before there are 72 of them.
    """
    rate = failure_interval(failures, trials)
    if rate.upper <= delta:
        return True
    return False if rate.lower > delta else None


def slope(parameter: Sequence[float] | ndarray, values: Float[ndarray, "seeds points"]) -> Interval:
    """Exponent of a power law: mean over seeds of the least-squares slope of log value on log parameter.

    Every seed gives one slope; seeds are independent, so Student's t gives the interval of their mean.

    Parameters
    ----------
    parameter
        Positive values of the parameter, e.g. widths.
    values
        Positive measurements, one row a seed.

    Returns
    -------
    Interval
        At level `LEVEL`.

    Raises
    ------
    InputError
        For fewer than two seeds or two points, or values that have no logarithm.
    """
    values, parameter = np.asarray(values, np.float64), np.asarray(parameter, np.float64)
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 2 or values.shape[1] != parameter.size:
        raise InputError(f"values has shape {values.shape}, needs at least 2 seeds × the {parameter.size} parameters.")
    if not (np.isfinite(values).all() and (values > 0).all() and (parameter > 0).all()):
        raise InputError(f"values between {values.min()} and {values.max()} have no logarithm, need to be positive.")
    lever = np.log(parameter) - np.log(parameter).mean()
    return mean_interval(np.log(values) @ lever / (lever @ lever))


def mean_interval(values: Sequence[float] | ndarray, *, level: float = LEVEL) -> Interval:
    """Student's interval for the mean of independent values, of which there must be at least two."""
    mean = float(np.mean(values))
    half = float(scipy.stats.t.ppf((1 + level) / 2, len(values) - 1) * scipy.stats.sem(values))
    return Interval(mean, mean - half, mean + half, tuple(map(float, values)))


def implied_constant(
    measured: Float[ndarray, "seeds points"], shape: Float[ndarray, " points"]
) -> Float[ndarray, "seeds points"]:
    """C = measured / shape: the constant that an O(shape) statement needs at every point of a sweep."""
    return np.asarray(measured, np.float64) / np.asarray(shape, np.float64)
