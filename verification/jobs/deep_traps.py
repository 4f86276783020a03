"""Steps of the deep argument left out one at a time, on random cases whose runs then leave what is certified.

Cases were looked for among those of `random_deep_case`, one seed a case; ``docs/theory.md`` §5.5.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy import ndarray

from ntk_localsgd.certificate.deep import state
from ntk_localsgd.certificate.deep.frozen import Frozen
from ntk_localsgd.certificate.deep.path import Deviation, Path, Weighing
from ntk_localsgd.certificate.deep.steps import PROVED
from verification.jobs.certificates import Tally
from verification.jobs.deep_cases import certify_deep, follow_deep, random_deep_case

__all__ = ["DEEP_TRAPS", "DeepPlanted", "DeepTrap"]

_STREAM = 41


class DeepTrap(NamedTuple):
    """The seed of a case, and the lemmas that are replaced by what leaves them out."""

    seed: int
    wrong: dict[str, Callable[..., Any]]


def _none(frozen: Frozen, low: ndarray, high: ndarray) -> ndarray:  # noqa: ARG001
    return frozen.half.copy()


def _lower_only(frozen: Frozen, low: ndarray, high: ndarray) -> ndarray:
    uncertain = state.uncertain_triples(frozen, low, high)
    uncertain[-1] = frozen.half[-1]
    return uncertain


def _upper_only(frozen: Frozen, low: ndarray, high: ndarray) -> ndarray:
    uncertain = state.uncertain_triples(frozen, low, high)
    uncertain[0] = frozen.half[0]
    return uncertain


def _still(frozen: Frozen, *rest: Any) -> ndarray:  # noqa: ARG001
    return np.stack([frozen.hidden_rounding[layer] for layer in range(frozen.depth)])


def _averaged_only(averaged: ndarray, local: ndarray, own: ndarray) -> list[ndarray]:  # noqa: ARG001
    return [averaged]


def _on_the_path(path: Path, changes: ndarray, rest: ndarray | None = None) -> Weighing:
    found = Path.weigh(path, changes, rest)
    return found._replace(deviation=Deviation.alike(0.0, len(changes), len(found.deviation.pushes), spread=0.0))


#: The wrong turns, by what they leave out.
DEEP_TRAPS = {
    "no triple switches": DeepTrap(0, {"uncertain": _none}),
    "none of the top layer switches": DeepTrap(9, {"uncertain": _lower_only}),
    "none of the lowest layer switches": DeepTrap(5, {"uncertain": _upper_only}),
    "inner products of hidden layers stay": DeepTrap(43, {"hidden": _still}),
    "clients take no local steps": DeepTrap(44, {"views": _averaged_only}),
    "the run stays on the predicted path": DeepTrap(25, {"weigh": _on_the_path}),
}


@dataclasses.dataclass(frozen=True)
class DeepPlanted:
    """The certificate of a deep case held against its run; ``wrong``: with the step left out."""

    trap: str
    wrong: bool = False

    def compute(self) -> xr.Dataset:
        """The tally, as scalars."""
        trap, tally = DEEP_TRAPS[self.trap], Tally()
        case = random_deep_case(np.random.default_rng([trap.seed, _STREAM]))
        steps = dataclasses.replace(PROVED, **trap.wrong) if self.wrong else PROVED
        proof = certify_deep(case, steps)
        if proof is not None:
            tally.add(case, proof, follow_deep)
        return tally.dataset()
