"""The smallest width at which H(0) is well conditioned, and how it grows: K4-threshold."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.separation import SAME_ROW
from ntk_localsgd.statistics import Interval, failure_interval, mean_interval
from verification.context import Context
from verification.engine import Results
from verification.jobs.initial_widths import InitialWidths
from verification.judging import DELTA, at_most, in_words
from verification.papers import CLASSICAL
from verification.registry import claim
from verification.store import Job

__all__ = ["exponents", "needs", "repeats"]

_INPUT_DIM, _REPEATS = 32, 3
_SAMPLES, _DISTANCES = (4, 8, 16), (0.4, 0.2, 0.1)


def repeats(context: Context) -> list[InitialWidths]:
    """m* over n and λ0 (a planted close pair), for several data sets each."""
    shape, trials = (_SAMPLES, _DISTANCES, _INPUT_DIM), context.preset.trials
    return [InitialWidths(*shape, k, trials, DELTA, context.seed, "K4-threshold") for k in range(_REPEATS)]


def _by_norm(context: Context) -> InitialWidths:
    return dataclasses.replace(repeats(context)[0], frobenius=True)


def needs(context: Context) -> Iterator[Job]:
    """All of them, and the control."""
    yield from (*repeats(context), _by_norm(context))


@claim(
    "K4-threshold",
    "the smallest width m* from which on λ_min(H(0)) ≥ ¾λ0 with probability ≥ 1 − δ is at most 32 ‖X‖² log(n/δ)/λ0",
    letter="P",
    source=BOUNDS["K4b"].source,
    paper=CLASSICAL,
    needs=needs,
)
def smallest_width(context: Context, results: Results) -> Iterator[Evidence]:
    """Measured m* over n and λ0; the control asks for ‖H(0) − H^∞‖_F ≤ λ0/4 instead."""
    points, control = [results[job] for job in repeats(context)], results[_by_norm(context)]
    in_samples, in_lambda0 = (in_words(power) for power in exponents(points, "measured"))
    trials = context.preset.trials
    span: dict[str, object] = {
        "seeds": trials,
        "n": f"{_SAMPLES[0]} … {_SAMPLES[-1]}",
        "case": f"{_REPEATS} data sets each",
    }
    yield at_most(
        {"data": f"sphere with a pair at distance {_DISTANCES[0]} … {_DISTANCES[-1]}"} | span,
        Condition("no two inputs are parallel", all(bool((each.separation > SAME_ROW).all()) for each in points)),
        f"m* ≤ K4b's width; m* grows like n to the {in_samples} and like 1/λ0 to the {in_lambda0} "
        "(K4b: those of ‖X‖² log n, and 1; K4a-width: 2 and 2)",
        np.concatenate([(each.measured / each.asked).values for each in points]),
        1.0,
        # So many trials without a failure decide that the failure probability lies below δ, or do not.
        also=True if failure_interval(0, trials).upper <= DELTA else None,
        control=float((control.measured / control.asked).max()),
        control_setting="m* of ‖H(0) − H^∞‖_F ≤ λ0/4, K4a's route",
    )


def exponents(points: list[xr.Dataset], quantity: str) -> list[Interval]:
    """How m* (``measured``) or the width ``asked`` for grows in n and in 1/λ0, over data sets."""
    return [mean_interval(fitted) for fitted in np.transpose([_fit(repeat, quantity) for repeat in points])]


def _fit(points: xr.Dataset, quantity: str) -> np.ndarray:
    """Exponents in n and in 1/λ0 by least squares over one repeat's data sets."""
    design = np.column_stack([np.log(points.num_samples), -np.log(points.lambda0), np.ones(points.sizes["point"])])
    return np.linalg.lstsq(design, np.log(points[quantity].values), rcond=None)[0][:2]
