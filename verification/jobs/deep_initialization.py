"""Very deep ReLU networks at three initializations: what is left of norms, angles and the kernel's spectrum."""

import dataclasses
import math
from typing import Literal

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from verification.data import Source

__all__ = ["DeepInitialization", "layers_and_gram"]

# What eigenvalues of a few samples are rounded by, relative to the mean one; what is singular has a logarithm too.
_RESOLUTION = 1e-15


@dataclasses.dataclass(frozen=True)
class DeepInitialization:
    """h_0 = σ(Ax), A ~ N(0, 2/m); then L layers, V ~ N(0, 1) and one output; one network a seed, without biases.

    ``near identity``: h_l = σ(W_l h_{l−1}), W_l = I + l^{−rate} N(0, 1/m). ``he``: W_l ~ N(0, 2/m). ``skip``: h_l =
    h_{l−1} + σ(W_l h_{l−1}), W_l ~ N(0, 2/m).
    """

    kind: Literal["near identity", "he", "skip"]
    data: Source
    width: int
    depth: int
    seeds: tuple[int, ...]
    rate: float = 0.0

    def compute(self) -> xr.Dataset:
        """By seed: mean ‖h_L‖/‖h_0‖ (up to e^700), min 1 − cos over pairs over that of h_0, λ_min(Θ)·n/tr Θ."""
        x = self.data.load().inputs
        rows = [self._measured(x, np.random.default_rng(seed)) for seed in self.seeds]
        names = ("growth", "angles", "smallest")
        columns = {name: ("seed", np.array(c)) for name, c in zip(names, zip(*rows, strict=True), strict=True)}
        return xr.Dataset(columns, {"seed": list(self.seeds)})

    def _measured(self, x: ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
        m = self.width
        output = rng.normal(size=m)
        first = np.maximum(x @ rng.normal(0, (2 / m) ** 0.5, (m, x.shape[1])).T, 0)
        layers = np.arange(1.0, self.depth + 1)
        if self.kind == "near identity":
            weights = np.eye(m) + layers[:, None, None] ** -self.rate * rng.normal(0, m**-0.5, (self.depth, m, m))
        else:
            weights = rng.normal(0, (2 / m) ** 0.5, (self.depth, m, m))
        last, log_growth, gram = layers_and_gram(first, weights, output, residual=self.kind == "skip")
        eigenvalues = np.linalg.eigvalsh(gram)
        smallest = max(eigenvalues[0] / eigenvalues.mean(), _RESOLUTION)
        return math.exp(min(log_growth, 700.0)), _closest(last) / _closest(first), float(smallest)


def layers_and_gram(
    first: Float[ndarray, "n m"], weights: Float[ndarray, "L m m"], output: Float[ndarray, " m"], *, residual: bool
) -> tuple[Float[ndarray, "n m"], float, Float[ndarray, "n n"]]:
    """h_L and Θ up to one factor each, and log of the mean norm's growth: layers are rescaled to mean square norm 1.

    A network without biases is homogeneous: a factor on one layer multiplies all later ones, and Θ. Without
    rescaling, a thousand residual layers overflow.
    """
    hidden, slopes, factors = [first / _size(first)], [], []
    for w in weights:
        z = hidden[-1] @ w.T
        moved = np.maximum(z, 0) + (hidden[-1] if residual else 0)
        factors.append(1 / (_size(moved) or 1.0))  # a layer that is dead for every input stays so
        slopes.append((z >= 0) * factors[-1])
        hidden.append(moved * factors[-1])
    back, gram = np.tile(output, (len(first), 1)), np.zeros((len(first), len(first)))
    for w, h, slope, factor in zip(weights[::-1], hidden[-2::-1], slopes[::-1], factors[::-1], strict=True):
        through = back * slope
        gram += (h @ h.T) * (through @ through.T)
        back = through @ w + (factor * back if residual else 0)
    return hidden[-1], -float(np.log(factors).sum()), gram


def _size(h: Float[ndarray, "n m"]) -> float:
    return float(np.sqrt((h**2).sum(axis=1).mean()))


def _closest(h: Float[ndarray, "n m"]) -> float:
    """min over pairs of 1 − cos, from differences of unit vectors; 0 for a dead layer."""
    norms = np.linalg.norm(h, axis=1, keepdims=True)
    if not norms.all():
        return 0.0
    units = h / norms
    distances = np.linalg.norm(units[:, None] - units[None], axis=2)
    return float((distances[np.triu_indices(len(h), 1)] ** 2).min() / 2)
