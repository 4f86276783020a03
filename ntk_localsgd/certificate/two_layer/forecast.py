"""What would do, before a proof is looked for: the lazy scale of one radius, rows to merge, seconds of a path."""

import math
import time
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.certificate.model import Problem, RoundModel, split_norms
from ntk_localsgd.certificate.two_layer.ball import needed_radius, within
from ntk_localsgd.certificate.two_layer.neurons import NearKinks, Neurons, Survey, gram_changes, near_kinks

__all__ = ["Forecast", "forecast", "path_seconds", "rows_to_merge"]

# The ball method's radii are a share of their size apart: what it proves at the scale named here is no further away.
_BETWEEN_RADII = 1.5

# Pairs within the radius, as a share of all of them, up to which radii are tried.
_MOST_PAIRS = 0.1

# Times that a residual exceeds its rounding error, at least, for anything to be proved from it.
_TOLD = 4.0

# Products of [p n] and [n n] matrices that a segment of the path takes for every sample with p near pairs, as many
# segments as decide most runs, and rows of the product that is timed.
_PRODUCTS, _SEGMENTS, _TILE = 6, 4, 2048


class Forecast(NamedTuple):
    """``scale``: a lazy scale κ at which one radius proves convergence, near the smallest; infinite if there is none.

    ``rate``: of a round, as the frozen patterns have it: ‖D(I − ΘM/K)D⁻¹‖.
    """

    scale: float
    rate: float


def forecast(
    neurons: Neurons,
    problem: Problem,
    survey: Survey,
    model: RoundModel,
    inputs: Float[ndarray, "n d"],
    targets: Float[ndarray, " n"],
) -> Forecast:
    """From R_need(R)/R at κ = 1, where r(0) = −y: R_need falls like 1/κ, and what R does to Θ does not change."""
    near = near_kinks(neurons, inputs, np.full(len(targets), math.inf))
    unit = model.length(targets, survey.residual_error) / math.sqrt(survey.width)
    sizes = np.sqrt(np.diagonal(problem.inner))
    distances = np.sort(np.concatenate([np.abs(v) / s for v, s in zip(near.values, sizes, strict=True)]))
    best, number = math.inf, 1
    while number <= _MOST_PAIRS * len(distances):
        # Just below the next distance: E is the same up to it.
        radius = float(distances[number - 1]) * (1 - 1e-6)
        changes = gram_changes(
            problem.inner, problem.inner_error, near.patterns, within(problem, near, radius), survey.width
        )
        rate, needed = needed_radius(problem, model, unit, *split_norms(changes, problem))
        if rate >= 1:
            break
        best, number = min(best, needed / radius if radius > 0 else math.inf), max(number + 1, int(1.5 * number))
    scale = _BETWEEN_RADII * best
    # y/κ is to be told from rounding.
    told = float(np.linalg.norm(targets)) > _TOLD * scale * float(np.linalg.norm(survey.residual_error))
    return Forecast(scale if told else math.inf, model.contraction)


def path_seconds(near: NearKinks) -> float:
    """Seconds that the path method takes over its first few segments, roughly, from how fast products are just now."""
    n, pairs = len(near.rows), sum(len(rows) for rows in near.rows)
    if not pairs:
        return 0.0
    tile, square = np.ones((_TILE, n)), np.ones((n, n))
    began = time.perf_counter()
    tile @ square
    return (time.perf_counter() - began) * _PRODUCTS * _SEGMENTS * pairs / _TILE


def rows_to_merge(inputs: Float[ndarray, "n d"], number: int) -> list[int]:
    """So many rows that have a near neighbour among those that stay, the nearest pairs first."""
    distances = np.linalg.norm(inputs[:, None] - inputs[None], axis=2)
    first, second = np.triu_indices(len(inputs), 1)
    gone: list[int] = []
    for k in np.argsort(distances[first, second], kind="stable"):
        if len(gone) == number:
            break
        if first[k] not in gone and second[k] not in gone:
            gone.append(int(second[k]))
    return gone
