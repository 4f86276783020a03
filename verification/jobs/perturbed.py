"""Networks at initialization whose weights move in a ball: how far the kernel can change, and how far it does."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd import seeds
from verification.data import Source
from verification.jobs.initial import smallest_lower

__all__ = ["Attacked", "Ball", "Uncertain", "pair_counts", "union_counts", "worst_in_ball"]


@dataclasses.dataclass(frozen=True)
class Ball:
    """Float64 networks at initialization, and the radius R of a ball about each: max_r ‖w_r − w_r(0)‖ ≤ R.

    Attributes
    ----------
    data, width, trials
        The data, m, and the number of networks.
    radius
        R; A_i(R) = {r : |w_r(0)·x_i| ≤ R}.
    seed, purpose
        What decides the networks, as in `ntk_localsgd.seeds`.
    """

    data: Source
    width: int
    trials: int
    radius: float
    seed: int
    purpose: str

    def draws(self) -> Iterator[tuple[Float[ndarray, "m d"], np.random.Generator]]:
        """Weights of every trial, and the generator that drew them."""
        input_dim = self.data.load().dataset.input_dim
        for trial in range(self.trials):
            rng = seeds.generator(self.seed, f"{self.purpose}, trial {trial}")
            yield rng.standard_normal((self.width, input_dim)), rng


@dataclasses.dataclass(frozen=True)
class Uncertain(Ball):
    """What can change: bounds over the whole ball, by counting neurons that can flip."""

    def compute(self) -> xr.Dataset:
        """By trial: ``total`` = Σ_ij |G_ij| |A_i ∪ A_j|/m, ``smallest`` ≤ λ_min(H(W)) for every W in the ball."""
        problem, rows = self.data.load(), []
        for weights, _ in self.draws():
            z = weights @ problem.inputs.T
            possible = np.abs(problem.inner) * union_counts(np.abs(z) <= self.radius) / self.width
            gram = problem.inner * pair_counts(z >= 0) / self.width
            smallest = smallest_lower(gram, problem, error=float(np.linalg.norm(possible)))
            rows.append(np.array([possible.sum(), smallest]))
        return _by_trial(("total", "smallest"), rows)


@dataclasses.dataclass(frozen=True)
class Attacked(Ball):
    """What does change at the worst weights found in a ball of radius ``attack_radius``."""

    attack_radius: float

    def compute(self) -> xr.Dataset:
        """By trial, each at its worst over the attacks.

        ``ratio``: largest change of counts over |A_i ∪ A_j| (0/0 is 0); ``movement``: max_r ‖w_r − w_r(0)‖;
        ``change``: ‖H(W) − H(0)‖_F; ``smallest``: a certified lower bound of λ_min(H(W)).
        """
        problem, rows = self.data.load(), []
        x, scale = problem.inputs, problem.inner / self.width
        for weights, rng in self.draws():
            z, seen = weights @ x.T, []
            allowed, before = union_counts(np.abs(z) <= self.radius), pair_counts(z >= 0)
            for moved in self._attacks(weights, x, rng):
                after = pair_counts(moved @ x.T >= 0)
                change = np.abs(after - before)
                ratio = np.divide(change, allowed, out=np.where(change > 0, np.inf, 0.0), where=allowed > 0).max()
                movement = np.linalg.norm(moved - weights, axis=1).max()
                smallest = smallest_lower(scale * after, problem)
                seen.append(np.array([ratio, movement, np.linalg.norm(scale * change), -smallest]))
            rows.append(np.max(np.stack(seen), axis=0) * (1, 1, 1, -1))
        return _by_trial(("ratio", "movement", "change", "smallest"), rows)

    def _attacks(
        self, weights: Float[ndarray, "m d"], inputs: Float[ndarray, "n d"], rng: np.random.Generator
    ) -> Iterator[Float[ndarray, "m d"]]:
        """All samples on, all off, the first sample off, and every neuron in a random direction."""
        for aim, on in ((inputs, True), (inputs, False), (inputs[:1], False)):
            yield worst_in_ball(weights, aim, self.attack_radius, on=on)
        step = rng.standard_normal(weights.shape)
        step *= _INSIDE * self.attack_radius / np.linalg.norm(step, axis=1, keepdims=True)
        yield weights + step


# Rounding must not lead out of the ball.
_INSIDE = 1 - 1e-12


def worst_in_ball(
    weights: Float[ndarray, "m d"], inputs: Float[ndarray, "n d"], radius: float, *, on: bool
) -> Float[ndarray, "m d"]:
    """Weights at most ``radius`` away, neuron by neuron, that turn as many (neuron, sample) pairs on (off) as we can.

    Each neuron that can reach a kink moves straight across the nearest one of the wanted kind. All changes then have
    one sign, so that they add up in the Gram matrix instead of cancelling.
    """
    z = weights @ inputs.T
    distance = np.where((z < 0) == on, np.abs(z), np.inf)
    nearest = distance.argmin(axis=1)
    reach = distance[np.arange(len(weights)), nearest]
    step = reach * (1 + 1e-9) + 1e-12  # just across, so that rounding cannot leave it on the kink
    direction = (1.0 if on else -1.0) * inputs[nearest]
    return weights + np.where(step <= radius * _INSIDE, step, 0.0)[:, None] * direction


def pair_counts(active: Bool[ndarray, "m n"]) -> Float[ndarray, "n n"]:
    """Neurons active on both samples, exact in float64."""
    p = active.astype(np.float64)
    return p.T @ p


def union_counts(uncertain: Bool[ndarray, "m n"]) -> Float[ndarray, "n n"]:
    """|A_i ∪ A_j|."""
    both = pair_counts(uncertain)
    sizes = np.diagonal(both)
    return sizes[:, None] + sizes[None, :] - both


def _by_trial(names: tuple[str, ...], rows: list[ndarray]) -> xr.Dataset:
    columns = np.stack(rows, axis=1)
    return xr.Dataset({name: ("trial", column) for name, column in zip(names, columns, strict=True)})
