"""What a work is made of: sizes with their arrays and settings, the routes that compute it, and the targets."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

OURS = "ntk-localsgd"


@dataclasses.dataclass(frozen=True)
class Route:
    """One way to compute a work: a worker's script, the environment it runs in, and what it is told besides."""

    name: str
    script: str = "this_project"
    environment: str = "project"
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    function: str | None = None  # where it is not the case's own
    arguments: tuple[str, ...] = ()
    checked: bool = True  # its result must be that of this project; False for one large product
    within: float | None = None  # its own tolerance, where the work's is not for it
    alone: bool = False  # timed after the others have ended: its helper processes never idle entirely


@dataclasses.dataclass(frozen=True)
class Case:
    """A work at one size."""

    label: str
    function: str
    arrays: Callable[[], dict[str, np.ndarray]]
    settings: dict[str, Any]
    routes: tuple[Route, ...]
    operations: float | None = None  # additions and multiplications, by formula
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)  # route: why it is not run at this size
    most_repeats: int = 7


@dataclasses.dataclass(frozen=True)
class Target:
    """What a case is to reach.

    ``ratio``: at least that many times as fast as a route, or as the fastest peer; ``slowdown``: that route takes at
    most so many times as long; ``multiple``: this project takes at most so many times as long as that route, a part of
    the work; ``share``: at least that part of a large product's rate; ``peak``: at most that many bytes;
    ``seconds``: at most that long.
    """

    case: str
    kind: Literal["ratio", "slowdown", "multiple", "share", "peak", "seconds"]
    bound: float
    against: str | None = None

    def verdict(self, rows: list[dict[str, Any]]) -> str:
        """Met or missed, and by how much."""
        timed = {row["route"]: row for row in rows if row["case"] == self.case and "seconds" in row}
        if OURS not in timed:
            return f"{self.case}: not measured"
        if self.kind == "share":
            found = timed[OURS].get("share", 0.0)
            return self._said(found >= self.bound, f"{found:.0%} of a large product's rate", f"≥ {self.bound:.0%}")
        if self.kind == "peak":
            found = timed[OURS]["peak"]
            return self._said(found <= self.bound, f"{found / 2**30:.2f} GiB", f"≤ {self.bound / 2**30:g} GiB")
        if self.kind == "seconds":
            found = timed[OURS]["seconds"]
            text = f"{found:.3g} s" + (f" ({timed[OURS]['cpu']:.3g} by processor time)" if "cpu" in timed[OURS] else "")
            return self._said(found <= self.bound, text, f"≤ {self.bound:g} s")
        if self.kind == "multiple":
            if self.against not in timed:
                return f"{self.case}: {self.against} was not measured"
            found = 1 / timed[self.against]["ratio"]
            text = f"takes {found:.2f} times as long as {self.against}" + self._by_processor(
                timed, self.against, inverted=True
            )
            return self._said(found <= self.bound, text, f"≤ {self.bound:g}")
        ratios = {name: row["ratio"] for name, row in timed.items() if row["peer"] and self.against in (None, name)}
        if not ratios:
            return f"{self.case}: no peer was measured"
        name, found = min(ratios.items(), key=lambda pair: pair[1])
        if self.kind == "slowdown":
            text = f"{name} takes {found:.2f} times as long" + self._by_processor(timed, name)
            return self._said(found <= self.bound, text, f"≤ {self.bound:g}")
        text = f"{found:.3g} times as fast as {name}" + self._by_processor(timed, name)
        return self._said(found >= self.bound, text, f"≥ {self.bound:g}")

    def _by_processor(self, timed: dict[str, dict[str, Any]], name: str, *, inverted: bool = False) -> str:
        """The same ratio of processor times, where they were measured."""
        ratio = timed[name].get("cpu_ratio")
        return "" if ratio is None else f" ({1 / ratio if inverted else ratio:.3g} by processor time)"

    def _said(self, met: bool, found: str, wanted: str) -> str:
        return f"{self.case}: {'met' if met else '**missed**'}, {found}, target {wanted}"


@dataclasses.dataclass(frozen=True)
class Work:
    """A row of the question: what is computed, at which sizes, how results are compared, what is aimed at."""

    name: str
    title: str
    cases: tuple[Case, ...]
    targets: tuple[Target, ...] = ()
    formula: str = ""  # of the operations
    agreement: Callable[[np.ndarray, np.ndarray], float] | None = None  # None: relative Frobenius distance
    tolerance: float = 1e-3
    because: str = ""  # what justifies the tolerance


def distance(found: np.ndarray, ours: np.ndarray) -> float:
    """‖found − ours‖_F / ‖ours‖_F."""
    found, ours = np.asarray(found, np.float64), np.asarray(ours, np.float64)
    if found.shape != ours.shape:
        raise ValueError(f"result has shape {found.shape}, needs {ours.shape}")
    return float(np.linalg.norm(found - ours) / np.linalg.norm(ours))
