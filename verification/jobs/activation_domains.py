"""Activation domains of deep ReLU networks on lines and in planes."""

import dataclasses
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.networks import FeedforwardReLU, along_line, in_plane

__all__ = ["DomainCounts", "DomainMap"]

# Standard deviation of a random network's biases, and half the width of the window, in whose middle is 0.
_BIAS, _REACH = 0.3, 3.0


@dataclasses.dataclass(frozen=True)
class DomainCounts:
    """Domains met after every layer, one network a seed.

    ``random``: W_l ~ N(0, 2/m_{l−1}), b_l ~ N(0, 0.09), along a random line of length 6 or in a square of side 6.
    ``tent``: σ(u) and σ(u − ½) of u = x and then of u = 2σ(u) − 4σ(u − ½), on [0, 1]. ``identity``: W_l = I, b_l = 0,
    between two inputs with positive coordinates.
    """

    kind: Literal["random", "tent", "identity"]
    where: Literal["line", "plane"]
    width: int
    depth: int
    input_dim: int
    seeds: tuple[int, ...]

    def compute(self) -> xr.Dataset:
        """``domains`` [seed, layer]."""
        counts = np.array([self._counts(np.random.default_rng(seed)) for seed in self.seeds])
        layers = np.arange(1, self.depth + 1)
        return xr.Dataset({"domains": (("seed", "layer"), counts)}, {"seed": list(self.seeds), "layer": layers})

    def _counts(self, rng: np.random.Generator) -> tuple[int, ...]:
        if self.kind == "tent":
            again = [[2.0, -4.0], [2.0, -4.0]]
            net = FeedforwardReLU([[[1.0], [1.0]]] + (self.depth - 1) * [again], self.depth * [[0.0, -0.5]])
            return along_line(net, [0.0], [1.0]).counts
        if self.kind == "identity":
            net = FeedforwardReLU(self.depth * [np.eye(self.input_dim)])
            return along_line(net, *rng.uniform(0.5, 1.5, (2, self.input_dim))).counts
        net = _random_network(rng, self.width, self.depth, self.input_dim)
        window = _square(rng, self.input_dim)
        if self.where == "line":
            return along_line(net, window[0], window[1]).counts
        return in_plane(net, *window).counts


@dataclasses.dataclass(frozen=True)
class DomainMap:
    """The domains of one random network in a plane through input space, as polygons, after the first layers."""

    width: int
    depths: tuple[int, ...]
    input_dim: int
    seed: int

    def compute(self) -> xr.Dataset:
        """By corner: its place in the window, −3 … 3, depth, cell, and how many of the last layer are active."""
        rng = np.random.default_rng(self.seed)
        net = _random_network(rng, self.width, max(self.depths), self.input_dim)
        window = _square(rng, self.input_dim)
        rows = []
        for depth in self.depths:
            found = in_plane(FeedforwardReLU(net.weights[:depth], net.biases[:depth]), *window)  # type: ignore[index]
            for cell, (polygon, pattern) in enumerate(zip(found.polygons, found.patterns, strict=True)):
                last = int(pattern[-self.width :].sum())
                rows += [(depth, cell, last, *(_REACH * (2 * float(v) - 1) for v in corner)) for corner in polygon]
        names = ("depth", "cell", "active", "s", "t")
        return xr.Dataset(
            {name: ("corner", np.array(c)) for name, c in zip(names, zip(*rows, strict=True), strict=True)}
        )


def _random_network(rng: np.random.Generator, width: int, depth: int, input_dim: int) -> FeedforwardReLU:
    sizes = [input_dim] + depth * [width]
    weights = [rng.normal(0, (2 / p) ** 0.5, (width, p)) for p in sizes[:-1]]
    return FeedforwardReLU(weights, [rng.normal(0, _BIAS, width) for _ in weights])


def _square(rng: np.random.Generator, input_dim: int) -> Float[ndarray, "3 d"]:
    """Three corners of a random square about 0."""
    first, second = 2 * _REACH * np.linalg.qr(rng.normal(size=(input_dim, 2)))[0].T
    corner = -(first + second) / 2
    return np.stack([corner, corner + first, corner + second])
