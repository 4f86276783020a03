"""From measurements to verdicts: premise and conclusion decided separately, with intervals for what is random.

A claim reads premise ⇒ conclusion. The statistics are SciPy's; what is ours is when an interval decides.
"""

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.errors import InputError

__all__ = [
    "Condition", "Control", "Evidence", "Interval", "Verdict", "decide", "failure_interval", "holds_as_exponent",
    "holds_with_probability", "implied_constant", "mean_interval", "slope",
]  # fmt: skip

#: Level of every interval that decides a probability or an exponent.
LEVEL = 0.95


class Verdict(enum.StrEnum):
    """What premise and conclusion say together."""

    VERIFIED = "verified"  #: premise met, conclusion holds
    REFUTED = "refuted"  #: premise met, conclusion fails: a counterexample, or a bug
    OBSERVED = "observed"  #: premise not met, conclusion holds anyway: the theorem is conservative
    SILENT = "silent"  #: premise not met, conclusion fails: the theorem says nothing
    INCONCLUSIVE = "inconclusive"  #: the interval straddles the threshold


def decide(premise: bool, conclusion: bool | None) -> Verdict:
    """Verdict of premise ⇒ conclusion; None is an undecided conclusion. Table in ``docs/theory.md`` §0."""
    if conclusion is None:
        return Verdict.INCONCLUSIVE
    if premise:
        return Verdict.VERIFIED if conclusion else Verdict.REFUTED
    return Verdict.OBSERVED if conclusion else Verdict.SILENT


class Interval(NamedTuple):
    """An estimate with the ends of its confidence interval."""

    estimate: float
    lower: float
    upper: float

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
    return mean_interval([scipy.stats.linregress(np.log(parameter), np.log(row)).slope for row in values])


def mean_interval(values: Sequence[float] | ndarray, *, level: float = LEVEL) -> Interval:
    """Student's interval for the mean of independent values, of which there must be at least two."""
    mean = float(np.mean(values))
    half = float(scipy.stats.t.ppf((1 + level) / 2, len(values) - 1) * scipy.stats.sem(values))
    return Interval(mean, mean - half, mean + half)


def holds_as_exponent(
    measured: Interval, claimed: float, tolerance: float, *, upper_bound_only: bool = False
) -> bool | None:
    """Whether a measured exponent agrees with a claimed one.

    Θ(m^p): holds if the whole interval lies within p ± tolerance, fails if it lies wholly outside. O(m^p)
    (``upper_bound_only``): holds if the interval's upper end is ≤ p + tolerance, fails if its lower end is above.
    """
    low = -math.inf if upper_bound_only else claimed - tolerance
    high = claimed + tolerance
    if low <= measured.lower and measured.upper <= high:
        return True
    return False if measured.upper < low or measured.lower > high else None


def implied_constant(
    measured: Float[ndarray, "seeds points"], shape: Float[ndarray, " points"]
) -> Float[ndarray, "seeds points"]:
    """C = measured / shape: the constant that an O(shape) statement needs at every point of a sweep."""
    return np.asarray(measured, np.float64) / np.asarray(shape, np.float64)


@dataclasses.dataclass(frozen=True)
class Condition:
    """A premise or a conclusion: what it says, and whether it holds (None: undecided)."""

    text: str
    holds: bool | None


@dataclasses.dataclass(frozen=True)
class Control:
    """A negative control: one setting changed, the same conclusion computed; it broke if that conclusion fails."""

    setting: str
    broke: bool
    measured: float | None


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One claim in one setting: what was asked, what was measured, what follows.

    ``measured`` and ``bound`` are the two sides of the conclusion where it is closest to failing, ``tightness`` is
    measured / bound, ``interval`` the confidence interval of a probability or exponent. `verdict` follows from premise
    and conclusion and cannot be set.
    """

    claim: str
    setting: str
    premise: Condition
    conclusion: Condition
    measured: float | None
    bound: float | None
    control: Control
    interval: tuple[float, float] | None = None
    trials: int = 1
    failures: int = 0
    seed: int | None = None
    device: str = ""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    elapsed: float = 0.0

    def __post_init__(self) -> None:
        if self.premise.holds is None:
            raise InputError(f"premise of {self.claim} is undecided: a premise is met or not.")

    @property
    def verdict(self) -> Verdict:
        """What premise and conclusion say together."""
        return decide(bool(self.premise.holds), self.conclusion.holds)

    @property
    def tightness(self) -> float | None:
        """measured / bound, where both are numbers."""
        if self.measured is None or self.bound is None or self.bound == 0:
            return None
        return self.measured / self.bound

    def to_json(self) -> dict[str, Any]:
        """Plain values for strict JSON: no NaN and no infinity, which become None."""
        fields = dataclasses.asdict(self) | {"verdict": str(self.verdict), "tightness": self.tightness}
        return _strict(fields)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Evidence":
        """Inverse of `to_json`, up to the numbers that strict JSON cannot hold."""
        known = {f.name for f in dataclasses.fields(cls)}
        values = {name: value for name, value in fields.items() if name in known}
        values |= {"premise": Condition(**fields["premise"]), "conclusion": Condition(**fields["conclusion"])}
        values |= {"control": Control(**fields["control"])}
        if fields.get("interval") is not None:
            values["interval"] = tuple(fields["interval"])
        return cls(**values)


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
