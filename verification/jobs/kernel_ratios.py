"""Measured over bound of claims about Gram matrices, as functions that a search climbs: K8, C10."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from verification.jobs.search import Point

__all__ = ["CentralizedRatio", "PairRatio"]

# Beside numbers of size 1, known to 1e-15, what is looked at keeps eleven digits.
_LEAST = 1e-4


@dataclasses.dataclass(frozen=True)
class PairRatio:
    """λ_min(H^∞) over ½ − H^∞_12 of the closest pair, rows of norm 1 (K8).

    Attributes
    ----------
    num_samples, input_dim
        n and d.
    """

    num_samples: int
    input_dim: int
    refutable: ClassVar[float] = 0.7

    def draw(self, generator: np.random.Generator) -> Point:
        """Gaussian rows."""
        return {"rows": generator.standard_normal((self.num_samples, self.input_dim))}

    def value(self, point: Point) -> Float[Array, ""]:
        """The ratio; −∞ where the pair is so close that its bound is one of roundings."""
        x = point["rows"] / jnp.linalg.norm(point["rows"], axis=1, keepdims=True)
        first, second = np.triu_indices(self.num_samples, 1)
        half = jnp.minimum(jnp.sqrt(jnp.sum((x[first] - x[second]) ** 2, axis=1)) / 2, 1 - 1e-15)
        angle = 2 * jnp.arcsin(half)
        entries = jnp.cos(angle) * (jnp.pi - angle) / (2 * jnp.pi)
        gram = jnp.eye(self.num_samples) / 2
        gram = gram.at[first, second].set(entries).at[second, first].set(entries)
        closest = jnp.argmin(half)
        bound = half[closest] ** 2 + jnp.cos(angle[closest]) * angle[closest] / (2 * jnp.pi)
        return jnp.where(bound > _LEAST, jnp.linalg.eigvalsh(gram)[0] / bound, -jnp.inf)


@dataclasses.dataclass(frozen=True)
class CentralizedRatio:
    """max_R ‖B^R − C^R‖_* over η²τ(τ − 1)Λ/(2√(μ_M μ_N)), any Θ = SSᵀ ≻ 0 and ηΛ ≤ 1 (C10).

    With ‖v‖_* = ‖S⁻¹v‖, S⁻¹BS = I − SᵀMS/K and S⁻¹CS = (I − ηSᵀS/K)^τ are symmetric, and nothing is inverted. ``root``
    and ``log_share`` are varied: S, and ηΛ = exp(−|log_share|).

    Attributes
    ----------
    num_clients, samples_each, local_steps, rounds
        K, n_c, τ and the largest R.
    """

    num_clients: int
    samples_each: int
    local_steps: int
    rounds: int
    #: No search has found more than 0.31 of a bound that the proof does not attain.
    refutable: ClassVar[float] = 0.2

    def draw(self, generator: np.random.Generator) -> Point:
        """A Gaussian root, and a step size between e⁻² and 1 times 1/Λ."""
        n = self.num_clients * self.samples_each
        return {"root": generator.standard_normal((n, n)), "log_share": np.array(generator.uniform(0, 2))}

    def value(self, point: Point) -> Float[Array, ""]:
        """The ratio; −∞ where steps are so short that both runs are one to rounding."""
        k, tau = self.num_clients, self.local_steps
        root = point["root"] / jnp.linalg.norm(point["root"], 2)
        blocks = jnp.split(root, k)
        largest = jnp.max(jnp.stack([jnp.linalg.eigvalsh(part @ part.T)[-1] for part in blocks]))
        eta, unit = jnp.exp(-jnp.abs(point["log_share"])) / largest, jnp.eye(self.samples_each)
        summed = jnp.zeros_like(root)
        for part in blocks:
            power, total = unit, jnp.zeros_like(unit)
            for _ in range(tau):
                total, power = total + eta * power, power - eta * (part @ (part.T @ power))
            summed = summed + part.T @ total @ part
        local = jnp.eye(len(root)) - (summed + summed.T) / (2 * k)
        central = jnp.linalg.matrix_power(jnp.eye(len(root)) - eta / k * root.T @ root, tau)
        apart, paths = jnp.zeros(()), [jnp.eye(len(root))] * 2
        for _ in range(self.rounds):
            paths = [path @ step for path, step in zip(paths, (local, central), strict=True)]
            apart = jnp.maximum(apart, jnp.linalg.norm(paths[0] - paths[1], 2))
        whole = jnp.linalg.norm(root, 2) ** 2
        least = [(1 - (1 - eta * size) ** tau) / size for size in (largest, whole / k)]
        bound = eta**2 * tau * (tau - 1) * largest / (2 * jnp.sqrt(least[0] * least[1]))
        return jnp.where((eta * largest > _LEAST) & (bound > _LEAST), apart / bound, -jnp.inf)
