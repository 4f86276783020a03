"""Wide networks follow the kernel-regime recursion: C7 for full batches, for the infinite kernel, for minibatches."""

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from ntk_localsgd.evidence import Condition, Evidence, Relation
from ntk_localsgd.statistics import slope
from verification.claims.growth import TOLERANCE, learned_alike
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.predicted import PREDICTORS, MinibatchTraining, MomentSimulation, PredictedTraining
from verification.jobs.training import Training
from verification.judging import as_exponent, at_most, in_words
from verification.papers import OWN
from verification.registry import claim

__all__ = ["sweep"]

_SOURCE = "docs/theory.md §4"

# Minibatches: two clients and batches of one sample are the noisiest there are.
_MINIBATCH_CLIENTS, _MINIBATCH_STEPS, _MINIBATCH_ROUNDS = 2, 5, 4

# A network's bias has either sign, and its logarithm no floor; of this many networks the root mean square has one.
_GROUP = 4

# Simulations of the linear recursion, and the chance that an exact prediction falls outside the interval in one row.
_SIMULATIONS, _MISS = 10_000, 1e-4


def sweep(context: Context, problem: Problem) -> list[PredictedTraining]:
    """Full-batch runs and their predictions, at several widths."""
    sizes = context.preset.prediction
    return [
        PredictedTraining(
            problem.source,
            sizes.clients,
            width,
            step_size=0.5 / problem.largest_client_eigenvalue(sizes.clients),
            local_steps=sizes.local_steps,
            num_rounds=sizes.rounds,
            seeds=context.seeds("C7", sizes.seeds),
        )
        for width in sizes.widths
    ]


def _minibatch_sweep(context: Context, problem: Problem) -> list[MinibatchTraining]:
    sizes = context.preset.prediction
    return [
        MinibatchTraining(
            problem.source,
            _MINIBATCH_CLIENTS,
            width,
            step_size=0.9 / problem.largest_client_eigenvalue(_MINIBATCH_CLIENTS),
            local_steps=_MINIBATCH_STEPS,
            num_rounds=_MINIBATCH_ROUNDS,
            seeds=context.seeds("C7 minibatches", sizes.minibatch_seeds),
        )
        for width in sizes.minibatch_widths
    ]


def _simulation(context: Context, problem: Problem) -> MomentSimulation:
    return MomentSimulation(
        problem.source,
        3,
        step_size=0.9 / problem.largest_client_eigenvalue(3),
        local_steps=_MINIBATCH_STEPS,
        num_rounds=_MINIBATCH_ROUNDS,
        batch_size=2,
        simulations=_SIMULATIONS,
        seed=context.seed,
        miss=_MISS,
    )


def _problems(context: Context) -> list[Problem]:
    return context.problems(context.preset.prediction.samples)


def _minibatch_problems(context: Context) -> list[Problem]:
    return context.problems(context.preset.prediction.minibatch_samples)


def _sweeps(context: Context) -> Iterator[PredictedTraining]:
    return (job for problem in _problems(context) for job in sweep(context, problem))


def _minibatch_sweeps(context: Context) -> Iterator[MinibatchTraining]:
    return (job for problem in _minibatch_problems(context) for job in _minibatch_sweep(context, problem))


def _simulations(context: Context) -> Iterator[MomentSimulation]:
    return (_simulation(context, problem) for problem in _minibatch_problems(context))


@claim(
    "C7",
    "only m changes ⇒ after a fixed number of rounds Local GD's residual lies within a relative error O(m^{-1/2}) of "
    "the kernel-regime prediction from the network's own Gram matrix Θ(W(0))",
    letter="D",
    source=_SOURCE,
    paper=OWN,
    needs=_sweeps,
)
def own_kernel(context: Context, results: Results) -> Iterator[Evidence]:
    """Exponent of ‖r(R) − r̂(R)‖/‖r̂(R)‖; it may fall faster than claimed, as the kernel's movement does (S6)."""
    for problem in _problems(context):
        yield _exponent(context, results, problem, "network", "≤")


@claim(
    "C7-infinite",
    "only m changes ⇒ the relative error of the prediction from H^∞ falls like m^{-1/2} (at least as fast: proved; no "
    "faster: heuristic)",
    letter="D",
    source=_SOURCE,
    paper=OWN,
    needs=_sweeps,
)
def infinite_kernel(context: Context, results: Results) -> Iterator[Evidence]:
    """Exponent of the same error when the prediction knows the data alone (and the residual at the start)."""
    for problem in _problems(context):
        yield _exponent(context, results, problem, "infinite", "within")


def _exponent(context: Context, results: Results, problem: Problem, predictor: str, relation: Relation) -> Evidence:
    jobs = sweep(context, problem)
    tables = [results[job] for job in jobs]
    errors, control = (_errors(tables, name) for name in (predictor, PREDICTORS[-1]))
    loss = slope([job.width for job in jobs], _loss_errors(tables, predictor))
    return _row(
        results,
        jobs,
        {"rounds": jobs[0].num_rounds},
        f"of the loss, largest error in a round: {in_words(loss)}",
        errors,
        control,
        "every local step averaged, as if clients did not drift",
        relation,
    )


def _errors(tables: Sequence[xr.Dataset], predictor: str) -> np.ndarray:
    """‖r − r̂‖/‖r̂‖ after the last round, [seeds widths]."""
    return np.stack([table.error.sel(predictor=predictor).values for table in tables], axis=1)


def _loss_errors(tables: Sequence[xr.Dataset], predictor: str) -> np.ndarray:
    """max_t |L(t)/L̂(t) − 1|, [seeds widths]."""
    ratios = [table.loss / table.predicted_loss.sel(predictor=predictor) for table in tables]
    return np.stack([np.abs(ratio - 1).max("round").values for ratio in ratios], axis=1)


@claim(
    "C7-bias",
    "only m changes ⇒ after a fixed number of rounds of minibatch Local SGD, the mean of ‖r‖² over batches is within a "
    "relative error O(m^{-1/2}) of the kernel-regime second moment",
    letter="D",
    source=_SOURCE,
    paper=OWN,
    needs=_minibatch_sweeps,
)
def minibatch_bias(context: Context, results: Results) -> Iterator[Evidence]:
    """Exponent of the bias; the linear recursion with the same batches takes nearly all noise out of its estimate."""
    for problem in _minibatch_problems(context):
        jobs = _minibatch_sweep(context, problem)
        bias, control = (np.stack([_bias(results[job], more) for job in jobs], axis=1) for more in (0, 1))
        yield _row(
            results,
            jobs,
            {"b": jobs[0].batch_size, "rounds": jobs[0].num_rounds, "draws of the batches": jobs[0].draws},
            f"root mean square of {_GROUP} networks",
            bias,
            control,
            "predicted for batches of two",
            "≤",
        )


def _bias(table: xr.Dataset, more: int) -> np.ndarray:
    """(E ‖r‖² − predicted)/predicted, root mean square of a group's networks, predicted for b + ``more``; [groups]."""
    exact, predicted = (table.predicted.isel(batch_size=k).values for k in (0, more))
    mean = exact + (table.trained - table.linear).mean("draw").values
    return np.sqrt(((mean / predicted - 1) ** 2).reshape(-1, _GROUP).mean(axis=1))


def _row(
    results: Results,
    jobs: Sequence[Training],
    setting: dict[str, object],
    also: str,
    errors: np.ndarray,
    control: np.ndarray,
    control_setting: str,
    relation: Relation,
) -> Evidence:
    """Evidence from relative errors [seeds widths]: the exponent −½, at most or within the tolerance."""
    widths = [job.width for job in jobs]
    means = ", ".join(f"{mean:.2%}" for mean in errors.mean(axis=0))
    where = {"m": ", ".join(map(str, widths)), "K": jobs[0].num_clients, "τ": jobs[0].local_steps}
    return as_exponent(
        jobs[0].problem.setting | where | setting,
        learned_alike(results, jobs),
        f"the relative error (means {means}; {also})",
        slope(widths, errors),
        -0.5,
        TOLERANCE,
        control=slope(widths, control),
        control_setting=control_setting,
        relation=relation,
        trials=len(errors),
    )


@claim(
    "C7-moment",
    "Θ fixed, batches uniform without replacement, fresh at every step ⇒ E ‖r(t)‖² is what the recursion of the second "
    "moment says",
    letter="D",
    source=_SOURCE,
    paper=OWN,
    needs=_simulations,
)
def second_moment(context: Context, results: Results) -> Iterator[Evidence]:
    """Simulations of the linear recursion for H^∞ and r(0) = −y; the control leaves the noise out, ‖E r(t)‖²."""
    for problem in _minibatch_problems(context):
        job = _simulation(context, problem)
        later, sizes = results[job].isel(round=slice(1, None)), problem.split(job.num_clients).sizes
        deviations = (abs(later.simulated - later[name]) / later.half_width for name in ("predicted", "without_noise"))
        worst, control = (float(each.values.max()) for each in deviations)
        yield at_most(
            problem.setting
            | {"K": job.num_clients, "n_c": ", ".join(map(str, sizes)), "τ": job.local_steps, "b": job.batch_size}
            | {"rounds": job.num_rounds},
            Condition(f"b ≤ min n_c = {min(sizes)}, batches independent", job.batch_size <= min(sizes)),
            f"in every round |predicted − mean of {job.simulations} simulations| ≤ the half-width of its interval, "
            f"which misses with probability {job.miss:g}",
            worst,
            1.0,
            control=control,
            control_setting="noise left out: the square of the mean",
        )
