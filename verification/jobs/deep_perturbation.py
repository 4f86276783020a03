"""Deep networks beside their initialization, at perturbations W' of given spectral norm, random and adversarial."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from ntk_localsgd.local_sgd.gradients import gradient, layer_flips, loss
from ntk_localsgd.local_sgd.lanczos import layer_spectral_norms
from ntk_localsgd.networks import DeepReLU
from verification.data import Source

__all__ = ["CHOICES", "Effect", "Perturbation", "effect", "flipping_direction", "random_direction"]

#: How W' is chosen, in the order of the dimension ``choice``.
CHOICES = ("random", "adversarial")

_ASCENT_STEPS = 8

# Below it a neuron or two are in reach, and the adversary's surrogate has no slope left.
_SMALLEST_REACH = 2.0**-6


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """Networks of one shape, one a seed, in float64, and W + W' with max_l ‖W'_l‖₂ = ω = ``radius``."""

    data: Source
    width: int
    depth: int
    radius: float
    seeds: tuple[int, ...]

    def compute(self) -> xr.Dataset:
        """The fields of `Effect` [seed choice]."""
        dataset = self.data.load().dataset
        x, y = jnp.asarray(dataset.inputs), jnp.asarray(dataset.targets)
        rows = [_effects(self._network(seed), _aside(seed), x, y, self.radius) for seed in self.seeds]
        effects = jax.tree.map(lambda *fields: np.stack(fields), *rows)
        return xr.Dataset(
            {name: (("seed", "choice"), values) for name, values in effects._asdict().items()},
            {"seed": list(self.seeds), "choice": list(CHOICES)},
        )

    def _network(self, seed: int) -> DeepReLU:
        problem = self.data.load()
        shape = {"width": self.width, "depth": self.depth, "output_dim": problem.num_outputs}
        return DeepReLU.init(jax.random.key(seed), input_dim=problem.dataset.input_dim, dtype=np.float64, **shape)


def _aside(seed: int) -> Array:
    """A key apart from those of the network's layers."""
    return jax.random.fold_in(jax.random.key(seed), 10**6)


class Effect(NamedTuple):
    """What W + W' does, max_l ‖W'_l‖₂ = ω."""

    flips: Array  # largest number of neurons of a layer that flip on a sample
    moved: Array  # max ‖h'_l − h_l‖
    remainder: Array  # F(W + W') − F(W) − ⟨∇F, W'⟩, the larger one of ± W'
    increase: Array  # F(W + W') − F(W), the larger one of ± W'
    loss: Array  # F(W)


def _effects(net: DeepReLU, key: Array, x: Array, y: Array, radius: float) -> Effect:
    """[choice] of every field."""
    start = random_direction(key, net)
    directions = (start, flipping_direction(start, net, x, max(radius, _SMALLEST_REACH)))
    effects = [effect(net, x, y, direction, radius) for direction in directions]
    return jax.tree.map(lambda *fields: np.stack(fields), *effects)


def random_direction(key: Array, net: DeepReLU) -> tuple[Float[Array, "m m"], ...]:
    """Gaussian matrices of spectral norm about 1: that of an m×m Gaussian matrix is 2√m up to m^{-1/6}."""
    keys = jax.random.split(key, net.depth)
    return tuple(
        jax.random.normal(k, w.shape, w.dtype) / (2 * w.shape[0] ** 0.5) for k, w in zip(keys, net.trained, strict=True)
    )


@jax.jit
def flipping_direction(
    start: tuple[Array, ...], net: DeepReLU, x: Array, radius: float | Array
) -> tuple[Float[Array, "m m"], ...]:
    """Matrices of spectral norm 1 that flip many neurons of the first sample when multiplied by ω = ``radius``.

    Gradient ascent on Σ_l Σ_r sigmoid(−sign(z_r) z'_r/β) from a tenth of a random direction, the norm held at ω. An
    adversary that flips the neurons nearest to their kinks reaches |z| of about ω^{2/3} times their scale √(2/m), which
    is β. One sample's gradient has rank one, so that its Frobenius norm is its spectral norm and serves on the way.
    """
    before = net.pre_activations(x[:1])
    beta = radius ** (2 / 3) * (2 / net.width) ** 0.5

    def flips(moved: tuple[Array, ...]) -> Array:
        after = _added(net, moved).pre_activations(x[:1])
        return sum(
            (jnp.sum(jax.nn.sigmoid(-jnp.sign(z) * new / beta)) for z, new in zip(before, after, strict=True)),
            jnp.zeros(()),
        )

    def on_sphere(moved: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(radius * v / jnp.linalg.norm(v) for v in moved)

    def ascend(moved: tuple[Array, ...], _: Array) -> tuple[tuple[Array, ...], None]:
        slope = on_sphere(jax.grad(flips)(moved))
        return on_sphere(tuple(v + g for v, g in zip(moved, slope, strict=True))), None

    small = tuple(0.1 * radius * v for v in start)
    moved, _ = jax.lax.scan(ascend, small, jnp.arange(_ASCENT_STEPS))
    return tuple(v / s for v, s in zip(moved, layer_spectral_norms(moved), strict=True))


@jax.jit
def effect(net: DeepReLU, x: Array, y: Array, direction: tuple[Array, ...], radius: float) -> Effect:
    """What W' = ± ``radius`` · ``direction`` does; of the two signs the larger effect."""
    hidden, z = net.layers(x)
    everyone = jnp.ones(len(x), bool)
    here, slope = loss(net, x, y, everyone), gradient(net, x, y, everyone)

    def along(sign: Array) -> tuple[Array, ...]:
        step = tuple(sign * radius * v for v in direction)
        other = _added(net, step)
        new_hidden, new_z = other.layers(x)
        flips = jnp.max(layer_flips(tuple(v >= 0 for v in new_z), tuple(v >= 0 for v in z)))
        moved = jnp.max(jnp.stack([jnp.linalg.norm(a - b, axis=1) for a, b in zip(new_hidden, hidden, strict=True)]))
        increase = loss(other, x, y, everyone) - here
        linear = sum((jnp.sum(g * s) for g, s in zip(slope, step, strict=True)), jnp.zeros(()))
        return flips, moved, increase - linear, increase

    flips, moved, remainder, increase = (jnp.max(v) for v in jax.lax.map(along, jnp.array([1.0, -1.0], x.dtype)))
    return Effect(flips, moved, remainder, increase, here)


def _added(net: DeepReLU, step: tuple[Array, ...]) -> DeepReLU:
    return net.with_trained(tuple(w + s for w, s in zip(net.trained, step, strict=True)))
