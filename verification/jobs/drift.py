"""A client's drift over its bound, as a function of weights, data, targets and step size: what a search climbs."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from verification.jobs.search import Point
from verification.jobs.two_layer_ratios import TwoLayerRatio

__all__ = ["DriftRatio"]

# Residuals beside targets, and drifts beside weights, below which a ratio would be one of roundings.
_LEAST = 1e-4

# Largest η χ² of a point: beyond, local steps leave float64's digits.
_LARGEST_STEP = 1e4


@dataclasses.dataclass(frozen=True)
class DriftRatio(TwoLayerRatio):
    """max_{k ≤ τ} ‖W_{c,k} − W(t)‖_F / (η k χ_c max_{k'<k} ‖r_c^{k'}‖) of one client of two layers (S3).

    Other clients have no part in a client's own steps. Rows are scaled to norm 1, signs are drawn and stay; weights,
    rows, targets and log η are varied.

    Attributes
    ----------
    local_steps
        τ.
    """

    local_steps: int

    def draw(self, generator: np.random.Generator) -> Point:
        """Gaussian rows, weights and targets, and a step size of two decades about that of stability."""
        return self._gaussian(generator) | {"log_step": np.array(generator.uniform(-3, 1))}

    def value(self, point: Point) -> Float[Array, ""]:
        """The ratio; −∞ where residual or drift are so small, or a step so large, that it is one of roundings."""
        rows = point["rows"] / jnp.linalg.norm(point["rows"], axis=1, keepdims=True)
        signs = self._signs()
        eta, chi = jnp.exp(point["log_step"]), jnp.linalg.norm(rows, 2)
        weights, largest, ratio = point["weights"], jnp.zeros(()), -jnp.inf * jnp.ones(())
        least = _LEAST * jnp.linalg.norm(point["targets"])
        for k in range(1, self.local_steps + 1):
            active = weights @ rows.T >= 0
            residual = signs @ jnp.where(active, weights @ rows.T, 0) - point["targets"]
            norm = jnp.sqrt(jnp.sum(residual**2))
            largest = jnp.maximum(largest, norm)
            weights = weights - eta * signs[:, None] * ((active * residual) @ rows)
            drift = jnp.sqrt(jnp.sum((weights - point["weights"]) ** 2))
            # Squares of 1e154 are infinite, and so would be the ratio.
            known = (largest > least) & (eta * chi**2 < _LARGEST_STEP) & jnp.isfinite(drift)
            known &= drift > _LEAST * jnp.sqrt(jnp.sum(point["weights"] ** 2))
            ratio = jnp.maximum(ratio, jnp.where(known, drift / (eta * k * chi * largest), -jnp.inf))
        return ratio
