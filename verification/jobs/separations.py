"""λ_min(H^∞) beside the distance of the closest pair, on data of several kinds."""

import dataclasses
from typing import Literal

import jax
import numpy as np
import sklearn.datasets
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import datasets, kernels, seeds
from ntk_localsgd.separation import closest_pair

__all__ = ["Kind", "PlantedSeparation", "Separation", "pair_bound", "thinned"]

#: Data sets: of the library, of scikit-learn, and at random on the sphere in 4 and 32 dimensions.
Kind = Literal["digits", "iris", "wine", "breast cancer", "sphere 4", "sphere 32"]

# Tables of measurements have columns of different units.
_TABLES = {
    "iris": sklearn.datasets.load_iris,
    "wine": sklearn.datasets.load_wine,
    "breast cancer": sklearn.datasets.load_breast_cancer,
}

# The most rows that are drawn from.
_MOST = 2000


@dataclasses.dataclass(frozen=True)
class Separation:
    """Subsets of a data set, of several sizes."""

    kind: Kind
    samples: tuple[int, ...]
    seed: int

    def compute(self) -> xr.Dataset:
        """By n: ``distance`` of the closest pair, its ``bound`` ½ − H^∞_12, λ0 (``lower``, ``upper``).

        ``spread``: λ0 of the rows that keep four times that distance from each other.
        """
        rows, generator = unit_rows(self.kind, self.seed), seeds.generator(self.seed, f"separation {self.kind}")
        order = generator.permutation(len(rows))
        columns = []
        for n in self.samples:
            x = rows[order[:n]]
            pair = closest_pair(x, sign=1.0)
            lower, upper = smallest_eigenvalue(x)
            spread = smallest_eigenvalue(thinned(x, 4 * pair.distance))[0]
            columns.append((pair.distance, pair_bound(x[list(pair.rows)]), lower, upper, spread))
        names = ("distance", "bound", "lower", "upper", "spread")
        values = {k: ("n", np.array(v)) for k, v in zip(names, zip(*columns, strict=True), strict=True)}
        return xr.Dataset(values, {"n": list(self.samples)})


@dataclasses.dataclass(frozen=True)
class PlantedSeparation:
    """Points of the sphere, the second of which is moved to a distance from the first."""

    num_samples: int
    input_dim: int
    distances: tuple[float, ...]
    seed: int

    def compute(self) -> xr.Dataset:
        """By distance: λ0 with the pair, ``lower``; ``alone``, λ0 without the second point."""
        x = np.array(datasets.sphere(jax.random.key(self.seed), self.num_samples, self.input_dim).inputs)
        aside = x[1] - (x[1] @ x[0]) * x[0]
        aside /= np.linalg.norm(aside)
        values, alone = [], smallest_eigenvalue(np.delete(x, 1, axis=0))[0]
        for distance in self.distances:
            angle = 2 * np.arcsin(distance / 2)
            x[1] = np.cos(angle) * x[0] + np.sin(angle) * aside
            values.append(smallest_eigenvalue(x)[0])
        columns = {"lower": np.array(values), "alone": np.full(len(values), alone)}
        return xr.Dataset({k: ("distance", v) for k, v in columns.items()}, {"distance": list(self.distances)})


def unit_rows(kind: Kind, seed: int) -> Float[ndarray, "n d"]:
    """Rows of norm 1, none twice; columns of a table have mean 0 and deviation 1 before."""
    if kind.startswith("sphere"):
        key = seeds.key(seed, f"separation {kind}")
        return np.asarray(datasets.sphere(key, _MOST, int(kind.split()[1])).inputs)
    if kind == "digits":
        x = sklearn.datasets.load_digits().data
    else:
        x = _TABLES[kind]().data
        x = (x - x.mean(axis=0)) / x.std(axis=0)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.unique(x, axis=0)


def smallest_eigenvalue(inputs: Float[ndarray, "n d"]) -> tuple[float, float]:
    """Ends of the enclosure of λ_min(H^∞)."""
    found = kernels.smallest_eigenvalue(kernels.infinite_gram(inputs), error=kernels.infinite_gram_error(*inputs.shape))
    return found.lower, found.upper


def pair_bound(pair: Float[ndarray, "2 d"]) -> float:
    """½(1, −1)H^∞(1, −1)ᵀ = ½ − H^∞_12 ≥ λ0, δ/(2π) to first order in the distance δ.

    H^∞_12 = cos θ (π − θ)/(2π), with the angle θ = 2 arcsin(δ/2): no difference of nearly equal numbers is taken.

    >>> a = 1e-6
    >>> round(pair_bound(np.array([[1.0, 0.0], [np.cos(a), np.sin(a)]])) / (a / (2 * np.pi)), 5)
    1.0
    """
    half = min(float(np.linalg.norm(pair[0] - pair[1])) / 2, 1.0)
    angle = 2 * np.arcsin(half)
    return float(half**2 + np.cos(angle) * angle / (2 * np.pi))


def thinned(inputs: Float[ndarray, "n d"], distance: float) -> Float[ndarray, "k d"]:
    """The first row, and each that is no nearer than this to one that is kept."""
    kept = inputs[:1]
    for row in inputs[1:]:
        if np.linalg.norm(kept - row, axis=1).min() >= distance:
            kept = np.concatenate([kept, row[None]])
    return kept
