"""Deep networks along Local (S)GD: movement, flips and gradients in the width: S4-deep, S5-deep, D2-run."""

from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.statistics import holds_as_exponent, slope
from verification.claims import claim
from verification.context import Context, Problem
from verification.growth import TOLERANCE
from verification.runs import RunSpec

_OBSERVED = ("gradient_norm", "path_length", "layer_spectral_movement", "layer_flip_fraction")


def sweep(context: Context, made: Problem) -> list[RunSpec]:
    """Local GD at several widths, all else alike."""
    sizes = context.preset.deep
    return [spec_of(context, made, width=m, seeds=sizes.seeds, observe=_OBSERVED) for m in sizes.widths]


def growing_targets(context: Context, made: Problem) -> list[RunSpec]:
    """The control: targets that grow with √m, so that weights and patterns must move at every width."""
    sizes = context.preset.deep
    return [
        spec_of(context, made, width=m, seeds=2 * sizes.few_seeds, observe=_OBSERVED, target_scale=(m / 16) ** 0.5)
        for m in (sizes.widths[0], sizes.widths[-1])
    ]


def spec_of(
    context: Context, made: Problem, *, width: int | None = None, depth: int | None = None, seeds: int | None = None,
    clients: int | None = None, local_steps: int | None = None, split: str = "label",
    observe: tuple[str, ...] = (), target_scale: float = 1.0, batch_size: int = 0,
) -> RunSpec:  # fmt: skip
    """A deep run; what is not given is the preset's first value, and η = ½ o/(m max_c λ_max(Θ^∞_cc))."""
    sizes = context.preset.deep
    width, depth, clients = width or sizes.widths[0], depth or sizes.depths[0], clients or sizes.clients[0]
    targets = made.dataset.targets
    outputs = targets.shape[1] if targets.ndim == 2 else 1
    step = 0.5 * outputs / (width * made.largest_deep_eigenvalue(clients, depth, split))
    return RunSpec(
        made.kind, made.num_samples, made.seed, clients, width, step, local_steps or sizes.local_steps[0],
        sizes.rounds, tuple(1000 * (context.seed + 1) + s for s in range(seeds or sizes.few_seeds)), observe,
        target_scale=target_scale, depth=depth, split=split, batch_size=batch_size,
    )  # fmt: skip


def _runs(context: Context) -> Iterator[RunSpec]:
    for made in context.deep_problems():
        yield from sweep(context, made)
        yield from growing_targets(context, made)


def _spectral(run: xr.Dataset, scale: float) -> np.ndarray:
    """max_l ‖W_l(R) − W_l(0)‖₂ / ‖r(0)‖ per seed; the scale of the control's targets is not divided out."""
    moved = run.layer_spectral_movement.isel(round=-1).max("layer")
    return (scale * moved / np.sqrt(2 * run.loss.isel(round=0))).values


def _flips(run: xr.Dataset, scale: float) -> np.ndarray:  # noqa: ARG001 (all quantities have one interface)
    """Flipped share over all layers at the run's end."""
    return run.layer_flip_fraction.isel(round=-1).mean("layer").values


def _gradients(run: xr.Dataset, scale: float) -> np.ndarray:
    """‖∇F‖²/F, in the mean of its logarithm over the rounds; the control's scale is not divided out."""
    return scale**2 * np.exp(np.log(run.gradient_norm**2 / run.loss).mean("round").values)


def _exponent(
    context: Context, claim_id: str, what: str, quantity: Callable[[xr.Dataset, float], np.ndarray], claimed: float,
    spare: float = 0.0,
) -> Iterator[Evidence]:  # fmt: skip
    """Slope over widths of a quantity per seed, beside its claimed exponent; the control's targets grow with √m."""
    widths = context.preset.deep.widths
    for made in context.deep_problems():
        found, control = (
            slope([s.width for s in specs], np.stack([quantity(context.run(s), s.target_scale) for s in specs], 1))
            for specs in (sweep(context, made), growing_targets(context, made))
        )
        holds, broken = (holds_as_exponent(v, claimed, spare + TOLERANCE) for v in (found, control))
        between = f"[{claimed - spare:.3g}, {claimed + spare:.3g}]" if spare else f"{claimed:g}"
        spec = sweep(context, made)[0]
        yield Evidence(
            claim_id, f"{made}, L = {spec.depth}, K = {spec.num_clients}, τ = {spec.local_steps}, {spec.num_rounds} "
            f"rounds; over m = {widths[0]} … {widths[-1]}",
            Condition("only m changes, η = ½/(m max_c λ_max(Θ^∞_cc))", True),
            Condition(f"exponent of {what} within {between} ± {TOLERANCE:g}", holds), found.estimate, claimed,
            Control("targets grow with √m, which nothing divides out", broken is False, control.estimate),
            interval=(found.lower, found.upper), trials=context.preset.deep.seeds,
        )  # fmt: skip


@claim("S4-deep", "max_l ‖W_l(t) − W_l(0)‖₂ / ‖r(0)‖ = Θ(m^{-1/2}) after a fixed number of rounds",
       letter="R", source=BOUNDS["S4-deep"].source, runs=_runs)  # fmt: skip
def movement(context: Context) -> Iterator[Evidence]:
    """Exponent of the spectral movement in the width."""
    yield from _exponent(context, "S4-deep", "max_l ‖W_l(t) − W_l(0)‖₂/‖r(0)‖", _spectral, -0.5)


@claim("S5-deep", "the share of flipped activations of a deep network falls like m^p, p between −½ and −⅓",
       letter="R", source="docs/theory.md, S5 and D3", runs=_runs)  # fmt: skip
def flips(context: Context) -> Iterator[Evidence]:
    """Exponent of the flip fraction in the width."""
    yield from _exponent(context, "S5-deep", "the flipped share", _flips, -5 / 12, 1 / 12)


@claim("D2-run", "along Local GD, ‖∇F‖²/F = Θ(m)", letter="R", source=BOUNDS["D2-upper"].source, runs=_runs)
def gradient_norm(context: Context) -> Iterator[Evidence]:
    """Exponent of ‖∇F‖²/F over the rounds; the control's network leaves the kernel regime."""
    yield from _exponent(context, "D2-run", "‖∇F‖²/F", _gradients, 1.0)
