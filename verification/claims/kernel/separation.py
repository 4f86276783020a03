"""The smallest eigenvalue against the separation of the data: K8."""

from collections.abc import Iterator
from typing import get_args

import numpy as np

from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.statistics import slope
from verification.context import Context
from verification.engine import Results
from verification.jobs.kernel_ratios import PairRatio
from verification.jobs.separations import Kind, PlantedSeparation, Separation
from verification.judging import as_exponent, at_most
from verification.papers import OWN
from verification.registry import claim
from verification.store import Job

__all__: list[str] = []

# Distances of the planted pair, and draws of the points around it. The pair's own bound is δ/(2π)(1 + πδ/2 + …): at
# 0.05 the second term is 8%, and adds 0.03 to the exponent of this range.
_DISTANCES, _DRAWS, _DIMENSION = tuple(0.05 / 2**k for k in range(5)), 4, 32

_SPARE = 0.1

# Of λ0's enclosure, relative to the pair's bound.
_ROUNDING = 1e-9


def _subsets(context: Context) -> list[Separation]:
    """Growing subsets, up to iris's number of different rows, to what the preset has for others."""
    most = max(context.preset.many_samples, 2 * context.preset.kernel_samples)
    found = []
    for kind in get_args(Kind):
        largest = {"iris": 147, "wine": 178, "breast cancer": 569, "digits": 1797}.get(kind, most)
        samples = tuple(n for n in (8, 16, 32, 64, 128, 256, 512) if n <= min(most, largest, 512))
        found.append(Separation(kind, samples, context.seed))
    return found


def _planted(context: Context) -> list[PlantedSeparation]:
    n = context.preset.sweep_samples
    return [PlantedSeparation(n, _DIMENSION, _DISTANCES, seed) for seed in context.seeds("K8", _DRAWS)]


def _jobs(context: Context) -> list[Job]:
    return [*_subsets(context), *_planted(context)]


@claim(
    "K8",
    "unit rows, δ = min ‖x_i − x_j‖ ⇒ λ0 ≤ ½ − H^∞_12 of the closest pair = δ/(2π) + O(δ²): λ0 falls like δ and not "
    "like δ² where one pair comes together",
    letter="D",
    source="docs/theory.md §1",
    paper=OWN,
    needs=_jobs,
    attack={f"n = {n}, d = {d}": PairRatio(n, d) for n, d in ((3, 3), (6, 4), (8, 3))},
)
def separation(context: Context, results: Results) -> Iterator[Evidence]:
    """λ0 over the closest pair's bound, data set by data set; the exponent of δ where a pair is planted."""
    for job in _subsets(context):
        found = results[job]
        # The upper end of λ0's enclosure: what is not known to lie below the bound does not count as below it.
        ratios = (found.upper / found.bound).values
        per_distance = (found.lower / found.distance).values
        yield at_most(
            {"data": job.kind, "over": f"n = {job.samples[0]} … {job.samples[-1]}"},
            Condition(f"rows of norm 1, δ = {float(found.distance.min()):.3g} … {float(found.distance.max()):.3g}",
                      bool((found.distance > 0).all())),
            f"λ0 over ½ − H^∞_12 of the closest pair, {ratios.min():.2f} … {ratios.max():.2f}; "
            f"λ0/δ = {per_distance.min():.3f} … {per_distance.max():.3f}",
            ratios,
            1.0,
            tolerance=_ROUNDING,
            control=float((found.spread / found.bound).max()),
            control_setting="λ0 of the rows that keep four times that distance",
        )  # fmt: skip
    found_pairs = [results[job] for job in _planted(context)]
    powers = [slope(_DISTANCES, np.array([one[name].values for one in found_pairs])) for name in ("lower", "alone")]
    yield as_exponent(
        {"data": f"sphere {_DIMENSION} with a pair", "n": context.preset.sweep_samples,
         "over": f"δ = {_DISTANCES[-1]:g} … {_DISTANCES[0]:g}"},
        Condition(
            "one pair at distance δ, all else alike (δ = 0.2 … 0.0125, taken first, had 1.08: the term in δ²)", True
        ),
        "λ0 in δ",
        powers[0],
        1.0,
        _SPARE,
        control=powers[1],
        control_setting="λ0 without the second point",
        trials=len(found_pairs),
    )  # fmt: skip
