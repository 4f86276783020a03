"""Deep networks along Local (S)GD: movement, flips and gradients in the width: S4-deep, S5-deep, D2-run."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Evidence
from ntk_localsgd.statistics import Interval, slope
from verification.claims.growth import TOLERANCE, learned_alike
from verification.context import Context
from verification.data import Problem, Split
from verification.engine import Results
from verification.jobs.training import Training
from verification.judging import as_exponent
from verification.papers import ALLEN_ZHU
from verification.registry import claim

__all__ = ["deep_training", "growing_targets", "setting_of", "sweep"]

_OBSERVED = ("gradient_norm", "path_length", "layer_spectral_movement", "layer_flip_fraction")


def deep_training(
    context: Context,
    problem: Problem,
    *,
    width: int | None = None,
    depth: int | None = None,
    clients: int | None = None,
    local_steps: int | None = None,
    split: Split = "label",
    seeds: int | None = None,
) -> Training:
    """A deep run; what is not given is the preset's first value, and η = ½ o/(m max_c λ_max(Θ^∞_cc))."""
    sizes = context.preset.deep
    width, depth, clients = width or sizes.widths[0], depth or sizes.depths[0], clients or sizes.clients[0]
    largest = problem.largest_deep_eigenvalue(clients, depth, split)
    return Training(
        problem.source,
        clients,
        width,
        step_size=0.5 * problem.num_outputs / (width * largest),
        local_steps=local_steps or sizes.local_steps[0],
        num_rounds=sizes.rounds,
        seeds=context.seeds("deep runs", seeds or sizes.few_seeds),
        depth=depth,
        split=split,
    )


def sweep(context: Context, problem: Problem) -> list[Training]:
    """Local GD at several widths, all else alike."""
    sizes = context.preset.deep
    trainings = [deep_training(context, problem, width=m, seeds=sizes.seeds) for m in sizes.widths]
    return [dataclasses.replace(training, observe=_OBSERVED) for training in trainings]


def growing_targets(context: Context, problem: Problem) -> list[Training]:
    """The control: targets that grow with √m, so that weights and patterns must move at every width."""
    sizes = context.preset.deep
    ends = (sizes.widths[0], sizes.widths[-1])
    trainings = [deep_training(context, problem, width=m, seeds=2 * sizes.few_seeds) for m in ends]
    return [dataclasses.replace(t, observe=_OBSERVED, target_scale=(t.width / 16) ** 0.5) for t in trainings]


def setting_of(problem: Problem, training: Training) -> dict[str, object]:
    """Where a deep run stands, but for its width."""
    names = {"L": training.depth or 0, "K": training.num_clients, "τ": training.local_steps}
    return problem.setting | names | {"rounds": training.num_rounds}


def _runs(context: Context) -> Iterator[Training]:
    for problem in context.deep_problems():
        yield from sweep(context, problem)
        yield from growing_targets(context, problem)


_Quantity = Callable[[xr.Dataset, float], np.ndarray]


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


def _exponents(
    context: Context, results: Results, what: str, quantity: _Quantity, claimed: float, spare: float = 0.0
) -> Iterator[Evidence]:
    """Slope over widths of a quantity per seed, beside its claimed exponent."""
    for problem in context.deep_problems():
        trainings = sweep(context, problem)
        first, last = trainings[0], trainings[-1]
        yield as_exponent(
            setting_of(problem, first) | {"over": f"m = {first.width} … {last.width}"},
            learned_alike(results, trainings),
            what,
            _slope(results, trainings, quantity),
            claimed,
            TOLERANCE,
            control=_slope(results, growing_targets(context, problem), quantity),
            control_setting="targets grow with √m, which nothing divides out",
            spare=spare,
            trials=len(first.seeds),
        )


def _slope(results: Results, trainings: list[Training], quantity: _Quantity) -> Interval:
    values = np.stack([quantity(results[job], job.target_scale) for job in trainings], axis=1)
    return slope([job.width for job in trainings], values)


@claim(
    "S4-deep",
    "max_l ‖W_l(t) − W_l(0)‖₂ / ‖r(0)‖ = Θ(m^{-1/2}) after a fixed number of rounds",
    letter="R",
    source=BOUNDS["S4-deep"].source,
    paper=ALLEN_ZHU,
    needs=_runs,
)
def movement(context: Context, results: Results) -> Iterator[Evidence]:
    """Exponent of the spectral movement in the width."""
    yield from _exponents(context, results, "max_l ‖W_l(t) − W_l(0)‖₂/‖r(0)‖", _spectral, -0.5)


@claim(
    "S5-deep",
    "the share of flipped activations of a deep network falls like m^p, p between −½ and −⅓",
    letter="D, heuristic",
    source="docs/theory.md, S4, S5 deep: a scaling argument from D3",
    paper=ALLEN_ZHU,
    needs=_runs,
)
def flips(context: Context, results: Results) -> Iterator[Evidence]:
    """Exponent of the flip fraction in the width."""
    yield from _exponents(context, results, "the flipped share", _flips, -5 / 12, 1 / 12)


@claim(
    "D2-run",
    "along Local GD, ‖∇F‖²/F = Θ(m)",
    letter="D, heuristic",
    source="docs/theory.md, D2: a scaling argument from D2 at initialization",
    paper=ALLEN_ZHU,
    needs=_runs,
)
def gradient_norm(context: Context, results: Results) -> Iterator[Evidence]:
    """Exponent of ‖∇F‖²/F over the rounds; the control's network leaves the kernel regime."""
    yield from _exponents(context, results, "‖∇F‖²/F", _gradients, 1.0)
