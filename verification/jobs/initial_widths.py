"""The smallest width at which H(0) is well conditioned, over nested widths."""

import dataclasses
import math

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import datasets, kernels, seeds
from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.separation import closest_pair
from verification.data import with_close_pair

__all__ = ["InitialWidths", "smallest_width"]


@dataclasses.dataclass(frozen=True)
class InitialWidths:
    """m* of data sets on the sphere with a planted pair, all sizes with all distances.

    Attributes
    ----------
    samples, distances, input_dim
        n, the pair's distances, and d.
    repeat, seed, purpose
        Decide the data and the networks, as in `ntk_localsgd.seeds`.
    trials, delta
        Networks a data set, and K4b's failure probability.
    frobenius
        Ask for ‖H(0) − H^∞‖_F ≤ λ0/4, as Hoeffding's bound and Weyl's inequality do, in place of λ_min(H(0)) ≥ ¾λ0.
    """

    samples: tuple[int, ...]
    distances: tuple[float, ...]
    input_dim: int
    repeat: int
    trials: int
    delta: float
    seed: int
    purpose: str
    frobenius: bool = False

    def compute(self) -> xr.Dataset:
        """By data set: ``num_samples``, ``lambda0``, ``measured`` m*, ``asked`` by K4b, two-sided ``separation``."""
        names = ("num_samples", "lambda0", "measured", "asked", "separation")
        rows = [self._point(n, distance) for n in self.samples for distance in self.distances]
        return xr.Dataset({name: ("point", column) for name, column in zip(names, np.transpose(rows), strict=True)})

    def _point(self, n: int, distance: float) -> tuple[float, ...]:
        key = jax.random.fold_in(seeds.key(self.seed, self.purpose), self.repeat)
        x = with_close_pair(datasets.sphere(key, n, self.input_dim).inputs, distance)
        gram = kernels.infinite_gram(x)
        lambda0 = float(np.linalg.eigvalsh(gram)[0])
        spectral = float(np.linalg.norm(x, 2))
        asked = BOUNDS["K4b"].smallest_width(n=n, delta=self.delta, lambda0=lambda0, spectral=spectral)
        rng = seeds.generator(self.seed, f"{self.purpose} {n} {distance} {self.repeat}")
        least = None if self.frobenius else 0.75 * lambda0
        measured = smallest_width(x, gram, asked, self.trials, rng, least=least, distance=lambda0 / 4)
        return n, lambda0, measured, asked, min(closest_pair(x, sign).distance for sign in (1.0, -1.0))


def smallest_width(
    inputs: Float[ndarray, "n d"],
    gram: Float[ndarray, "n n"],
    limit: int,
    trials: int,
    rng: np.random.Generator,
    *,
    least: float | None,
    distance: float = math.inf,
) -> float:
    """Smallest width on a grid of ratio √2 up to the limit from which on no trial fails; twice the limit if none is.

    A trial fails where λ_min(H(0)) < ``least`` or, for None, where ‖H(0) − H^∞‖_F > ``distance``. Its widths are
    nested: the first m of its neurons.
    """
    grid = np.unique(np.append(np.ceil(2 ** (np.arange(2, 2 * math.log2(limit)) / 2)), limit).astype(int))
    failures = np.zeros(len(grid), int)
    inner, rows = inputs @ inputs.T, inputs.T.astype(np.float32)
    for _ in range(trials):
        active = (rng.standard_normal((limit, inputs.shape[1]), dtype=np.float32) @ rows >= 0).astype(np.float32)
        counts = np.cumsum([piece.T @ piece for piece in np.split(active, grid[:-1])], axis=0, dtype=np.float64)
        grams = inner * counts / grid[:, None, None]
        if least is None:
            failures += np.linalg.norm(grams - gram, axis=(1, 2)) > distance
        else:
            failures += np.linalg.eigvalsh(grams)[:, 0] < least
    good = int(np.max(np.flatnonzero(failures), initial=-1)) + 1
    return float(grid[good]) if good < len(grid) else 2.0 * limit
