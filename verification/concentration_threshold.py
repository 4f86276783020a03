"""The smallest width at which H(0) is well conditioned, measured, and how it grows: K4-threshold."""

import math
from collections.abc import Iterator

import jax
import numpy as np
import xarray as xr

from ntk_localsgd import datasets, kernels
from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.statistics import Interval, failure_interval, mean_interval
from verification.claims import claim
from verification.context import Context, with_close_pair
from verification.sampling import DELTA

__all__ = ["exponents", "stored_thresholds"]

_INPUT_DIM = 32
_SAMPLES = (4, 8, 16)
_DISTANCES = (0.4, 0.2, 0.1)
_REPEATS = 3


@claim(
    "K4-threshold",
    "the smallest width m* from which on λ_min(H(0)) ≥ ¾λ0 with probability ≥ 1 − δ is at most 32 ‖X‖² log(n/δ)/λ0",
    letter="P",
    source=BOUNDS["K4b"].source,
)
def threshold(context: Context) -> Iterator[Evidence]:
    """Measured m* over n and λ0 (a planted close pair); the control asks for ‖H(0) − H^∞‖_F ≤ λ0/4 instead."""
    points = stored_thresholds(context)
    control = _sweep(context, 1, frobenius=True)
    ratio, control_ratio = ((p[:, 2] / p[:, 3]).max() for p in (points.reshape(-1, 4), control.reshape(-1, 4)))
    in_samples, in_lambda0 = (f"{e.estimate:.2f} ± {e.half_width:.2f}" for e in exponents(points, 2))
    trials = context.preset.trials
    yield Evidence(
        "K4-threshold",
        f"sphere with a pair at distance {_DISTANCES[0]} … {_DISTANCES[-1]}, n = {_SAMPLES[0]} … {_SAMPLES[-1]}, "
        f"{_REPEATS} data sets each",
        Condition("no two inputs are parallel", True),
        Condition(
            f"m* ≤ K4b's width; m* grows like n to the {in_samples} and like 1/λ0 to the {in_lambda0} "
            "(K4b: those of ‖X‖² log n, and 1; K4a-width: 2 and 2)",
            bool(ratio <= 1) if failure_interval(0, trials).upper <= DELTA else None,
        ),
        float(ratio), 1.0,
        Control("m* of ‖H(0) − H^∞‖_F ≤ λ0/4, K4a's route", bool(control_ratio > 1), float(control_ratio)),
        trials=trials,
    )  # fmt: skip


def stored_thresholds(context: Context) -> np.ndarray:
    """[repeats points 4]: n, λ0, m* and K4b's width of every data set; measured unless stored."""

    def made() -> xr.Dataset:
        points = _sweep(context, _REPEATS, frobenius=False)
        return xr.Dataset({"points": (("repeat", "point", "quantity"), points)})

    return context.stored(__file__, "K4-threshold", made).points.values


def exponents(points: np.ndarray, column: int) -> list[Interval]:
    """How m* (column 2) or the width asked for (3) grows in n and in 1/λ0, over data sets."""
    return [mean_interval(fitted) for fitted in np.array([_fit(repeat, column) for repeat in points]).T]


def _sweep(context: Context, repeats: int, *, frobenius: bool) -> np.ndarray:
    """[repeats points 4]: n, λ0, m* and K4b's width of every data set."""
    return np.array([
        [_point(context, n, distance, repeat, frobenius) for n in _SAMPLES for distance in _DISTANCES]
        for repeat in range(repeats)
    ])  # fmt: skip


def _point(context: Context, n: int, distance: float, repeat: int, frobenius: bool) -> tuple[float, ...]:
    inputs = _planted_pair(context, n, distance, repeat)
    gram = kernels.infinite_gram(inputs)
    lambda0 = float(np.linalg.eigvalsh(gram)[0])
    asked = BOUNDS["K4b"].smallest_width(n=n, delta=DELTA, lambda0=lambda0, spectral=float(np.linalg.norm(inputs, 2)))
    rng = context.rng(f"K4-threshold {n} {distance} {repeat}")
    return n, lambda0, _smallest_width(inputs, gram, lambda0, asked, context.preset.trials, rng, frobenius), asked


def _smallest_width(
    inputs: np.ndarray, gram: np.ndarray, lambda0: float, limit: int, trials: int, rng: np.random.Generator,
    frobenius: bool,
) -> float:  # fmt: skip
    """Smallest width on a grid of ratio √2 up to the limit from which on no seed fails; twice the limit if none is.

    The widths of a seed are nested: the first m of its neurons.
    """
    grid = np.unique(np.append(np.ceil(2 ** (np.arange(2, 2 * math.log2(limit)) / 2)), limit).astype(int))
    failures = np.zeros(len(grid), int)
    inner, rows = inputs @ inputs.T, inputs.T.astype(np.float32)
    for _ in range(trials):
        active = (rng.standard_normal((limit, inputs.shape[1]), dtype=np.float32) @ rows >= 0).astype(np.float32)
        counts = np.cumsum([piece.T @ piece for piece in np.split(active, grid[:-1])], axis=0, dtype=np.float64)
        grams = inner * counts / grid[:, None, None]
        if frobenius:
            failures += np.linalg.norm(grams - gram, axis=(1, 2)) > lambda0 / 4
        else:
            failures += np.linalg.eigvalsh(grams)[:, 0] < 0.75 * lambda0
    good = int(np.max(np.flatnonzero(failures), initial=-1)) + 1
    return float(grid[good]) if good < len(grid) else 2.0 * limit


def _fit(points: np.ndarray, column: int) -> np.ndarray:
    """Exponents of a column in n and in 1/λ0 by least squares over one repeat's data sets."""
    design = np.column_stack([np.log(points[:, 0]), -np.log(points[:, 1]), np.ones(len(points))])
    return np.linalg.lstsq(design, np.log(points[:, column]), rcond=None)[0][:2]


def _planted_pair(context: Context, n: int, distance: float, repeat: int) -> np.ndarray:
    """Points on the sphere, the second one moved to the given distance from the first."""
    key = jax.random.fold_in(context.key("K4-threshold"), repeat)
    return with_close_pair(datasets.sphere(key, n, _INPUT_DIM).inputs, distance)
