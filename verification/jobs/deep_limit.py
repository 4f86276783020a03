"""Deep ReLU networks with biases: their product form, tails in depth, and what outputs say of weights."""

import dataclasses
import itertools
import math
from typing import Literal

import numpy as np
import scipy.special
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import seeds
from ntk_localsgd.bounds.xu_zhang_2021 import tail_from_output, tail_from_start, weights_from_outputs
from ntk_localsgd.networks import FeedforwardReLU
from ntk_localsgd.rounding import UNIT, gamma

__all__ = ["DepthTails", "Law", "OutputsAndWeights", "ProductForms"]


@dataclasses.dataclass(frozen=True)
class ProductForms:
    """Networks of random depth (1 … 8), sizes (1 … 12) and biases, each at four inputs.

    ``whole``: small whole numbers instead of Gaussian ones, so that many pre-activations are 0 and nothing is rounded.
    """

    networks: int
    seed: int
    whole: bool = False

    def compute(self) -> xr.Dataset:
        """By network: |product form − N_L| and the same at another input's patterns, over the rounding error; kinks.

        Of whole numbers the differences are as they are.
        """
        rng = seeds.generator(self.seed, "product forms")
        rows = [self._compare(rng) for _ in range(self.networks)]
        names = ("gap", "elsewhere", "on_kinks")
        return xr.Dataset(
            {name: ("network", np.array(c)) for name, c in zip(names, zip(*rows, strict=True), strict=True)}
        )

    def _draw(self, rng: np.random.Generator, *shape: int) -> ndarray:
        return rng.integers(-2, 3, shape).astype(np.float64) if self.whole else rng.normal(size=shape)

    def _compare(self, rng: np.random.Generator) -> tuple[float, float, int]:
        sizes = rng.integers(1, 13, rng.integers(2, 10))
        weights = [self._draw(rng, m, p) for p, m in itertools.pairwise(sizes)]
        net = FeedforwardReLU(weights, [self._draw(rng, m) for m in sizes[1:]])
        x = self._draw(rng, 4, sizes[0])
        hidden, patterns = net.layers(x), net.activation_patterns(x)
        on_kinks = sum(int((h @ w.T + b == 0).sum()) for h, (w, b) in zip(hidden[:-1], net.steps(), strict=True))
        gaps = []
        for shown in (patterns, [np.roll(active, 1, axis=0) for active in patterns]):
            maps = net.affine_maps(shown)
            gap = np.abs(maps(x) - hidden[-1])
            allowed = 1.0 if self.whole else np.maximum(maps.rounding_error(x), UNIT**2)  # 0 of dead outputs
            gaps.append(float((gap / allowed).max()))
        return gaps[0], gaps[1], on_kinks


@dataclasses.dataclass(frozen=True)
class Law:
    """How fast layers approach the identity: scale·l^{−rate}, or scale·rate^l."""

    kind: Literal["power", "geometric"]
    rate: float
    scale: float = 1.0

    def values(self, depth: int) -> Float[ndarray, " L"]:
        """At l = 1 … L."""
        layer = np.arange(1.0, depth + 1)
        return self.scale * (layer**-self.rate if self.kind == "power" else self.rate**layer)

    def rest(self, depth: int) -> float:
        """The sum over all l > L; infinite for l^{−1} and slower."""
        if self.kind == "geometric":
            return self.scale * self.rate ** (depth + 1) / (1 - self.rate) if self.rate < 1 else math.inf
        return self.scale * float(scipy.special.zeta(self.rate, depth + 1)) if self.rate > 1 else math.inf

    def __str__(self) -> str:
        front = "" if self.scale == 1 else f"{self.scale:g} "
        return front + (f"l^−{self.rate:g}" if self.kind == "power" else f"{self.rate:g}^l")


@dataclasses.dataclass(frozen=True)
class DepthTails:
    """W_l = I + law(l)·E_l and b_l = law(l)·e_l: how far N_n(x) is from N_L(x), one network and x ≥ 0 of norm 1 a seed.

    Attributes
    ----------
    law
        ‖W_l − I‖₂ and ‖b_l‖, where they are not 0.
    moves
        What follows the law: ``"weights"``, ``"biases"`` or ``"both"``.
    direction
        E_l = I and e_l = (1, …, 1)/√m, or random ones: u vᵀ with unit vectors u, v.
    closed_form
        Against the limit at infinite depth, Π(1 + c/l²) = sinh(π√c)/(π√c), instead of N_L: of E_l = I, rate 2, no
        biases.
    """

    law: Law
    moves: Literal["weights", "biases", "both"]
    direction: Literal["identity", "random"]
    width: int
    depth: int
    seeds: tuple[int, ...]
    closed_form: bool = False

    @property
    def shown(self) -> Float[ndarray, " grid"]:
        """Depths n at which tails are kept."""
        return np.unique(np.geomspace(1, self.depth - 1, 41).round().astype(int))

    def compute(self) -> xr.Dataset:
        """[seed, n] distance and both bounds; [seed]: the largest distance over bound at any n, and rounding."""
        rows = [self._tails(seed) for seed in self.seeds]
        tail, start, output, rounding = (np.stack(column) for column in zip(*rows, strict=True))
        bounds = {"from_start": start, "from_output": output}
        grid = {
            name: (("seed", "n"), values[:, self.shown - 1]) for name, values in (bounds | {"distance": tail}).items()
        }
        worst = {f"over_{name}": ("seed", (tail / (b + rounding[:, None])).max(axis=1)) for name, b in bounds.items()}
        return xr.Dataset(grid | worst | {"rounding": ("seed", rounding)}, {"seed": list(self.seeds), "n": self.shown})

    def _tails(self, seed: int) -> tuple[ndarray, ndarray, ndarray, float]:
        """Tail and bounds at n = 1 … L − 1, and what rounding adds to a tail."""
        rng = np.random.default_rng(seed)
        net, x = self._network(rng), np.abs(_unit(rng, 1, self.width))
        outputs = np.concatenate(net.layers(x))
        sizes = self.law.values(self.depth)
        deviations, biases = (sizes if self.moves in (own, "both") else 0 * sizes for own in ("weights", "biases"))
        rest = (0.0, 0.0)
        end = outputs[-1]
        if self.closed_form:
            root, rest = math.pi * math.sqrt(self.law.scale), (self.law.rest(self.depth), 0.0)
            end = x[0] * math.sinh(root) / root
        tail = np.linalg.norm(outputs - end, axis=1)
        start = tail_from_start(deviations, biases, 1.0, rest)
        output = tail_from_output(np.linalg.norm(outputs, axis=1), deviations, biases, rest)
        # Each layer rounds by γ_{m+1} of ‖|W_l|‖ ‖N_{l−1}‖ + ‖b_l‖ ≤ √m(1 + δ_l)H + ‖b_l‖, which later layers enlarge.
        growth = float(np.prod(1 + deviations))
        largest = growth * (1 + biases.sum())
        rounding = 2 * self.depth * gamma(self.width + 1) * math.sqrt(self.width) * 2 * growth * largest
        return tail[1:-1], start[1:-1], output[1:-1], rounding

    def _network(self, rng: np.random.Generator) -> FeedforwardReLU:
        m, depth = self.width, self.depth
        law = self.law.values(depth)
        if self.direction == "identity":
            towards, aside = np.broadcast_to(np.eye(m), (depth, m, m)), np.full((depth, m), m**-0.5)
        else:
            u, v, aside = (_unit(rng, depth, m) for _ in range(3))
            towards = u[:, :, None] * v[:, None, :]
        weights = np.eye(m) + (law[:, None, None] * towards if self.moves != "biases" else np.zeros((depth, 1, 1)))
        return FeedforwardReLU(weights, law[:, None] * aside if self.moves != "weights" else None)


@dataclasses.dataclass(frozen=True)
class OutputsAndWeights:
    """Outputs at m + 1 inputs beside the weights that made them.

    ``convergent``: W_l = I + law(l) u vᵀ, b_l = law(l) w at inputs 2·1 and 2·1 + e_i. ``constant``: W_l = 0 and b_l =
    1 + law(l) w, whose outputs converge to one point. ``corner``: W_l = 2I, b_l = −1 at inputs 0 and e_i, which stay.
    """

    kind: Literal["convergent", "constant", "corner"]
    law: Law
    width: int
    depth: int
    seeds: tuple[int, ...]

    @property
    def shown(self) -> Float[ndarray, " grid"]:
        """Layers n that are looked at: powers of two up to the depth."""
        return 2 ** np.arange(2, int(math.log2(self.depth)) + 1)

    def compute(self) -> xr.Dataset:
        """[seed, n]: ‖[W_n − I, b_n]‖₂, ‖increments‖₂, σ_min of the outputs before with ones, the least output."""
        rows = [self._layers(seed) for seed in self.seeds]
        columns = dict(
            zip(("deviation", "increments", "spread", "least"), np.moveaxis(np.array(rows), 2, 0), strict=True)
        )
        return xr.Dataset(
            {k: (("seed", "n"), v) for k, v in columns.items()}, {"seed": list(self.seeds), "n": self.shown}
        )

    def _layers(self, seed: int) -> list[tuple[float, float, float, float]]:
        rng, m = np.random.default_rng(seed), self.width
        corners, law = np.concatenate([np.zeros((1, m)), np.eye(m)]), self.law.values(self.depth)[:, None]
        u, v, w = (_unit(rng, self.depth, m) for _ in range(3))
        if self.kind == "convergent":
            weights, biases, x = np.eye(m) + (law * u)[:, :, None] * v[:, None, :], law * w, 2 + corners
        elif self.kind == "constant":
            weights, biases, x = np.zeros((self.depth, m, m)), 1 + law * w, 2 + corners
        else:
            weights, biases, x = np.tile(2 * np.eye(m), (self.depth, 1, 1)), -np.ones((self.depth, m)), corners
        outputs = FeedforwardReLU(weights, biases).layers(x)
        rows = []
        for n in self.shown.tolist():
            deviation = np.linalg.norm(np.column_stack([weights[n - 1] - np.eye(m), biases[n - 1]]), 2)
            least = float(outputs[n].min())
            rows.append((float(deviation), *weights_from_outputs(outputs[n - 1], outputs[n]), least))
        return rows


def _unit(rng: np.random.Generator, rows: int, m: int) -> Float[ndarray, "rows m"]:
    """Random directions."""
    vectors = rng.normal(size=(rows, m))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
