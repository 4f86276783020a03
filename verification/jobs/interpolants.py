"""Narrow smooth networks: their mirrored start, proofs that they interpolate, and the region of full rank."""

import dataclasses
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import interpolation
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.interpolation import Proof, Shallow
from ntk_localsgd.networks import Smooth
from ntk_localsgd.randomness import generator
from verification.data import Kind, Source
from verification.jobs.training import stream

__all__ = ["FullRankRegion", "Interpolants", "Shape", "Starts", "descent"]


class Shape(NamedTuple):
    """Samples n, inputs d and neurons m."""

    samples: int
    inputs: int
    width: int


@dataclasses.dataclass(frozen=True)
class _OfDataSets:
    """One data set and one network a seed; the shapes take turns.

    Attributes
    ----------
    kind, shapes, seeds
        The data sets; those of digits have 64 inputs, whatever the shape says.
    activation
        Name of σ.
    targets
        Those of the data, ±1, or standard normal ones.
    """

    kind: Kind
    shapes: tuple[Shape, ...]
    activation: str
    seeds: tuple[int, ...]
    targets: Literal["signs", "normal"] = "signs"

    def case(self, place: int) -> tuple[Shape, Dataset, np.random.Generator]:
        """Shape, data and random numbers of the seed at a place."""
        shape, seed = self.shapes[place % len(self.shapes)], self.seeds[place]
        data = Source(self.kind, shape.samples, seed, input_dim=shape.inputs).load().dataset
        if self.targets == "normal":
            normal = generator(stream(seed, "normal targets")).standard_normal(shape.samples)
            data = dataclasses.replace(data, targets=normal)
        return shape, data, generator(stream(seed, "narrow network"))


@dataclasses.dataclass(frozen=True)
class Starts(_OfDataSets):
    """Networks at their start: max_i |f(x_i)|."""

    mirrored: bool = True

    def compute(self) -> xr.Dataset:
        """``largest`` [seed]."""
        largest = []
        for place in range(len(self.seeds)):
            shape, data, numbers = self.case(place)
            init = Shallow.mirrored if self.mirrored else Shallow.init
            net = init(numbers, width=shape.width, input_dim=data.input_dim, activation=Smooth(self.activation))
            largest.append(float(np.abs(net(data.inputs)).max()))
        return xr.Dataset({"largest": ("seed", largest)}, {"seed": list(self.seeds)})


@dataclasses.dataclass(frozen=True)
class Interpolants(_OfDataSets):
    """Least squares and the proof, at most ``attempts`` times a data set."""

    attempts: int = 5

    def compute(self) -> xr.Dataset:
        """By seed: ``contraction`` ε + 2ωα, proved at ½ and below; ``radius`` 2α, ``smallest_singular`` σ, ``loss``."""
        proofs = []
        for place in range(len(self.seeds)):
            shape, data, numbers = self.case(place)
            _, proof = interpolation.interpolate(
                data.inputs,
                data.targets,
                shape.width,
                numbers,
                activation=Smooth(self.activation),
                attempts=self.attempts,
            )
            proofs.append(proof)
        columns = {
            "contraction": [proof.defect + 2 * proof.omega * proof.alpha for proof in proofs],
            "certified": [proof.certified for proof in proofs],
            "radius": [proof.radius for proof in proofs],
            "smallest_singular": [proof.smallest_singular for proof in proofs],
            "loss": [proof.residual**2 / 2 for proof in proofs],
        }
        return xr.Dataset({name: ("seed", values) for name, values in columns.items()}, {"seed": list(self.seeds)})


@dataclasses.dataclass(frozen=True)
class FullRankRegion(_OfDataSets):
    """Random networks, and the Jacobian at points of the ball where its rank is proved to be full.

    Attributes
    ----------
    share
        Of the ball's radius σ/Λ: how far away the points are.
    directions
        Random ones a network; one more goes straight down σ_min.
    copies
        All neurons are copies of the first one, and held against the bound of the network that they replace: a control.
    """

    share: float = 0.5
    directions: int = 8
    copies: bool = False

    def compute(self) -> xr.Dataset:
        """By seed: the least σ_min(J(θ)) and ‖∇L(θ)‖/‖r(θ)‖ over the points, over σ − ΛR; ``proved`` σ."""
        rows = []
        for place in range(len(self.seeds)):
            shape, data, numbers = self.case(place)
            net = Shallow.init(numbers, width=shape.width, input_dim=data.input_dim, activation=Smooth(self.activation))
            proof = interpolation.prove(net, data.inputs, data.targets)
            if self.copies:
                one = np.zeros(net.width, int)
                net = Shallow(net.weights[one], net.readout[one], net.activation)
            rows.append(self._least(net, data, proof, numbers))
        names = ("singular", "gradient", "proved")
        columns = zip(names, np.array(rows).T, strict=True)
        return xr.Dataset({name: ("seed", values) for name, values in columns}, {"seed": list(self.seeds)})

    def _least(
        self, net: Shallow, data: Dataset, proof: Proof, numbers: np.random.Generator
    ) -> tuple[float, float, float]:
        x, radius = data.inputs, self.share * proof.rank_radius
        steps = numbers.standard_normal((self.directions, net.parameters.size))
        left = proof.smallest_singular - proof.lipschitz * radius
        if not left > 0:
            return np.nan, np.nan, proof.smallest_singular
        singular, gradient = [], []
        for step in (*steps, descent(net, x)):
            moved = net.parameters + radius / np.linalg.norm(step) * step
            there = Shallow.from_parameters(moved, net.input_dim, net.activation)
            jacobian, residual = there.jacobian(x), there(x) - data.targets
            singular.append(np.linalg.svd(jacobian, compute_uv=False)[len(x) - 1] if jacobian.shape[1] >= len(x) else 0)
            gradient.append(np.linalg.norm(jacobian.T @ residual) / np.linalg.norm(residual))
        return float(min(singular)) / left, float(min(gradient)) / left, proof.smallest_singular


def descent(net: Shallow, x: Float[ndarray, "n d"]) -> Float[ndarray, " p"]:
    """The direction in which σ_min falls fastest: −∂(uᵀJw)/∂θ for its singular vectors, by central differences."""
    left, _, right = np.linalg.svd(net.jacobian(x))
    u, w, step = left[:, -1], right[min(len(x), len(right)) - 1], 1e-6
    slopes = []
    for unit in np.eye(net.parameters.size):
        ends = [
            Shallow.from_parameters(net.parameters + sign * step * unit, net.input_dim, net.activation).jacobian(x)
            for sign in (1, -1)
        ]
        slopes.append(u @ (ends[0] - ends[1]) @ w / (2 * step))
    return -np.array(slopes) if np.any(slopes) else np.ones(net.parameters.size)
