"""The infinite-width kernel of the data, as they are and with something done to them, by several routes."""

import dataclasses
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import datasets, kernels, seeds
from ntk_localsgd.rounding import UNIT
from ntk_localsgd.separation import SAME_ROW, closest_pair
from verification.data import Source, with_close_pair

__all__ = ["Activity", "Change", "LimitSpectrum", "NearKink", "NeuralTangentsGap", "changed", "coplanar_pairs"]

#: What is done to inputs: nothing; the first one repeated; its antipode added; three antipodal pairs in one plane
#: added, or put in their place; the second one moved close to the first.
Change = Literal["none", "repeated", "antipode", "with coplanar pairs", "coplanar pairs", "close pair"]


def changed(inputs: Float[ndarray, "n d"], change: Change, distance: float = 0.0) -> Float[ndarray, "k d"]:
    """Inputs with something done to them; ``distance`` is that of the close pair."""
    added = {"none": inputs[:0], "repeated": inputs[:1], "antipode": -inputs[:1]}
    if change in added:
        return np.concatenate([inputs, added[change]])
    if change == "close pair":
        return with_close_pair(inputs, distance)
    return np.concatenate([inputs if change == "with coplanar pairs" else inputs[:0], coplanar_pairs(inputs)])


def coplanar_pairs(inputs: Float[ndarray, "n d"]) -> Float[ndarray, "6 d"]:
    """Three antipodal pairs, none of them close to another, in the plane of the first two inputs."""
    plane, _ = np.linalg.qr(inputs[:2].T)
    angles = np.pi * np.array([0.1, 0.4, 0.8])
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane.T
    return datasets.from_arrays(np.concatenate([directions, -directions]), np.zeros(6)).inputs


@dataclasses.dataclass(frozen=True)
class LimitSpectrum:
    """λ0 of changed inputs, and what decides whether it is 0."""

    data: Source
    change: Change = "none"
    distance: float = 0.0

    def compute(self) -> xr.Dataset:
        """``lower`` and ``upper`` enclose λ0; ``apart`` = min ‖x_i − x_j‖, ``antipodes_apart`` = min ‖x_i + x_j‖.

        ``dependent``: how many of the antipodal pairs' directions depend linearly on the others. ``resolution``: the
        largest width that the enclosure may have.
        """
        x = changed(self.data.load().inputs, self.change, self.distance)
        gram, error = kernels.infinite_gram(x), kernels.infinite_gram_error(*x.shape)
        lambda0 = kernels.smallest_eigenvalue(gram, error=error)
        opposite = np.linalg.norm(x[:, None] + x[None], axis=-1) <= SAME_ROW
        directions = x[np.flatnonzero(np.triu(opposite).any(axis=1))]
        values = {"lower": lambda0.lower, "upper": lambda0.upper, "num_samples": len(x)}
        values["resolution"] = 10 * len(x) * UNIT * float(np.trace(gram)) + 2 * error
        values |= {"apart": closest_pair(x, 1.0).distance, "antipodes_apart": closest_pair(x, -1.0).distance}
        return xr.Dataset(values | {"dependent": len(directions) - int(np.linalg.matrix_rank(directions))})


@dataclasses.dataclass(frozen=True)
class NeuralTangentsGap:
    """The closed form of H^∞ beside neural-tangents' kernel, whose first input is ``stretch`` times as long."""

    data: Source
    stretch: float = 1.0

    def compute(self) -> xr.Dataset:
        """``gap``: largest difference off the diagonal, where neural-tangents loses half the digits."""
        x = self.data.load().inputs
        theirs = kernels.infinite_gram_neural_tangents(np.concatenate([self.stretch * x[:1], x[1:]]))
        off = ~np.eye(len(x), dtype=bool)
        return xr.Dataset({"gap": np.abs(kernels.infinite_gram(x) - theirs)[off].max()})


@dataclasses.dataclass(frozen=True)
class Activity:
    """How many of ``neurons`` w ~ N(shift · x_1, I) are active on both samples of a pair."""

    data: Source
    neurons: int
    seed: int
    purpose: str
    shift: float = 0.0

    def compute(self) -> xr.Dataset:
        """``hits`` [i j]."""
        x, rng = self.data.load().inputs, seeds.generator(self.seed, self.purpose)
        weights = rng.standard_normal((self.neurons, x.shape[1])) + self.shift * x[0]
        active = (weights @ x.T >= 0).astype(np.float64)
        return xr.Dataset({"hits": (("i", "j"), active.T @ active)})


@dataclasses.dataclass(frozen=True)
class NearKink:
    """How many of ``neurons`` w ~ N(0, scale² I) have |w·x_1| ≤ R."""

    data: Source
    neurons: int
    radii: tuple[float, ...]
    seed: int
    purpose: str
    scale: float = 1.0

    def compute(self) -> xr.Dataset:
        """``hits`` [radius]."""
        x, rng = self.data.load().inputs, seeds.generator(self.seed, self.purpose)
        distance = np.abs(self.scale * rng.standard_normal((self.neurons, x.shape[1])) @ x[0])
        hits = [int((distance <= radius).sum()) for radius in self.radii]
        return xr.Dataset({"hits": ("radius", hits)}, {"radius": list(self.radii)})
