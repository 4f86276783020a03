"""A search for counterexamples: measured over bound, climbed from random starts by gradients and random steps."""

import dataclasses
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from numpy import ndarray

from ntk_localsgd.errors import InputError

__all__ = ["Point", "Ratio", "Search", "as_arrays"]

#: Where a ratio is taken: arrays by name, all of which are varied.
Point = dict[str, Any]

# A step's length beside that of the point, at first, at most and at least; its factor where it climbs, and
# where it does not.
_FIRST, _MOST, _SHORTEST, _LONGER, _SHORTER = 0.1, 1.0, 1e-9, 1.6, 0.7


class Ratio(Protocol):
    """Measured over bound of a claim, as a frozen dataclass of plain values; JAX differentiates it."""

    @property
    def refutable(self) -> float:
        """A share of the bound that is no bound, as the search must find out; 0.7 where all of it is attained."""
        ...

    def draw(self, generator: np.random.Generator) -> Point:
        """A random point, within the claim's premise."""
        ...

    def value(self, point: Point) -> Float[Array, ""]:
        """Measured over bound at a point, at most 1 if the claim is true; −∞ where a point is out of its range."""
        ...


@dataclasses.dataclass(frozen=True)
class Search:
    """The largest ratio that a search finds.

    Attributes
    ----------
    ratio
        What is climbed.
    seed
        Decides starts and random directions.
    restarts, steps
        Random starts, and points that are tried from each of them on: along the gradient, along a random direction, and
        with rows of an array drawn anew, in turns, because ReLU's ratios have kinks that stop a gradient and hills that
        no small step leaves. A step that does not climb is taken back.
    """

    ratio: Ratio
    seed: int
    restarts: int = 64
    steps: int = 400

    def compute(self) -> xr.Dataset:
        """``start`` and ``found`` [restart], the ratio at each random start and the largest that was found from there.

        ``settings`` and ``searched``: points looked at, and those of them that were climbed to; ``refutable``, of the
        ratio; ``best_…``: the point of the largest one.

        Raises
        ------
        InputError
            Without JAX's x64 mode: in float32 a bound that is reached is left by rounding.
        """
        if not jax.config.read("jax_enable_x64"):
            raise InputError("a search for counterexamples needs JAX's x64 mode: rounding would refute what is true.")
        generator = np.random.default_rng(self.seed)
        starts = [self.ratio.draw(generator) for _ in range(self.restarts)]
        points = jax.tree.map(lambda *each: jnp.asarray(np.stack(each)), *starts)
        keys = jax.random.split(jax.random.key(self.seed % 2**32), self.restarts)
        start, found, ends = jax.jit(jax.vmap(partial(_climb, self.ratio.value, self.steps)))(points, keys)
        best = int(np.argmax(np.asarray(found)))
        variables: dict[str, Any] = {"start": ("restart", np.asarray(start)), "found": ("restart", np.asarray(found))}
        for name, values in ends.items():
            values = np.asarray(values)[best]
            variables[f"best_{name}"] = ([f"{name}_{axis}" for axis in range(values.ndim)], values)
        searched = self.restarts * self.steps
        numbers = {"settings": self.restarts + searched, "searched": searched, "refutable": self.ratio.refutable}
        return xr.Dataset(variables | {name: ((), value) for name, value in numbers.items()})


def _climb(value: Any, steps: int, point: Point, key: Array) -> tuple[Array, Array, Point]:
    """Ratio at the start, the largest found from there, and where that is."""
    flat, shaped = ravel_pytree(point)

    def ratio(at: Array) -> Array:
        found = value(shaped(at))
        return jnp.where(jnp.isnan(found), -jnp.inf, found)  # what is no number is never the best

    def one(state: tuple[Array, Array, Array], number: Array) -> tuple[tuple[Array, Array, Array], None]:
        here, best, lengths = state
        kind = number % 3
        noise, other = jax.random.normal(jax.random.fold_in(key, number), (2, len(here)), here.dtype)
        slope = jax.grad(ratio)(here)
        along = jnp.where(kind == 0, jnp.where(jnp.isfinite(slope), slope, 0), noise)
        scale = lengths[kind] * (1e-3 + jnp.linalg.norm(here)) / jnp.maximum(jnp.linalg.norm(along), 1e-300)
        redrawn, _ = ravel_pytree(jax.tree.map(_redrawn, shaped(here), shaped(other)))
        tried = jnp.where(kind == 2, redrawn, here + scale * along)
        there = ratio(tried)
        climbs = there > best
        length = jnp.minimum(lengths[kind] * jnp.where(climbs, _LONGER, _SHORTER), _MOST)
        # Where nothing more is gained nearby, all is tried again from far off.
        lengths = lengths.at[kind].set(jnp.where(length < _SHORTEST, _FIRST, length))
        return (jnp.where(climbs, tried, here), jnp.maximum(best, there), lengths), None

    start = ratio(flat)
    (end, found, _), _ = jax.lax.scan(one, (flat, start, jnp.full(3, _FIRST)), jnp.arange(steps))
    return start, found, shaped(end)


def _redrawn(values: Array, noise: Array) -> Array:
    """The array with one of its rows, or the number, drawn anew in the array's own size; the noise decides which."""
    if values.ndim == 0:
        return values
    size = jnp.sqrt(jnp.mean(values**2))
    which = jnp.argmax(noise.reshape(len(noise), -1)[:, 0])
    return values.at[which].set(size * noise[which - 1])


def as_arrays(best: xr.Dataset) -> dict[str, ndarray]:
    """The point of the largest ratio, by the names of the ratio's own arrays."""
    return {str(name)[len("best_") :]: best[name].values for name in best if str(name).startswith("best_")}
