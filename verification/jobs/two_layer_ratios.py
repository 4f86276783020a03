"""Measured over bound of claims about one client of two layers, as functions that a search climbs: S1a, S2, K6a, F1."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from verification.jobs.search import Point

__all__ = ["CountRatio", "FlipRatio", "GradientRatio", "ShrinkageRatio", "TwoLayerRatio"]

# What is looked at is at least this share of what it is the difference of, so that a ratio keeps twelve of its digits.
_LEAST = 1e-4

# A movement that was rounded down would leave a neuron beyond the ball that it has moved by.
_OUTWARD = 1 + 1e-12


@dataclasses.dataclass(frozen=True)
class TwoLayerRatio:
    """Points with ``rows`` [n d], scaled to norm 1 wherever they are used, ``targets`` [n] and ``weights`` [m d].

    Attributes
    ----------
    num_samples, input_dim, width
        n, d and m.
    """

    num_samples: int
    input_dim: int
    width: int
    refutable: ClassVar[float] = 0.7

    def draw(self, generator: np.random.Generator) -> Point:
        """Gaussian rows, targets, weights and ``moves`` of the weights, these of a size between 10⁻³ and 1."""
        point, size = self._gaussian(generator), 10.0 ** generator.uniform(-3, 0)
        return point | {"moves": size * generator.standard_normal((self.width, self.input_dim))}

    def _gaussian(self, generator: np.random.Generator) -> Point:
        n, d, m = self.num_samples, self.input_dim, self.width
        return {
            "rows": generator.standard_normal((n, d)),
            "targets": generator.standard_normal(n),
            "weights": generator.standard_normal((m, d)),
        }

    def _signs(self) -> Float[Array, " m"]:
        """a_r/√m, in turns +1 and −1."""
        return jnp.asarray((1.0 - 2.0 * (np.arange(self.width) % 2)) / np.sqrt(self.width))

    def _residual(
        self, weights: Float[Array, "m d"], rows: Float[Array, "n d"], targets: Float[Array, " n"]
    ) -> Float[Array, " n"]:
        return self._signs() @ _relu(weights @ rows.T) - targets

    def _cancelling(
        self, weights: Float[Array, "m d"], rows: Float[Array, "n d"], targets: Float[Array, " n"]
    ) -> Float[Array, ""]:
        """Size of the terms that a residual is the difference of: its rounding is a share of them."""
        return _norm(jnp.abs(self._signs()) @ _relu(weights @ rows.T)) + _norm(targets)


class GradientRatio(TwoLayerRatio):
    """‖∇L(W) − ∇L(W')‖_F over χ²‖W − W'‖_F + χ√p ‖r(W')‖, p = max_i (flips of x_i)/m, for any W and W' (S1a)."""

    def value(self, point: Point) -> Float[Array, ""]:
        """The ratio; −∞ where W and W' are so near that gradients, or outputs with targets, cancel."""
        x, y, weights = _unit(point["rows"]), point["targets"], point["weights"]
        other, signs = weights + point["moves"], self._signs()
        residuals = [self._residual(w, x, y) for w in (weights, other)]
        patterns = [w @ x.T >= 0 for w in (weights, other)]
        gradients = [signs[:, None] * ((z * r) @ x) for z, r in zip(patterns, residuals, strict=True)]
        chi, norms = jnp.linalg.norm(x, 2), [_norm(r) for r in residuals]
        flips = jnp.max(jnp.sum(patterns[0] != patterns[1], axis=0)) / self.width
        apart = chi * _norm(weights - other)
        bound = chi * (apart + jnp.where(flips > 0, jnp.sqrt(jnp.where(flips > 0, flips, 1)), 0) * norms[1])
        known = apart > _LEAST * jnp.maximum(*(self._cancelling(w, x, y) for w in (weights, other)))
        return jnp.where(known, _norm(gradients[0] - gradients[1]) / bound, -jnp.inf)


@dataclasses.dataclass(frozen=True)
class ShrinkageRatio(TwoLayerRatio):
    """‖r^k‖ over (1 − η(λ − ε))^k ‖r^0‖ after k local steps, η ≤ 1/λ_max(Θ), ε = ‖E(R)‖₂ (S2).

    ``log_share`` is varied too: η λ_max = exp(−|log_share|).

    Attributes
    ----------
    local_steps
        Steps are looked at from 1 to this many.
    """

    local_steps: int

    def draw(self, generator: np.random.Generator) -> Point:
        """As of all, with a step size between 1/e² and 1 times the largest."""
        point = super().draw(generator)
        return {name: point[name] for name in ("rows", "targets", "weights")} | {
            "log_share": np.array(generator.uniform(0, 2))
        }

    def value(self, point: Point) -> Float[Array, ""]:
        """The largest ratio over steps, −∞ where the residual or its bound have fallen to roundings."""
        x, y, start, signs = _unit(point["rows"]), point["targets"], point["weights"], self._signs()
        inner, before = x @ x.T, start @ x.T
        active = (before >= 0).astype(x.dtype)
        eigenvalues = jnp.linalg.eigvalsh(inner * (active.T @ active) / self.width)
        eta = jnp.exp(-jnp.abs(point["log_share"])) / eigenvalues[-1]
        weights, residual = start, self._residual(start, x, y)
        first, movement, ratio = _norm(residual), jnp.zeros(()), -jnp.inf * jnp.ones(())
        for k in range(1, self.local_steps + 1):
            weights = weights - eta * signs[:, None] * (((weights @ x.T >= 0) * residual) @ x)
            residual = self._residual(weights, x, y)
            movement = jnp.maximum(movement, jnp.max(jnp.linalg.norm(weights - start + 1e-300, axis=1)))
            may_flip = jnp.abs(before) <= _OUTWARD * movement
            error = jnp.abs(inner) * jnp.sum(may_flip[:, :, None] | may_flip[:, None, :], axis=0) / self.width
            bound = (1 - eta * (eigenvalues[0] - jnp.linalg.norm(error, 2))) ** k
            known = (eigenvalues[-1] > _LEAST) & (bound * first > _LEAST * self._cancelling(start, x, y))
            ratio = jnp.maximum(ratio, jnp.where(known, _norm(residual) / (bound * first), -jnp.inf))
        return ratio


class CountRatio(TwoLayerRatio):
    """max_ij |H_ij(W) − H_ij(0)| over |G_ij||A_i ∪ A_j|/m, A_i = {r: |w_r(0)·x_i| ≤ R}, R = max_r ‖w_r − w_r(0)‖ (K6a).

    G cancels, and both sides are counts of neurons: no gradient leads anywhere, rows that are drawn anew do.
    """

    def value(self, point: Point) -> Float[Array, ""]:
        """The ratio, 0 where no neuron can flip; infinite where one does all the same."""
        x, weights, moves = _unit(point["rows"]), point["weights"], point["moves"]
        before, after = (((w @ x.T) >= 0).astype(x.dtype) for w in (weights, weights + moves))
        near = jnp.abs(weights @ x.T) <= _OUTWARD * jnp.max(jnp.linalg.norm(moves, axis=1))
        changed = jnp.abs(after.T @ after - before.T @ before)
        possible = jnp.sum(near[:, :, None] | near[:, None, :], axis=0)
        return _largest_quotient(changed, possible)


class FlipRatio(TwoLayerRatio):
    """max_ij |H(t, k) − H(t, 0)|_ij over |G_ij|(flips of j)/m, H of patterns of W(t) times those of a local W (F1)."""

    def value(self, point: Point) -> Float[Array, ""]:
        """The ratio of counts, G cancels; 0 where nothing flips, infinite where entries change all the same."""
        x, weights = _unit(point["rows"]), point["weights"]
        start, local = (((w @ x.T) >= 0).astype(x.dtype) for w in (weights, weights + point["moves"]))
        changed = jnp.abs(start.T @ local - start.T @ start)
        flips = jnp.sum(start != local, axis=0)
        return _largest_quotient(changed, jnp.broadcast_to(flips, changed.shape))


def _largest_quotient(changed: Float[Array, "n n"], possible: Float[Array, "n n"]) -> Float[Array, ""]:
    none = jnp.where(changed > 0, jnp.inf, 0.0)
    return jnp.max(jnp.where(possible > 0, changed / jnp.maximum(possible, 1), none))


def _unit(rows: Float[Array, "n d"]) -> Float[Array, "n d"]:
    return rows / jnp.linalg.norm(rows, axis=1, keepdims=True)


def _relu(z: Array) -> Array:
    return jnp.where(z >= 0, z, 0)


def _norm(values: Array) -> Float[Array, ""]:
    """‖·‖_F with slope 0 at 0, where nothing leads."""
    square = jnp.sum(values**2)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
