"""From measurements to verdicts: premise and conclusion decided separately.

A claim reads premise ⇒ conclusion. What an interval decides is in `statistics`.
"""

import dataclasses
import enum
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ntk_localsgd.errors import InputError

__all__ = ["Condition", "Control", "Evidence", "Verdict", "decide"]


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
