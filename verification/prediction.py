"""Wide networks follow the kernel-regime recursion: C7 for full batches, for the infinite kernel, for minibatches."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.stats

from ntk_localsgd import prediction
from ntk_localsgd.clients import Clients
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.statistics import Interval, holds_as_exponent, slope
from verification.claims import claim
from verification.context import Context, Problem
from verification.lazy_training import TOLERANCE
from verification.predicted_runs import PREDICTORS, MinibatchRuns, PredictedRun

__all__ = ["SIZES", "Sizes", "sweep"]

_SOURCE = "docs/theory.md §4"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of these checks in a preset: samples, clients, local steps, rounds, widths, seeds."""

    samples: int
    num_clients: int
    local_steps: int
    num_rounds: int
    widths: tuple[int, ...]
    seeds: int
    minibatch_samples: int
    minibatch_widths: tuple[int, ...]
    minibatch_seeds: int


#: By the preset's name. The full sizes are digits, 200 images, five clients by label, ten local steps.
SIZES = {
    "smoke": Sizes(8, 2, 5, 2, (2**6, 2**9), 6, 8, (2**6, 2**8), 12),
    "quick": Sizes(16, 4, 10, 4, (2**8, 2**10, 2**12), 24, 16, (2**7, 2**11), 32),
    "full": Sizes(200, 5, 10, 20, (10**3, 3 * 10**3, 10**4), 12, 32, (2**8, 2**10, 2**12, 2**14), 48),
}

# Minibatches: two clients and batches of one sample are the noisiest there are.
_MINIBATCH_CLIENTS, _MINIBATCH_STEPS, _MINIBATCH_ROUNDS = 2, 5, 4

# A network's bias has either sign, and its logarithm no floor; of this many networks the root mean square has one.
_GROUP = 4

# Simulations of the linear recursion, and the chance that an exact prediction falls outside the interval in one row.
_SIMULATIONS, _MISS = 10_000, 1e-4


def sweep(context: Context, made: Problem) -> list[PredictedRun]:
    """Full-batch runs and their predictions, at several widths."""
    sizes = _sizes(context)
    return [
        PredictedRun(
            made.kind, made.num_samples, made.seed, sizes.num_clients, width,
            step_size=0.5 / made.largest_client_eigenvalue(sizes.num_clients), local_steps=sizes.local_steps,
            num_rounds=sizes.num_rounds, seeds=_seeds(context, 20_000, sizes.seeds),
        )
        for width in sizes.widths
    ]  # fmt: skip


def _minibatch_sweep(context: Context, made: Problem) -> list[MinibatchRuns]:
    sizes = _sizes(context)
    return [
        MinibatchRuns(
            made.kind, made.num_samples, made.seed, _MINIBATCH_CLIENTS, width,
            step_size=0.9 / made.largest_client_eigenvalue(_MINIBATCH_CLIENTS), local_steps=_MINIBATCH_STEPS,
            num_rounds=_MINIBATCH_ROUNDS, seeds=_seeds(context, 30_000, sizes.minibatch_seeds),
        )
        for width in sizes.minibatch_widths
    ]  # fmt: skip


def _sizes(context: Context) -> Sizes:
    return SIZES.get(context.preset.name, SIZES["full"])


def _seeds(context: Context, first: int, number: int) -> tuple[int, ...]:
    return tuple(first * (context.seed + 1) + k for k in range(number))


def _sweeps(context: Context) -> Iterator[PredictedRun]:
    for made in context.problems(_sizes(context).samples):
        yield from sweep(context, made)


def _minibatch_sweeps(context: Context) -> Iterator[MinibatchRuns]:
    for made in context.problems(_sizes(context).minibatch_samples):
        yield from _minibatch_sweep(context, made)


@claim(
    "C7",
    "only m changes ⇒ after a fixed number of rounds Local GD's residual lies within a relative error O(m^{-1/2}) of "
    "the kernel-regime prediction from the network's own Gram matrix Θ(W(0))",
    letter="D",
    source=_SOURCE,
    runs=_sweeps,
)
def own_kernel(context: Context) -> Iterator[Evidence]:
    """Exponent of ‖r(R) − r̂(R)‖/‖r̂(R)‖; it may fall faster than claimed, as the kernel's movement does (S6)."""
    for made in context.problems(_sizes(context).samples):
        yield _exponent(context, made, "C7", "network", upper_bound_only=True)


@claim(
    "C7-infinite",
    "only m changes ⇒ the relative error of the prediction from H^∞ falls like m^{-1/2} (at least as fast: proved; no "
    "faster: heuristic)",
    letter="D",
    source=_SOURCE,
    runs=_sweeps,
)
def infinite_kernel(context: Context) -> Iterator[Evidence]:
    """Exponent of the same error when the prediction knows the data alone (and the residual at the start)."""
    for made in context.problems(_sizes(context).samples):
        yield _exponent(context, made, "C7-infinite", "infinite", upper_bound_only=False)


def _exponent(context: Context, made: Problem, claim_id: str, predictor: str, *, upper_bound_only: bool) -> Evidence:
    specs = sweep(context, made)
    errors, control = (_errors(context, specs, name) for name in (predictor, PREDICTORS[-1]))
    row = _row(
        claim_id, f"{made}, K = {specs[0].num_clients} by label, τ = {specs[0].local_steps}, {specs[0].num_rounds} "
        "rounds", made, specs, errors, control, "every local step averaged, as if clients did not drift",
        upper_bound_only=upper_bound_only,
    )  # fmt: skip
    loss = slope([spec.width for spec in specs], _loss_errors(context, specs, predictor))
    text = f"{row.conclusion.text}; of the loss, largest error in a round: {loss.estimate:.2f} ± {loss.half_width:.2f}"
    return dataclasses.replace(row, conclusion=Condition(text, row.conclusion.holds))


def _errors(context: Context, specs: list[PredictedRun], predictor: str) -> np.ndarray:
    """‖r − r̂‖/‖r̂‖ after the last round, [seeds widths]."""
    return np.stack([context.run(spec).error.sel(predictor=predictor).values for spec in specs], axis=1)


def _loss_errors(context: Context, specs: list[PredictedRun], predictor: str) -> np.ndarray:
    """max_t |L(t)/L̂(t) − 1|, [seeds widths]."""
    runs = [context.run(spec) for spec in specs]
    ratios = [run.loss / run.predicted_loss.sel(predictor=predictor) for run in runs]
    return np.stack([np.abs(ratio - 1).max("round").values for ratio in ratios], axis=1)


@claim(
    "C7-bias",
    "only m changes ⇒ after a fixed number of rounds of minibatch Local SGD, the mean of ‖r‖² over batches is within a "
    "relative error O(m^{-1/2}) of the kernel-regime second moment",
    letter="D",
    source=_SOURCE,
    runs=_minibatch_sweeps,
)
def minibatch_bias(context: Context) -> Iterator[Evidence]:
    """Exponent of the bias; the linear recursion with the same batches takes nearly all noise out of its estimate."""
    for made in context.problems(_sizes(context).minibatch_samples):
        specs = _minibatch_sweep(context, made)
        bias, control = (np.stack([_bias(context, spec, more) for spec in specs], axis=1) for more in (0, 1))
        setting = (
            f"{made}, K = {_MINIBATCH_CLIENTS} by label, τ = {_MINIBATCH_STEPS}, b = 1, {_MINIBATCH_ROUNDS} rounds, "
            f"{specs[0].draws} draws of the batches a network, root mean square of {_GROUP} networks"
        )
        yield _row(
            "C7-bias", setting, made, specs, bias, control, "predicted for batches of two", upper_bound_only=True
        )


def _bias(context: Context, spec: MinibatchRuns, more: int) -> np.ndarray:
    """(E ‖r‖² − predicted)/predicted, root mean square of a group's networks, predicted for b + ``more``; [groups]."""
    run = context.run(spec)
    exact, predicted = (run.predicted.sel(batch_size=spec.batch_size + k).values for k in (0, more))
    mean = exact + (run.trained - run.linear).mean("draw").values
    return np.sqrt(((mean / predicted - 1) ** 2).reshape(-1, _GROUP).mean(axis=1))


def _row(
    claim_id: str, setting: str, made: Problem, specs: Any, errors: np.ndarray, control: np.ndarray,
    control_setting: str, *, upper_bound_only: bool,
) -> Evidence:  # fmt: skip
    """Evidence from relative errors [seeds widths]: the exponent −½, at most or within the tolerance."""
    widths = [spec.width for spec in specs]
    measured, broken = (slope(widths, values) for values in (errors, control))
    holds, control_holds = (_holds(found, upper_bound_only) for found in (measured, broken))
    means = ", ".join(f"{mean:.2%}" for mean in errors.mean(axis=0))
    return Evidence(
        claim_id, f"{setting}, m = {', '.join(str(m) for m in widths)}", _premise(made, specs),
        Condition(
            f"exponent {'at most −0.5 +' if upper_bound_only else 'within −0.5 ±'} {TOLERANCE:g}; its interval "
            f"{'contains' if -0.5 in measured else 'does not contain'} −0.5; mean errors {means}", holds,
        ),
        measured.estimate, -0.5, Control(control_setting, control_holds is False, broken.estimate),
        interval=(measured.lower, measured.upper), trials=len(errors),
    )  # fmt: skip


def _holds(measured: Interval, upper_bound_only: bool) -> bool | None:
    return holds_as_exponent(measured, -0.5, TOLERANCE, upper_bound_only=upper_bound_only)


def _premise(made: Problem, specs: Any) -> Condition:
    """Only the width changes; and local steps are stable, so that errors do not grow with the number of steps."""
    stable = all(spec.step_size * made.largest_client_eigenvalue(spec.num_clients) <= 1 for spec in specs)
    alike = len({dataclasses.replace(spec, width=0) for spec in specs}) == 1
    return Condition("only m changes, η ≤ 1/max_c λ_max(H^∞_cc)", stable and alike)


@claim(
    "C7-moment",
    "Θ fixed, batches uniform without replacement, fresh at every step ⇒ E ‖r(t)‖² is what the recursion of the second "
    "moment says",
    letter="D",
    source=_SOURCE,
)
def second_moment(context: Context) -> Iterator[Evidence]:
    """Simulations of the linear recursion for H^∞ and r(0) = −y; the control leaves the noise out, ‖E r(t)‖²."""
    for made in context.problems(_sizes(context).minibatch_samples):
        split, start = made.split(3), -made.dataset.targets
        step_size = 0.9 / made.largest_client_eigenvalue(3)
        config = LocalSGD(step_size, _MINIBATCH_STEPS, _MINIBATCH_ROUNDS, batch_size=2)
        squares = _simulate(context.rng(f"C7-moment {made.kind}"), made.gram, split, start, config)
        predicted = prediction.local_sgd_second_moment(made.gram, split, start, config)
        without_noise = (prediction.local_sgd_mean(made.gram, split, start, config) ** 2).sum(axis=1)
        worst, control = (_worst_deviation(squares, values) for values in (predicted, without_noise))
        yield Evidence(
            "C7-moment",
            f"{made}, K = 3 by label, n_c = {split.sizes}, τ = {_MINIBATCH_STEPS}, b = 2, {_MINIBATCH_ROUNDS} rounds",
            Condition(f"b = 2 ≤ min n_c = {min(split.sizes)}, batches independent", min(split.sizes) >= 2),
            Condition(f"in every round |predicted − mean of {_SIMULATIONS} simulations| ≤ the half-width of its "
                      f"interval, which misses with probability {_MISS:g}", worst <= 1),
            worst, 1.0, Control("noise left out: the square of the mean", control > 1, control), trials=_SIMULATIONS,
        )  # fmt: skip


def _simulate(
    rng: np.random.Generator, gram: np.ndarray, split: Clients, start: np.ndarray, config: LocalSGD
) -> np.ndarray:
    """‖r(t)‖² of the minibatch recursion, written from the definition: [rounds+1 simulations]."""
    residuals = np.tile(start, (_SIMULATIONS, 1))
    squares = [(residuals**2).sum(axis=1)]
    for _ in range(config.num_rounds):
        weights = np.zeros_like(residuals)
        for part in split.indices:
            local = residuals[:, part]
            for _ in range(config.local_steps):
                order = rng.random(local.shape).argsort(axis=1)  # a random permutation of every row
                step = config.step_size * np.where(order < config.batch_size, local, 0)
                weights[:, part] += step
                local = local - step @ gram[np.ix_(part, part)]
        residuals = residuals - weights @ gram / split.num_clients
        squares.append((residuals**2).sum(axis=1))
    return np.array(squares)


def _worst_deviation(squares: np.ndarray, predicted: np.ndarray) -> float:
    """max over rounds t ≥ 1 of |mean − predicted| over the half-width of the mean's interval, all rounds at once."""
    level = scipy.stats.t.ppf(1 - _MISS / 2 / (len(squares) - 1), squares.shape[1] - 1)
    half = level * scipy.stats.sem(squares[1:], axis=1)
    return float(np.max(np.abs(squares[1:].mean(axis=1) - predicted[1:]) / half))
