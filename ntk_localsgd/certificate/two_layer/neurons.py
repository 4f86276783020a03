"""Two passes over a network's neurons: the Gram matrix and the residual, then the neurons near a kink.

A neuron is near a kink if some sample could come to lie on the other side of its hyperplane during training. Only those
are kept: patterns of the others never change, so that they enter through their counts alone.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from ntk_localsgd.certificate.refusal import check_weights
from ntk_localsgd.certificate.rounding import euclidean_norm
from ntk_localsgd.rounding import SLACK, UNIT, gamma

__all__ = [
    "NearKinks",
    "Neurons",
    "Survey",
    "gram_changes",
    "near_kinks",
    "pairs_of",
    "pattern_changes",
    "pattern_products",
    "survey",
]

# Numbers in one tile of pre-activations: 32 MiB in float64.
_TILE = 2**22

#: Calling it starts a pass: blocks of weights [b d] and signs [b], float32 or float64.
Neurons = Callable[[], Iterator[tuple[ndarray, ndarray]]]


class Survey(NamedTuple):
    """What the first pass finds at the reference weights."""

    counts: Int[ndarray, "n n"]  # neurons active on both samples, by computed sign
    residual: Float[ndarray, " n"]
    residual_error: Float[ndarray, " n"]
    width: int

    @property
    def least_norm(self) -> float:
        """A lower bound on the true ‖r(0)‖₂; not positive where the residual is rounding noise."""
        return self.norm / SLACK - euclidean_norm(self.residual_error) * SLACK

    @property
    def norm(self) -> float:
        """‖fl(r(0))‖₂."""
        return euclidean_norm(self.residual)


class NearKinks(NamedTuple):
    """Neurons with a sample within ``threshold`` of their kink, N of them, and their near pairs (j, r).

    ``rows[j]`` are the neurons near the kink of sample j, ``values[j]`` and ``errors[j]`` their pre-activations and how
    far those may be off.
    """

    threshold: Float[ndarray, " n"]
    numbers: Int[ndarray, " N"]  # which neurons of the network these are
    patterns: Bool[ndarray, "N n"]
    signs: Float[ndarray, " N"]
    rows: list[Int[ndarray, " p"]]
    values: list[Float[ndarray, " p"]]
    errors: list[Float[ndarray, " p"]]


def survey(neurons: Neurons, inputs: Float[ndarray, "n d"], targets: Float[ndarray, " n"]) -> Survey:
    """First pass. Counts are exact integers; the output's error covers every rounding of its sum.

    |σ(fl z) − σ(z)| ≤ γ_{d+2} ‖w‖‖x‖, and adding b·B numbers in B blocks of at most b neurons is off by at most
    γ_{b+B} Σ_r |σ(z_r)|.

    Raises
    ------
    InputError
        For weights above `LARGEST`.
    """
    n, d = inputs.shape
    norms = np.linalg.norm(inputs, axis=1) * SLACK
    counts, total, size = np.zeros((n, n), np.int64), np.zeros(n), np.zeros(n)
    weight_norms, width, tiles, largest_tile = 0.0, 0, 0, 0
    for weights, signs in _tiles(neurons, n):
        check_weights(weights)
        z = inputs @ weights.T
        counts += pattern_products((z >= 0).T)
        active = np.maximum(z, 0)
        total += active @ signs
        size += active.sum(axis=1)
        weight_norms += float(np.linalg.norm(weights, axis=1).sum())
        width, tiles, largest_tile = width + len(weights), tiles + 1, max(largest_tile, len(weights))
    outputs = total / np.sqrt(width)
    error = (gamma(d + 2) * norms * weight_norms + gamma(largest_tile + tiles) * size) / np.sqrt(width)
    residual = outputs - targets
    error = (error + 4 * UNIT * (np.abs(outputs) + np.abs(residual))) * SLACK
    return Survey(counts, residual, error, width)


def near_kinks(neurons: Neurons, inputs: Float[ndarray, "n d"], threshold: Float[ndarray, " n"]) -> NearKinks:
    """Second pass: keep the neurons with |w·x_j| ≤ threshold_j for some j, rounding errors counted against them."""
    n, d = inputs.shape
    norms = np.linalg.norm(inputs, axis=1) * SLACK
    numbers, patterns, all_signs, seen, kept = [], [], [], 0, 0
    rows: list[list[ndarray]] = [[] for _ in range(n)]
    values: list[list[ndarray]] = [[] for _ in range(n)]
    errors: list[list[ndarray]] = [[] for _ in range(n)]
    for weights, signs in _tiles(neurons, n):
        z = inputs @ weights.T
        error = gamma(d + 2) * np.linalg.norm(weights, axis=1) * SLACK
        near = np.abs(z) <= threshold[:, None] + norms[:, None] * error
        chosen = np.flatnonzero(near.any(axis=0))
        numbers.append(chosen + seen)
        patterns.append((z[:, chosen] >= 0).T)
        all_signs.append(signs[chosen])
        for j in range(n):
            local = np.flatnonzero(near[j, chosen])
            rows[j].append((local + kept).astype(np.int64))
            values[j].append(z[j, chosen[local]])
            errors[j].append(norms[j] * error[chosen[local]])
        kept, seen = kept + len(chosen), seen + len(weights)
    return NearKinks(
        threshold,
        np.concatenate(numbers),
        np.concatenate(patterns),
        np.concatenate(all_signs),
        *([np.concatenate(part) for part in lists] for lists in (rows, values, errors)),
    )


def pairs_of(near: NearKinks, chosen: Bool[ndarray, "N n"]) -> Int[ndarray, "p 2"]:
    """(sample, neuron) of the chosen pairs, numbered as in the network."""
    rows, samples = np.nonzero(chosen)
    return np.stack([samples, near.numbers[rows]], axis=1)


def pattern_products(patterns: Bool[ndarray, "N n"]) -> Int[ndarray, "n n"]:
    """PᵀP of zeros and ones, exactly: float32 sums of fewer than 2^24 ones are exact."""
    total = np.zeros((patterns.shape[1], patterns.shape[1]), np.int64)
    step = max(1, _TILE // max(1, patterns.shape[1]))
    for first in range(0, len(patterns), step):
        tile = patterns[first : first + step].astype(np.float32)
        total += (tile.T @ tile).astype(np.int64)
    return total


def _tiles(neurons: Neurons, num_samples: int) -> Iterator[tuple[Float[ndarray, "b d"], Float[ndarray, " b"]]]:
    """The blocks cut so that a tile of pre-activations stays small, in float64 (exact for narrower weights)."""
    step = max(64, _TILE // num_samples)
    for weights, signs in neurons():
        for first in range(0, len(weights), step):
            part = slice(first, first + step)
            yield np.asarray(weights[part], np.float64), np.asarray(signs[part], np.float64)


def pattern_changes(patterns: Bool[ndarray, "N n"], uncertain: Bool[ndarray, "N n"]) -> Int[ndarray, "n n"]:
    """The most by which Σ_r s_ir 1_jr can differ from Σ_r b_ir b_jr, s and 1 free in [0, 1] at uncertain pairs.

    Both lie between the counts of pairs certainly on, c = b ∧ ¬U, and possibly on, p = b ∨ U: the changes upwards and
    downwards are bounded separately, and the larger one is returned.
    """
    touched = uncertain.any(axis=1)
    b, u = patterns[touched], uncertain[touched]
    reference = pattern_products(b)
    return np.maximum(pattern_products(b | u) - reference, reference - pattern_products(b & ~u))


def gram_changes(
    inner: Float[ndarray, "n n"],
    inner_error: float,
    patterns: Bool[ndarray, "N n"],
    uncertain: Bool[ndarray, "N n"],
    width: int,
) -> Float[ndarray, "n n"]:
    """E ≥ |Θ̃ − Θ| entrywise, Θ = fl(G ∘ counts/m): changing patterns, and the rounding of Θ itself."""
    changes = pattern_changes(patterns, uncertain) / width
    rounding = inner_error + 4 * UNIT * float(np.abs(inner).max())
    return ((np.abs(inner) + inner_error) * changes + rounding) * SLACK
