"""How far gradients move with the weights: S0, S1a, S3."""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import xarray as xr

from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.local_sgd.gradients import difference, gradient, norm, residual, sample_flips
from ntk_localsgd.networks import TwoLayerReLU
from verification.claims import claim
from verification.context import Context, Problem
from verification.runs import RunSpec

_CLIENTS, _LOCAL_STEPS, _WIDTH = 4, 5, 512

# Inequalities with proof hold exactly; computed in float64 the two sides carry about n·d roundings of 1e-16 each.
_ROUNDING = 1e-10


def _tracked(context: Context, made: Problem) -> RunSpec:
    """A Local GD run of a few seeds that compares every client with the average at every local step."""
    return RunSpec(
        made.kind, made.num_samples, made.seed, _CLIENTS, _WIDTH,
        step_size=0.9 / made.largest_client_eigenvalue(_CLIENTS), local_steps=_LOCAL_STEPS,
        num_rounds=context.preset.sweep_rounds, seeds=tuple(range(context.seed + 1, context.seed + 5)), dtype="float64",
        observe=("local_loss", "client_drift", "distance_to_average", "gradient_difference", "average_loss",
                 "flips_from_average", "frobenius_movement"),
    )  # fmt: skip


def _runs(context: Context) -> Iterator[RunSpec]:
    yield from (_tracked(context, made) for made in context.problems(context.preset.sweep_samples))


class Pair(NamedTuple):
    """What S1a compares, for one client or for many at once."""

    gradient_difference: np.ndarray
    distance: np.ndarray
    flips: np.ndarray
    residual: np.ndarray
    chi: np.ndarray


def _across_kink(context: Context, made: Problem, gap: float, *, zero_residual: bool = False) -> Pair:
    """Two weight matrices ``gap`` apart, one neuron on either side of the kink of the first sample (K = 1).

    The neuron is put on the kink and moved by ± gap/2 along the sample.
    """
    net = TwoLayerReLU.init(context.key(f"S0 {made.kind}"), width=_WIDTH, input_dim=made.dataset.input_dim)
    x, w = made.inputs[0], np.array(net.weights)
    on_kink = w[0] - (w[0] @ x) * x
    below, above = (net.with_trained((jnp.asarray(_with_row(w, on_kink + s * x)),)) for s in (-gap / 2, gap / 2))
    y = np.array(made.dataset.targets)
    if zero_residual:
        y[0] = float(above(made.inputs)[0])
    samples = (jnp.asarray(made.inputs), jnp.asarray(y), jnp.ones(len(y), bool))
    moved = norm(difference(gradient(below, *samples), gradient(above, *samples)))
    patterns = [n.activation_patterns(made.inputs) for n in (below, above)]
    flips = jnp.max(sample_flips(*patterns)) / _WIDTH
    apart = norm(difference(below.trained, above.trained))
    left = jnp.linalg.norm(residual(above, *samples))
    return Pair(*(np.asarray(v, np.float64) for v in (moved, apart, flips, left, made.spectral_norm)))


def _with_row(weights: np.ndarray, row: np.ndarray) -> np.ndarray:
    changed = weights.copy()
    changed[0] = row
    return changed


@claim(
    "S0",
    "a sample with residual ≠ 0 crosses a kink ⇒ ‖∇L(W) − ∇L(W')‖ / ‖W − W'‖ grows like 1/‖W − W'‖ as W' → W: "
    "ReLU networks have no Lipschitz gradient",
    letter="S",
    source="Deng, Kamani and Mahdavi 2022, abstract; docs/theory.md, S0",
)
def no_lipschitz_gradient(context: Context) -> Iterator[Evidence]:
    """The difference quotient over six decades of distance, against χ² = ‖X‖², its bound between kinks."""
    gaps = np.logspace(-2, -8, 7)
    for made in context.problems(context.preset.sweep_samples):
        (quotient, exponent), (control, control_exponent) = (
            _growth([_across_kink(context, made, gap, zero_residual=zero) for gap in gaps]) for zero in (False, True)
        )
        lipschitz = made.spectral_norm**2
        yield Evidence(
            "S0", f"{made}, m = {_WIDTH}, ‖W − W'‖ = 1e-2 … 1e-8",
            Condition("residual of the crossed sample ≠ 0", True),
            Condition(
                f"quotient at 1e-8 above 1000 ‖X‖², growing like ‖W − W'‖^{exponent:.3f}",
                _explodes(quotient, exponent, lipschitz),
            ),
            quotient, 1000 * lipschitz,
            Control(
                "crossed sample's target set to its output (residual 0)",
                not _explodes(control, control_exponent, lipschitz), control,
            ),
        )  # fmt: skip


def _growth(pairs: list[Pair]) -> tuple[float, float]:
    """Quotient at the smallest distance, and the exponent with which it depends on the distance."""
    distances = np.array([pair.distance for pair in pairs])
    quotients = np.array([pair.gradient_difference for pair in pairs]) / distances
    # A quotient of 0 (no difference at all) has no logarithm; it does not grow either.
    exponent = np.polyfit(np.log(distances), np.log(np.maximum(quotients, 1e-300)), 1)[0]
    return float(quotients[-1]), float(exponent)


def _explodes(quotient: float, exponent: float, lipschitz: float) -> bool:
    return quotient >= 1000 * lipschitz and abs(exponent + 1) <= 0.05


@claim(
    "S1a",
    "‖∇L_c(W) − ∇L_c(W')‖_F ≤ χ_c² ‖W − W'‖_F + χ_c √p ‖r_c(W')‖, p = max_i (flips of x_i) / m",
    letter="D",
    source="docs/theory.md, S1a",
    runs=_runs,
)
def semi_gradient_lipschitz(context: Context) -> Iterator[Evidence]:
    """Every client against the average at every local step of a run, and pairs of weights across a kink."""
    for made in context.problems(context.preset.sweep_samples):
        pairs = [_along_run(context, made), *(_across_kink(context, made, gap) for gap in (1e-1, 1e-4, 1e-8))]
        worst, control = (max(_worst_ratio(pair, flips) for pair in pairs) for flips in (True, False))
        yield Evidence(
            "S1a", f"{made}, m = {_WIDTH}, K = {_CLIENTS}, τ = {_LOCAL_STEPS}; all local steps, and across a kink",
            Condition("any W, W'", True), Condition("left side / right side ≤ 1 for every pair", _at_most_one(worst)),
            worst, 1.0, Control("the flips' term left out: a Lipschitz gradient", not _at_most_one(control), control),
            trials=sum(np.size(pair.distance) for pair in pairs),
        )  # fmt: skip


def _along_run(context: Context, made: Problem) -> Pair:
    run = context.run(_tracked(context, made))
    chi = made.split(_CLIENTS).spectral_norms(made.inputs)
    return Pair(
        run.gradient_difference.values, run.distance_to_average.values, run.flips_from_average.values,
        np.sqrt(2 * run.average_loss.values), np.broadcast_to(chi, run.average_loss.shape),
    )  # fmt: skip


def _worst_ratio(pair: Pair, count_flips: bool) -> float:
    """max left / right; where both are 0 (all clients together at a round's start) there is nothing to compare."""
    chi = pair.chi
    right = chi**2 * pair.distance + (chi * np.sqrt(pair.flips) * pair.residual if count_flips else 0.0)
    left = np.asarray(pair.gradient_difference)
    return float(np.divide(left, right, out=np.where(left > 0, np.inf, 0.0), where=right > 0).max())


@claim(
    "S3",
    "within a round: ‖W_{c,k} − W(t)‖_F ≤ η k χ_c max_{k'<k} ‖r_c^{k'}‖",
    letter="D",
    source="docs/theory.md, S3",
    runs=_runs,
)
def client_drift(context: Context) -> Iterator[Evidence]:
    """Every client's drift at every local step, measured from the round's start as the bound says."""
    for made in context.problems(context.preset.sweep_samples):
        spec = _tracked(context, made)
        run = context.run(spec)
        bound = _drift_bound(run, spec, made.split(_CLIENTS).spectral_norms(made.inputs))
        drift = run.client_drift.transpose("seed", "round", "local_step", "client").values[:, 1:, 1:]
        # ‖W_{c,k} − W(0)‖ ≥ ‖W(t) − W(0)‖ − ‖W_{c,k} − W(t)‖, with W(t) the start of the round.
        moved = run.frobenius_movement.transpose("seed", "round").values[:, :-1, None, None]
        worst, control = float((drift / bound).max()), float(((moved - drift) / bound).max())
        yield Evidence(
            "S3", f"{made}, m = {_WIDTH}, K = {_CLIENTS}, τ = {_LOCAL_STEPS}, {spec.num_rounds} rounds",
            Condition("full batch, any weights", True),
            Condition("drift / bound ≤ 1 at every step", _at_most_one(worst)), worst, 1.0,
            Control("drift measured from W(0), not from the round's start", not _at_most_one(control), control),
            trials=drift.size,
        )  # fmt: skip


def _at_most_one(ratio: float) -> bool:
    return ratio <= 1 + _ROUNDING


def _drift_bound(run: xr.Dataset, spec: RunSpec, chi: np.ndarray) -> np.ndarray:
    """η k χ_c max_{k'<k} ‖r_c^{k'}‖ for rounds 1 … and k = 1 … τ."""
    residuals = np.sqrt(2 * run.local_loss.transpose("seed", "round", "local_step", "client").values[:, 1:, :-1])
    steps = np.arange(1, spec.local_steps + 1)[:, None]
    return spec.step_size * steps * chi * np.maximum.accumulate(residuals, axis=2)
