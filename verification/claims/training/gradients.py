"""How far gradients move with the weights: S0, S1a, S3."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from ntk_localsgd.evidence import Condition, Evidence
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.drift import DriftRatio
from verification.jobs.kinks import AcrossKink
from verification.jobs.training import Training
from verification.jobs.two_layer_ratios import GradientRatio
from verification.judging import at_least, at_most
from verification.papers import DENG, OWN
from verification.registry import claim
from verification.store import Job

__all__: list[str] = []

_CLIENTS, _LOCAL_STEPS, _WIDTH, _SEEDS = 4, 5, 512, 4

# ‖W − W'‖ across a kink: S0's six decades, and one more.
_GAPS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)

# Inequalities with proof hold exactly; computed in float64 the two sides carry about n·d roundings of 1e-16 each.
_ROUNDING = 1e-10

# How many times ‖X‖² the quotient exceeds at 1e-8, and how far its exponent may lie from −1. Between kinks it is at
# most ‖X‖², with exponent 0; across one, an O(1) beside |r_i|/(√m ε) bends the exponent at the larger distances.
_LARGE, _EXPONENT_TOLERANCE = 1000, 0.05

# Shapes (n_c, d, m) of small clients, where a search has few numbers to turn, and their local steps.
_STEPS = {(1, 2, 4): 3, (3, 3, 8): 3, (6, 4, 16): 5}

_OBSERVED = (
    "local_loss",
    "client_drift",
    "distance_to_average",
    "gradient_difference",
    "average_loss",
    "flips_from_average",
    "frobenius_movement",
)


def _training(context: Context, problem: Problem) -> Training:
    """Local GD for a few seeds that compares every client with the average at every local step."""
    return Training(
        problem.source,
        _CLIENTS,
        _WIDTH,
        step_size=0.9 / problem.largest_client_eigenvalue(_CLIENTS),
        local_steps=_LOCAL_STEPS,
        num_rounds=context.preset.sweep_rounds,
        seeds=context.seeds("key property", _SEEDS),
        observe=_OBSERVED,
        dtype="float64",
    )


def _across_kink(context: Context, problem: Problem, *, zero_residual: bool = False) -> AcrossKink:
    return AcrossKink(problem.source, _WIDTH, _GAPS, context.seed, f"S0 {problem.source.kind}", zero_residual)


def _kinks(context: Context) -> Iterator[Job]:
    for problem in context.problems(context.preset.sweep_samples):
        yield from (_across_kink(context, problem, zero_residual=zero) for zero in (False, True))


def _trainings(context: Context) -> Iterator[Job]:
    for problem in context.problems(context.preset.sweep_samples):
        yield _training(context, problem)


def _pairs(context: Context) -> Iterator[Job]:
    for problem in context.problems(context.preset.sweep_samples):
        yield from (_training(context, problem), _across_kink(context, problem))


@claim(
    "S0",
    "a sample with residual ≠ 0 crosses a kink ⇒ ‖∇L(W) − ∇L(W')‖ / ‖W − W'‖ grows like 1/‖W − W'‖ as W' → W: "
    "ReLU networks have no Lipschitz gradient",
    letter="S",
    source="Deng, Kamani and Mahdavi 2022, abstract; docs/theory.md, S0",
    paper=DENG,
    needs=_kinks,
)
def no_lipschitz_gradient(context: Context, results: Results) -> Iterator[Evidence]:
    """The difference quotient over six decades of distance, against χ² = ‖X‖², its bound between kinks."""
    for problem in context.problems(context.preset.sweep_samples):
        crossing, still = (
            results[_across_kink(context, problem, zero_residual=zero)].isel(gap=slice(1, None))
            for zero in (False, True)
        )
        (quotient, exponent), (control, control_exponent) = _growth(crossing), _growth(still)
        yield at_least(
            problem.setting | {"m": _WIDTH, "‖W − W'‖": "1e-2 … 1e-8"},
            Condition("residual of the crossed sample ≠ 0", bool((crossing.crossed != 0).all())),
            f"quotient at 1e-8 above {_LARGE} ‖X‖², growing like ‖W − W'‖^{exponent:.3f} "
            f"(−1 ± {_EXPONENT_TOLERANCE:g})",
            quotient,
            _LARGE * problem.spectral_norm**2,
            also=abs(exponent + 1) <= _EXPONENT_TOLERANCE,
            control=control,
            control_setting="crossed sample's target set to its output (residual 0)",
            control_also=abs(control_exponent + 1) <= _EXPONENT_TOLERANCE,
        )


def _growth(pairs: xr.Dataset) -> tuple[float, float]:
    """Quotient at the smallest distance, and the exponent with which it depends on the distance."""
    distances = pairs.distance.values
    quotients = pairs.gradient_difference.values / distances
    # A quotient of 0 (no difference at all) has no logarithm; it does not grow either.
    exponent = np.polyfit(np.log(distances), np.log(np.maximum(quotients, 1e-300)), 1)[0]
    return float(quotients[-1]), float(exponent)


@claim(
    "S1a",
    "‖∇L_c(W) − ∇L_c(W')‖_F ≤ χ_c² ‖W − W'‖_F + χ_c √p ‖r_c(W')‖, p = max_i (flips of x_i) / m",
    letter="D",
    source="docs/theory.md, S1a",
    paper=OWN,
    needs=_pairs,
    attack={f"n_c = {n}, d = {d}, m = {m}": GradientRatio(n, d, m) for n, d, m in _STEPS},
)
def semi_gradient_lipschitz(context: Context, results: Results) -> Iterator[Evidence]:
    """Every client against the average at every local step of a run, and pairs of weights across a kink."""
    for problem in context.problems(context.preset.sweep_samples):
        training = _training(context, problem)
        run = results[training]
        along = run[["gradient_difference"]].assign(
            distance=run.distance_to_average,
            flips=run.flips_from_average,
            residual=np.sqrt(2 * run.average_loss),
        )
        across = results[_across_kink(context, problem)].sel(gap=[1e-1, 1e-4, 1e-8])
        pairs = [(along, _chi(training)), (across, xr.DataArray(problem.spectral_norm))]
        worst, control = (max(_worst_ratio(*pair, flips=flips) for pair in pairs) for flips in (True, False))
        yield at_most(
            problem.setting
            | {"m": _WIDTH, "K": _CLIENTS, "τ": _LOCAL_STEPS}
            | {"case": "all local steps, and across a kink"},
            Condition("none: any W, W'", True),
            "left side / right side ≤ 1 for every pair",
            worst,
            1.0,
            tolerance=_ROUNDING,
            control=control,
            control_setting="the flips' term left out: a Lipschitz gradient",
            trials=len(training.seeds) + across.distance.size,
        )


def _chi(training: Training) -> xr.DataArray:
    """χ_c of every client."""
    return xr.DataArray(training.clients.spectral_norms(training.problem.inputs), dims="client")


def _worst_ratio(pairs: xr.Dataset, chi: xr.DataArray, *, flips: bool) -> float:
    """max left / right; where both are 0 (all clients together at a round's start) there is nothing to compare."""
    left, right = xr.broadcast(
        pairs.gradient_difference,
        chi**2 * pairs.distance + (chi * np.sqrt(pairs.flips) * pairs.residual if flips else 0.0),
    )
    # Comparisons as they stand, so that NaN on either side comes out as NaN or infinite.
    ratio = np.divide(left.values, right.values, out=np.where(left <= 0, 0.0, np.inf), where=~(right.values <= 0))
    return float(ratio.max())


@claim(
    "S3",
    "within a round: ‖W_{c,k} − W(t)‖_F ≤ η k χ_c max_{k'<k} ‖r_c^{k'}‖",
    letter="D",
    source="docs/theory.md, S3",
    paper=OWN,
    needs=_trainings,
    attack={f"n_c = {n}, d = {d}, m = {m}, τ = {tau}": DriftRatio(n, d, m, tau) for (n, d, m), tau in _STEPS.items()},
)
def client_drift(context: Context, results: Results) -> Iterator[Evidence]:
    """Every client's drift at every local step, measured from the round's start as the bound says."""
    for problem in context.problems(context.preset.sweep_samples):
        training = _training(context, problem)
        run = results[training]
        bound = _drift_bound(run, training)
        drift = run.client_drift.transpose("seed", "round", "local_step", "client").values[:, 1:, 1:]
        # ‖W_{c,k} − W(0)‖ ≥ ‖W(t) − W(0)‖ − ‖W_{c,k} − W(t)‖, with W(t) the start of the round.
        moved = run.frobenius_movement.transpose("seed", "round").values[:, :-1, None, None]
        yield at_most(
            problem.setting | {"m": _WIDTH, "K": _CLIENTS, "τ": _LOCAL_STEPS, "rounds": training.num_rounds},
            Condition("full batch, any weights", training.batch_size is None),
            "drift / bound ≤ 1 at every step",
            (drift / bound).max(axis=(1, 2, 3)),
            1.0,
            tolerance=_ROUNDING,
            control=float(((moved - drift) / bound).max()),
            control_setting="drift measured from W(0), not from the round's start",
        )


def _drift_bound(run: xr.Dataset, training: Training) -> np.ndarray:
    """η k χ_c max_{k'<k} ‖r_c^{k'}‖ for rounds 1 … and k = 1 … τ."""
    residuals = np.sqrt(2 * run.local_loss.transpose("seed", "round", "local_step", "client").values[:, 1:, :-1])
    steps = np.arange(1, training.local_steps + 1)[:, None]
    return training.step_size * steps * _chi(training).values * np.maximum.accumulate(residuals, axis=2)
