"""From measurements to verdicts: premise and conclusion decided separately.

A claim reads premise ⇒ conclusion. What an interval decides is in `statistics`.
"""

import dataclasses
import enum
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ntk_localsgd.errors import InputError

__all__ = [
    "Condition",
    "Control",
    "Evidence",
    "Header",
    "Relation",
    "Verdict",
    "compare",
    "decide",
    "finite",
    "read_evidence",
    "write_evidence",
]

#: How the measured side of a conclusion stands to the other: ``=`` and ``within`` up to the row's tolerance.
Relation = Literal["≤", "≥", "=", "within"]


class Verdict(enum.StrEnum):
    """What premise and conclusion say together."""

    VERIFIED = "verified"  #: premise met, conclusion holds
    REFUTED = "refuted"  #: premise met, conclusion fails: a counterexample, or a bug
    OBSERVED = "observed"  #: premise not met, conclusion holds anyway: the theorem is conservative
    SILENT = "silent"  #: premise not met, conclusion fails: the theorem says nothing
    INCONCLUSIVE = "inconclusive"  #: the interval straddles the threshold, or the control did not break


def decide(premise: bool, conclusion: bool | None) -> Verdict:
    """Verdict of premise ⇒ conclusion; None is an undecided conclusion. Table in ``docs/theory.md`` §0."""
    if conclusion is None:
        return Verdict.INCONCLUSIVE
    if premise:
        return Verdict.VERIFIED if conclusion else Verdict.REFUTED
    return Verdict.OBSERVED if conclusion else Verdict.SILENT


def compare(
    relation: Relation,
    measured: float,
    bound: float,
    *,
    tolerance: float = 0.0,
    interval: tuple[float, float] | None = None,
) -> bool | None:
    """Whether a measured number stands in a relation to another; an interval in its place may leave it open.

    ≤: below ``bound + tolerance``; ≥: above ``bound − tolerance``; ``within``: the whole interval inside
    ``bound ± tolerance``; ``=``: the interval reaches ``bound ± tolerance``. NaN stands in no relation.

    >>> compare("≤", 1.0, 2.0), compare("≤", 1.9, 2.0, interval=(1.8, 2.1)), compare("=", 0.4, 0.5)
    (True, None, False)
    """
    low, high = interval or (measured, measured)
    least = -math.inf if relation == "≤" else bound - tolerance
    most = math.inf if relation == "≥" else bound + tolerance
    if not low <= high or math.isnan(bound) or math.isnan(tolerance):
        return False
    if relation == "=":
        return low <= most and high >= least
    if least <= low and high <= most:
        return True
    return False if high < least or low > most else None


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

    Attributes
    ----------
    setting
        Names and values: data, n, m, K, ….
    premise, conclusion
        Decided one without the other.
    relation, measured, bound, tolerance
        The two sides of the conclusion where it is closest to failing, how they should stand, and how far that may be
        missed; both sides None where the conclusion is no inequality.
    control
        The same with one setting changed.
    interval
        Confidence interval: of ``measured``, or with ``delta`` of the failure probability.
    delta
        The probability with which the conclusion may fail; None where it may not.
    trials, failures
        Settings, seeds or runs looked at, and at how many the conclusion failed.
    searched
        How many of the trials a search for counterexamples went to.
    claim, preset, seed, device, code
        Stamped by whoever runs the claim: its id, sizes, seed, device, and a fingerprint of its code.

    Raises
    ------
    InputError
        If the premise is undecided, there is no control, or the numbers contradict a conclusion that is said to hold.
    """

    setting: Mapping[str, object]
    premise: Condition
    conclusion: Condition
    relation: Relation
    measured: float | None
    bound: float | None
    control: Control
    tolerance: float = 0.0
    interval: tuple[float, float] | None = None
    delta: float | None = None
    trials: int = 1
    failures: int = 0
    searched: int = 0
    claim: str = ""
    preset: str = ""
    seed: int | None = None
    device: str = ""
    code: str = ""

    def __post_init__(self) -> None:
        if self.premise.holds is None:
            raise InputError(f"premise of {self.claim or self.setting} is undecided: a premise is met or not.")
        if not isinstance(self.control, Control):
            raise InputError(f"control of {self.claim or self.setting} is {self.control!r}: every row needs one.")
        if self.conclusion.holds and self.contradicted:
            raise InputError(
                f"conclusion of {self.claim or self.setting} holds, but {self.measured} {self.relation} {self.bound} "
                f"± {self.tolerance} does not: numbers and conclusion need to agree."
            )

    @property
    def contradicted(self) -> bool:
        """Whether the numbers do not bear out that the conclusion holds."""
        if self.delta is not None:
            return self.interval is None or not self.interval[1] <= self.delta
        if self.failures:
            return True
        if self.measured is None or self.bound is None:
            return False
        holds = compare(self.relation, self.measured, self.bound, tolerance=self.tolerance, interval=self.interval)
        return holds is not True

    @property
    def verdict(self) -> Verdict:
        """What premise and conclusion say together; a conclusion whose control did not break is not counted as held."""
        if self.conclusion.holds and not self.control.broke:
            return Verdict.INCONCLUSIVE
        return decide(bool(self.premise.holds), self.conclusion.holds)

    @property
    def tightness(self) -> float | None:
        """measured / bound, where both are numbers; of ≤ and ≥ only where the bound is positive.

        Of −0.2 ≤ −10⁻¹² a quotient would say that the worst holds best.
        """
        if self.measured is None or self.bound is None or self.bound == 0:
            return None
        if self.bound < 0 and self.relation in ("≤", "≥"):
            return None
        return self.measured / self.bound

    @property
    def where(self) -> str:
        """The setting in words: what is called data, case, quantity or over as it is, all else as name = value.

        >>> control = Control("another sign", True, None)
        >>> row = Evidence({"data": "digits", "m": 8}, Condition("", True), Condition("", True), "≤", 1, 2, control)
        >>> row.where
        'digits, m = 8'
        """
        bare = {"data": "", "case": "", "quantity": "", "over": "over "}
        parts = (f"{bare[k]}{v}" if k in bare else f"{k} = {_shown(v)}" for k, v in self.setting.items())
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Plain values for strict JSON, without what a file's header says; NaN and infinities become None."""
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name not in _IN_HEADER}
        return finite(fields | {"verdict": str(self.verdict), "tightness": self.tightness})

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Evidence":
        """Inverse of `to_json`, up to the numbers that strict JSON cannot hold."""
        known = {f.name for f in dataclasses.fields(cls)}
        values = {name: value for name, value in fields.items() if name in known}
        values |= {"premise": Condition(**fields["premise"]), "conclusion": Condition(**fields["conclusion"])}
        values |= {"control": Control(**fields["control"])}
        if fields.get("interval") is not None:
            low, high = fields["interval"]
            values["interval"] = (-math.inf if low is None else low, math.inf if high is None else high)
        return cls(**values)


_IN_HEADER = ("preset", "seed", "device")


@dataclasses.dataclass(frozen=True)
class Header:
    """What all rows of a file have in common, and the claims that crashed and have none, with the reason."""

    preset: str
    seed: int
    device: str
    commit: str
    versions: Mapping[str, str]
    crashed: Mapping[str, str] = dataclasses.field(default_factory=dict)


def write_evidence(path: pathlib.Path, header: Header, rows: Sequence[Evidence]) -> None:
    """Write a header and rows as strict JSON, beside the file first, so that no reader sees half of it."""
    content = {"header": dataclasses.asdict(header), "rows": [row.to_json() for row in rows]}
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_evidence(path: pathlib.Path) -> tuple[Header, list[Evidence]]:
    """Header and rows of a file.

    Raises
    ------
    InputError
        If there is no such file, or it holds anything else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        header = Header(**content["header"])
        common = {name: getattr(header, name) for name in _IN_HEADER}
        return header, [Evidence.from_json(row | common) for row in content["rows"]]
    except OSError as error:
        raise InputError(
            f"evidence {path} cannot be read ({error.strerror}): python -m verification run makes it."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"evidence {path} is no evidence ({type(error).__name__}: {error}).") from error


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def finite(value: Any) -> Any:
    """Plain values for strict JSON: tuples become lists, what is infinite or no number becomes null."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
