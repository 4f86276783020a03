"""Deep networks near initialization, under random and adversarial perturbations of given spectral norm: D3, D4, D6."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.local_sgd.gradients import gradient, layer_flips, loss
from ntk_localsgd.local_sgd.lanczos import layer_spectral_norms
from ntk_localsgd.networks import DeepReLU
from verification.claims import claim
from verification.context import Context, Problem, problem
from verification.growth import stays_bounded

RADII = (2.0**-2, 2.0**-4, 2.0**-6)
_MIDDLE = RADII[1]
_ASCENT_STEPS = 8
_KINDS = ("random", "adversarial")


class Effect(NamedTuple):
    """What W + W' does, max_l ‖W'_l‖₂ = ω."""

    flips: float  # largest number of neurons of a layer that flip on a sample
    moved: float  # max ‖h'_l − h_l‖
    remainder: float  # F(W + W') − F(W) − ⟨∇F, W'⟩, the larger one of ± W'
    increase: float  # F(W + W') − F(W), the larger one of ± W'
    loss: float  # F(W)


def random_direction(key: Array, net: DeepReLU) -> tuple[Array, ...]:
    """Gaussian matrices of spectral norm about 1: that of an m×m Gaussian matrix is 2√m up to m^{-1/6}."""
    keys = jax.random.split(key, net.depth)
    return tuple(
        jax.random.normal(k, w.shape, w.dtype) / (2 * w.shape[0] ** 0.5) for k, w in zip(keys, net.trained, strict=True)
    )


@jax.jit
def flipping_direction(key: Array, net: DeepReLU, x: Array, omega: float) -> tuple[Array, ...]:
    """Matrices of spectral norm 1 that flip many neurons of the first sample when multiplied by ω.

    Gradient ascent on Σ_l Σ_r sigmoid(−sign(z_r) z'_r/β) from a small random start, the norm held at ω. An adversary
    that flips the neurons nearest to their kinks reaches |z| of about ω^{2/3} times their scale √(2/m), which is β. One
    sample's gradient has rank one, so that its Frobenius norm is its spectral norm and serves on the way.
    """
    before = net.pre_activations(x[:1])
    beta = omega ** (2 / 3) * (2 / net.width) ** 0.5

    def flips(moved: tuple[Array, ...]) -> Array:
        after = net.with_trained(tuple(w + v for w, v in zip(net.trained, moved, strict=True))).pre_activations(x[:1])
        return sum(
            (jnp.sum(jax.nn.sigmoid(-jnp.sign(z) * new / beta)) for z, new in zip(before, after, strict=True)),
            jnp.zeros(()),
        )

    def on_sphere(moved: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(omega * v / jnp.linalg.norm(v) for v in moved)

    def ascend(moved: tuple[Array, ...], _: Array) -> tuple[tuple[Array, ...], None]:
        slope = on_sphere(jax.grad(flips)(moved))
        return on_sphere(tuple(v + g for v, g in zip(moved, slope, strict=True))), None

    start = tuple(0.1 * omega * v for v in random_direction(key, net))
    moved, _ = jax.lax.scan(ascend, start, jnp.arange(_ASCENT_STEPS))
    return tuple(v / s for v, s in zip(moved, layer_spectral_norms(moved), strict=True))


@jax.jit
def _effect(net: DeepReLU, x: Array, y: Array, direction: tuple[Array, ...], omega: float) -> Effect:
    hidden, z = net.layers(x)
    everyone = jnp.ones(len(x), bool)
    here, slope = loss(net, x, y, everyone), gradient(net, x, y, everyone)

    def along(sign: Array) -> tuple[Array, ...]:
        step = tuple(sign * omega * v for v in direction)
        other = net.with_trained(tuple(w + s for w, s in zip(net.trained, step, strict=True)))
        new_hidden, new_z = other.layers(x)
        flips = jnp.max(layer_flips(tuple(v >= 0 for v in new_z), tuple(v >= 0 for v in z)))
        moved = jnp.max(jnp.stack([jnp.linalg.norm(a - b, axis=1) for a, b in zip(new_hidden, hidden, strict=True)]))
        increase = loss(other, x, y, everyone) - here
        linear = sum((jnp.sum(g * s) for g, s in zip(slope, step, strict=True)), jnp.zeros(()))
        return flips, moved, increase - linear, increase

    flips, moved, remainder, increase = (jnp.max(v) for v in jax.lax.map(along, jnp.array([1.0, -1.0], x.dtype)))
    return Effect(flips, moved, remainder, increase, here)  # type: ignore[arg-type]


@functools.cache
def effects_of(kind: str, n: int, data_seed: int, width: int, depth: int, omega: float, how: str, seed: int) -> Effect:
    """What a perturbation of radius ω does to one network at its initialization."""
    made = problem(kind, n, data_seed)
    y = jnp.asarray(made.dataset.targets)
    key, x = jax.random.key(seed), jnp.asarray(made.inputs)
    outputs = y.shape[1] if y.ndim == 2 else 1
    net = DeepReLU.init(
        key, width=width, depth=depth, input_dim=made.dataset.input_dim, output_dim=outputs, dtype=np.float64
    )
    aside = jax.random.fold_in(key, 10**6)
    # Below the radii of D3 a neuron or two are in reach, and the surrogate has no slope left.
    direction = (
        random_direction(aside, net) if how == "random" else flipping_direction(aside, net, x, max(omega, RADII[-1]))
    )
    return Effect(*(float(v) for v in _effect(net, x, y, direction, omega)))


def _sweep(context: Context, made: Problem, how: str, field: str, points: list[tuple[int, int, float]]) -> np.ndarray:
    """[seeds points] of one quantity at (m, L, ω)."""
    return np.array([
        [getattr(effects_of(made.kind, made.num_samples, made.seed, *point, how, 8000 * (context.seed + 1) + s), field)
         for point in points]
        for s in range(context.preset.deep.few_seeds)
    ])  # fmt: skip


def _sweeps(context: Context) -> dict[str, tuple[tuple[float, ...], list[tuple[int, int, float]], list[float], str]]:
    """Parameter → its values, the points (m, L, ω), the control's ω at each, and what the control changes."""
    sizes = context.preset.deep
    m, widest, depth = sizes.widths[0], sizes.widths[-1], sizes.depths[0]
    depths = tuple(sorted(sizes.depths)[:3])
    return {
        "1/ω": (tuple(1 / w for w in RADII), [(widest, depth, w) for w in RADII], [RADII[0]] * len(RADII),
                f"W' of norm {RADII[0]:g} at every ω"),
        "m": (sizes.widths, [(v, depth, _MIDDLE) for v in sizes.widths],
              [_MIDDLE * v / m for v in sizes.widths], "W' of norm ω m/m_0"),
        "L": (depths, [(m, v, _MIDDLE) for v in depths], [_MIDDLE * v**3 / depths[0] ** 3 for v in depths],
              "W' of norm ω L³"),
    }  # fmt: skip


def _check(context: Context, claim_id: str, quantity: str, field: str) -> Iterator[Evidence]:
    bound = BOUNDS[claim_id]
    for made in context.deep_problems():
        for how in _KINDS:
            for name, (values, points, others, changed) in _sweeps(context).items():
                shape = np.array([bound.evaluate(m=m, L=depth, omega=omega) for m, depth, omega in points])
                control = [(m, depth, omega) for (m, depth, _), omega in zip(points, others, strict=True)]
                found, broken = (
                    np.maximum(_sweep(context, made, how, field, at), _LEAST[field]) for at in (points, control)
                )
                fixed = {"m": f"m = {points[0][0]}", "L": f"L = {points[0][1]}", "1/ω": f"ω = {_MIDDLE:g}"}
                shown = ", ".join(text for key, text in fixed.items() if key != name)
                yield stays_bounded(
                    claim_id, f"{made}, {shown}, {how} W'", _premise(points), quantity, name, values, found, shape,
                    control=broken, control_setting=changed,
                )  # fmt: skip


# A count of 0 flips has no logarithm; it stands for less than one.
_LEAST = {"flips": 0.5, "moved": 0.0}


def _premise(points: list[tuple[int, int, float]]) -> Condition:
    """The lemmas' own premise, recalled, its constant set to 1; every ω of the sweep must meet it."""
    limits = [depth**-4.5 * np.log(m) ** -3 for m, depth, _ in points]
    met = all(omega <= limit for (*_, omega), limit in zip(points, limits, strict=True))
    return Condition(f"ω ≤ L^(−9/2) log^(−3) m (here {min(limits):.2g})", bool(met))


@claim(
    "D3",
    "‖W'_l‖₂ ≤ ω ⇒ at most O(m L ω^{2/3}) patterns of a layer flip on a sample",
    letter="R",
    source=BOUNDS["D3"].source,
)
def pattern_perturbation(context: Context) -> Iterator[Evidence]:
    """The largest number of flips over layers and samples, over ω, m and L."""
    yield from _check(context, "D3", "max ‖D' − D‖_0", "flips")


@claim(
    "D4",
    "‖W'_l‖₂ ≤ ω ⇒ ‖h'_l − h_l‖ = O(ω L^{5/2} √log m)",
    letter="R",
    source=BOUNDS["D4"].source,
)
def forward_perturbation(context: Context) -> Iterator[Evidence]:
    """The largest change of a layer's output, over ω, m and L."""
    yield from _check(context, "D4", "max ‖h'_l − h_l‖", "moved")


# Far below the other radii, where a remainder without its gradient's term must exceed the bound.
_SMALL_RADII = (*RADII, 2.0**-12, 2.0**-30)


@claim(
    "D6",
    "F(W + W') ≤ F(W) + ⟨∇F, W'⟩ + √(nF)·O(ω^{1/3}L²√(m log m)/√o)‖W'‖₂ + O(nL²m/o)‖W'‖₂²",
    letter="R",
    source=BOUNDS["D6"].source,
)
def semi_smoothness(context: Context) -> Iterator[Evidence]:
    """The worst ratio of the two sides with all constants 1, over ω, m and L; the control leaves ⟨∇F, W'⟩ out."""
    sizes = context.preset.deep
    m, depth = sizes.widths[0], sizes.depths[0]
    points = [(m, depth, omega) for omega in _SMALL_RADII]
    points += [(v, depth, _MIDDLE) for v in sizes.widths[1:]] + [(m, v, _MIDDLE) for v in sorted(sizes.depths)[:3]]
    for made in context.deep_problems():
        outputs = made.dataset.targets.shape[1] if made.dataset.targets.ndim == 2 else 1
        for how in _KINDS:
            start = _sweep(context, made, how, "loss", points)
            right = np.array([
                [BOUNDS["D6"].evaluate(n=made.num_samples, m=m, L=depth, o=outputs, omega=omega, loss=f, distance=omega)
                 for f, (m, depth, omega) in zip(row, points, strict=True)] for row in start
            ])  # fmt: skip
            worst, control = (
                float((_sweep(context, made, how, field, points) / right).max()) for field in ("remainder", "increase")
            )
            yield Evidence(
                "D6", f"{made}, {how} W', ω = 2^−30 … {RADII[0]:g}, m = {m} … {sizes.widths[-1]}, "
                f"L = {min(sizes.depths)} … {depth}", _premise(points),
                Condition("left side / right side ≤ 1 with all constants 1, for ± W'", worst <= 1), worst, 1.0,
                Control("⟨∇F, W'⟩ left out", control > 1, control), trials=start.size,
            )  # fmt: skip
