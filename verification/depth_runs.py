"""What one shape of a deep network gives, over seeds, for the figure of implied constants: D1 … D5."""

import dataclasses
import pathlib

import numpy as np
import xarray as xr

from ntk_localsgd import results
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from verification import deep_initialization, deep_perturbation
from verification.runs import RunSpec

__all__ = ["KINDS", "DepthRun"]

#: How W' is chosen, in the order of the dimension ``how``.
KINDS = ("random", "adversarial")


def _measuring_code() -> str:
    return results.code_fingerprint(*(pathlib.Path(str(m.__file__)) for m in (deep_initialization, deep_perturbation)))


@dataclasses.dataclass(frozen=True)
class DepthRun(RunSpec):
    """Networks at initialization and beside it; clients, steps and rounds have no meaning here.

    ``radius`` is ω of the perturbations. The scripts that measure are part of the specification, so that nothing stored
    is read as if today's code had measured it.
    """

    radius: float = 2.0**-4
    code: str = dataclasses.field(default_factory=_measuring_code)

    def compute(self, dataset: Dataset, split: Clients) -> xr.Dataset:  # noqa: ARG002 (all runs have the same interface)
        """`deep_initialization.Start` [seed] but for its controls, flips and movement of h [seed how]."""
        shape = (self.kind, self.num_samples, self.data_seed, self.width, self.depth)
        starts = [deep_initialization.start_of(*shape, seed) for seed in self.seeds]
        effects = [
            [deep_perturbation.effects_of(*shape, self.radius, how, seed) for how in KINDS] for seed in self.seeds
        ]
        return xr.Dataset(
            {name: (("seed",), np.array([getattr(start, name) for start in starts]))
             for name in ("norms", "smallest", "largest", "error")}
            | {name: (("seed", "how"), np.array([[getattr(effect, name) for effect in pair] for pair in effects]))
               for name in ("flips", "moved")},
            {"seed": np.array(self.seeds), "how": list(KINDS)},
        )  # fmt: skip
