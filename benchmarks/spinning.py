"""Jobs of the benchmark of sweeps: a known amount of work in one thread, without JAX."""

import dataclasses

import numpy as np
import xarray as xr

__all__ = ["Spin"]


@dataclasses.dataclass(frozen=True)
class Spin:
    """So many rounds of a linear congruence; ``shape`` only tells jobs apart that are not to share a chunk."""

    seed: int
    rounds: int
    shape: int = 0

    def compute(self) -> xr.Dataset:
        """The last number, as one entry of fifty."""
        number = self.seed
        for _ in range(self.rounds):
            number = (number * 1103515245 + 12345) % 2147483648
        return xr.Dataset({"number": ("entry", np.full(50, float(number)))})
