"""What a work is made of: sizes with their arrays and settings, the routes that compute it, and the targets."""

import dataclasses
from collections.abc import Callable
from typing import Any

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
    alone: bool = False  # timed after the others have ended: its helper processes never idle entirely


@dataclasses.dataclass(frozen=True)
class Case:
    """A work at one size."""

    label: str
    function: str
    arrays: Callable[[], dict[str, np.ndarray]]
    settings: dict[str, Any]
    routes: tuple[Route, ...]
    operations: float | None = None  # additions and multiplications of this project's route, by formula
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)  # route: why it is not run at this size
    most_repeats: int = 7


@dataclasses.dataclass(frozen=True)
class Target:
    """A number that a case is to reach: ``ratio`` to the fastest peer, ``share`` of the product's rate, ``peak``."""

    case: str
    kind: str
    bound: float
    against: str | None = None  # one route; None: the fastest of all

    def verdict(self, rows: list[dict[str, Any]]) -> str:
        """Met or missed, and by how much."""
        mine = {row["route"]: row for row in rows if row["case"] == self.case and row.get("seconds")}
        if OURS not in mine:
            return f"{self.case}: not measured"
        if self.kind == "ratio":
            peers = {name: row for name, row in mine.items() if row["peer"] and self.against in (None, name)}
            if not peers:
                return f"{self.case}: no peer was measured"
            fastest = min(peers, key=lambda name: peers[name]["ratio"])
            found, text = peers[fastest]["ratio"], f"{peers[fastest]['ratio']:.3g}× {fastest}"
            met = found >= self.bound
            return f"{self.case}: {_word(met)}, {text}, target ≥ {self.bound:g}×"
        if self.kind == "share":
            found = mine[OURS]["share"]
            met, text = found >= self.bound, f"{found:.0%} of one large product's rate, target ≥ {self.bound:.0%}"
            return f"{self.case}: {_word(met)}, {text}"
        found = mine[OURS]["peak"]
        return (
            f"{self.case}: {_word(found <= self.bound)}, {found / 2**30:.2f} GiB, target ≤ {self.bound / 2**30:g} GiB"
        )


def _word(met: bool) -> str:
    return "met" if met else "**missed**"


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
