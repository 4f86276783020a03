"""Measured over bound of claims about networks whose depth grows, as functions that a search climbs: X2, X3."""

import dataclasses
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from verification.jobs.search import Point

__all__ = ["LayerRatio", "TailRatio"]

# Beside outputs, known to 1e-15 of their size, what is looked at keeps eleven digits.
_LEAST = 1e-4


@dataclasses.dataclass(frozen=True)
class TailRatio:
    """max_n ‖N_∞ − N_n‖ over its bound, for L layers W_l = I + E_l with biases b_l and the identity after (X2).

    ``input`` (taken as |x|, N_0 = |x| ≥ 0), ``changes`` E and ``biases`` are varied.

    Attributes
    ----------
    width, depth
        m and L.
    bound
        From the start: H Σ_{l>n} ‖E_l‖ + Σ_{l>n} ‖b_l‖, or from the output: (Π_{l>n}(1 + ‖E_l‖) − 1)(‖N_n‖ + Σ_{l>n}
        ‖b_l‖) + Σ_{l>n} ‖b_l‖.
    """

    width: int
    depth: int
    bound: Literal["start", "output"]
    refutable: ClassVar[float] = 0.7

    def draw(self, generator: np.random.Generator) -> Point:
        """Gaussian inputs, changes and biases, these two of sizes between 10⁻² and 1."""
        size = 10.0 ** generator.uniform(-2, 0, 2)
        return {
            "input": generator.standard_normal(self.width),
            "changes": size[0] * generator.standard_normal((self.depth, self.width, self.width)),
            "biases": size[1] * generator.standard_normal((self.depth, self.width)),
        }

    def value(self, point: Point) -> Float[Array, ""]:
        """The ratio; −∞ where layers are so near the identity that outputs cancel."""
        outputs = [jnp.abs(point["input"])]
        for change, bias in zip(point["changes"], point["biases"], strict=True):
            outputs.append(jnp.maximum(outputs[-1] + change @ outputs[-1] + bias, 0))
        sizes = jnp.stack([jnp.linalg.norm(change, 2) for change in point["changes"]])
        biases = jnp.sqrt(jnp.sum(point["biases"] ** 2, axis=1))
        start = jnp.sqrt(jnp.sum(point["input"] ** 2))
        largest, ratio = jnp.prod(1 + sizes) * (start + jnp.sum(biases)), -jnp.inf * jnp.ones(())
        for n in range(self.depth):
            here, rest = jnp.sqrt(jnp.sum(outputs[n] ** 2) + 1e-300), jnp.sum(biases[n:])
            if self.bound == "start":
                bound = largest * jnp.sum(sizes[n:]) + rest
            else:
                bound = (jnp.prod(1 + sizes[n:]) - 1) * (here + rest) + rest
            known = (bound > _LEAST * largest) & jnp.isfinite(largest)
            apart = jnp.sqrt(jnp.sum((outputs[-1] - outputs[n]) ** 2) + 1e-300)
            ratio = jnp.maximum(ratio, jnp.where(known, apart / bound, -jnp.inf))
        return ratio


@dataclasses.dataclass(frozen=True)
class LayerRatio:
    """‖[W − I, b]‖₂ σ_min([h_i; 1]_i) over ‖increments‖₂, h_i > 0 and W h_i + b > 0 at m + 1 inputs h_i (X3).

    ``outputs`` (taken as |h|), ``change`` W − I and ``bias`` are varied.

    Attributes
    ----------
    width
        m.
    """

    width: int
    refutable: ClassVar[float] = 0.7

    def draw(self, generator: np.random.Generator) -> Point:
        """Inputs above 1, and changes that leave what comes out positive for most of them."""
        m = self.width
        return {
            "outputs": 1 + generator.exponential(size=(m + 1, m)),
            "change": 0.3 / m * generator.standard_normal((m, m)),
            "bias": 0.3 * generator.standard_normal(m),
        }

    def value(self, point: Point) -> Float[Array, ""]:
        """The ratio; −∞ where an output is not positive, inputs are dependent, or increments are roundings."""
        before = jnp.abs(point["outputs"])
        after = before + before @ point["change"].T + point["bias"]
        with_ones = jnp.concatenate([before, jnp.ones((self.width + 1, 1))], axis=1)
        values, size = jnp.linalg.svd(with_ones, compute_uv=False), jnp.linalg.norm(with_ones, 2)
        increments = jnp.linalg.norm(jnp.maximum(after, 0) - before, 2)
        moved = jnp.linalg.norm(jnp.concatenate([point["change"], point["bias"][:, None]], axis=1), 2)
        known = (jnp.min(before) > 0) & (jnp.min(after) > 0)
        known &= (values[-1] > _LEAST * size) & (increments > _LEAST * size)
        return jnp.where(known, moved * values[-1] / increments, -jnp.inf)
