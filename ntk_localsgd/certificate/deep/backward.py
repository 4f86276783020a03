"""How far gradients may have changed: switching triples as sources, moved weights by their derivative and a rest."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from ntk_localsgd.certificate.deep.frozen import Frozen
from ntk_localsgd.certificate.deep.state import Moves
from ntk_localsgd.certificate.rounding import norm_bounds
from ntk_localsgd.rounding import SLACK

__all__ = ["Backward", "Sources", "backward", "cross_products", "moved_rest", "sources_of"]


# Blocks of inner products are bounded by their norms where samples have more sources than the first, and all blocks
# together no more entries than the second.
_FEW, _MOST = 3, 2**25


class Sources(NamedTuple):
    """The triples of one layer l that may switch, S of them, and where their unit vectors go.

    ``ungated[k]`` [S m] = W_{k+1}ᵀ Φᵀ_{l←k+1} e_r and ``gated[k]`` = Φᵀ_{l←k} e_r for k < l.
    """

    sample: Int[ndarray, " S"]
    neuron: Int[ndarray, " S"]
    ungated: list[Float[ndarray, "S m"]]
    gated: list[Float[ndarray, "S m"]]

    def members(self, values: Float[ndarray, "n m"]) -> Float[ndarray, "n S"]:
        """Row i holds the values of sample i's own triples."""
        table = np.zeros((len(values), len(self.sample)))
        table[self.sample, np.arange(len(self.sample))] = values[self.sample, self.neuron]
        return table


class Backward(NamedTuple):
    """Bounds on δb and δc, layer by layer.

    ``weights`` ≥ |(D' − D)c'| [L n m]; ``upper`` ≥ |δc|. ``lengths`` ≥ ‖δb_l‖ [L n]; ``switched`` and ``moved`` the
    same of the parts that switches and moved weights make, and ``switched_entries`` [L n m]. ``rest_sources`` ≥ |what
    moved weights add to δb_l beyond first order|, ``rest_entries`` and ``rest``: carried down, entrywise and in norm.
    ``along`` [L n n] ≥ |δb_{l,i}·b_{l,j}|, ``cross`` ≥ |δb_{l,i}·δb_{l,j}|; ``summed``: where pairs of switches were
    summed up for it one by one.
    """

    sources: list[Sources]
    weights: Float[ndarray, "L n m"]
    upper: Float[ndarray, "L n m"]
    lengths: Float[ndarray, "L n"]
    switched: Float[ndarray, "L n"]
    switched_entries: Float[ndarray, "L n m"]
    moved: Float[ndarray, "L n"]
    rest_sources: Float[ndarray, "L n m"]
    rest_entries: Float[ndarray, "L n m"]
    rest: Float[ndarray, "L n"]
    along: Float[ndarray, "L n n"]
    cross: Float[ndarray, "L n n"]
    summed: Bool[ndarray, "L n n"]


def sources_of(frozen: Frozen, moves: Moves) -> list[Sources]:
    """The sources of every layer."""
    found = []
    for layer in range(frozen.depth):
        sample, neuron = np.nonzero(moves.uncertain[layer])
        ungated, gated = [], []
        vectors = frozen.weights.hidden[layer][neuron] if layer else np.zeros((0, 0))
        for k in range(layer - 1, -1, -1):
            ungated.append(vectors)
            gated.append(frozen.slopes[k][sample] * vectors)
            vectors = gated[-1] @ frozen.weights.hidden[k] if k else vectors
        found.append(Sources(sample, neuron, ungated[::-1], gated[::-1]))
    return found


def moved_rest(
    frozen: Frozen,
    layer: int,
    seen: Float[ndarray, "n n"],
    moves: Moves,
    back_change: Float[ndarray, "n n"],
) -> Float[ndarray, "n m"]:
    """≥ |δW_{l+1}ᵀ b'_{l+1,j}| beyond its first order −Σ_i a_i β_ij h_{l,i}, by rows j.

    ``seen[j, i]`` ≥ Σ|weight of i| in the view of j; ``back_change`` ≥ |δβ^{l+1}|.
    """
    whole = np.abs(frozen.back_products[layer + 1]) + back_change
    first = (seen * back_change) @ np.abs(frozen.hidden[layer + 1])
    return (first + (seen * whole) @ moves.hidden[layer] + frozen.backward_error[layer][:, None]) * SLACK


def cross_products(
    frozen: Frozen, layer: int, sources: list[Sources], weights: Float[ndarray, "L n m"]
) -> tuple[Float[ndarray, "n n"], Float[ndarray, "n m"], Bool[ndarray, "n n"]]:
    """≥ |δb_{l,i}·δb_{l,j}| of the parts that switches make, ≥ |that part| entrywise, and where the sum was taken.

    The sum of |inner products| of the sources' vectors, or √(number · number) times the norm of their block.
    """
    n, width = weights[layer].shape
    rows, samples, entries, sizes = [], [], np.zeros((n, width)), np.zeros(n)
    for above in range(layer, frozen.depth):
        own = sources[above]
        values = weights[above][own.sample, own.neuron]
        if above == layer:
            vectors = np.zeros((len(values), width))
            vectors[np.arange(len(values)), own.neuron] = values
        else:
            vectors = own.gated[layer] * values[:, None]
        rows.append(vectors)
        samples.append(own.sample)
        np.add.at(entries, own.sample, np.abs(vectors))
        sizes += np.bincount(own.sample, values, n)
    sample, vectors = np.concatenate(samples), np.concatenate(rows)
    members = (sample == np.arange(n)[:, None]).astype(np.float64)
    sums = members @ np.abs(vectors @ vectors.T) @ members.T
    summed = np.ones((n, n), bool)
    counts = members.sum(axis=1).astype(int)
    if (largest := int(counts.max())) ** 2 * n**2 <= _MOST and largest > _FEW:
        place = np.concatenate([np.arange(c) for c in counts])
        order = np.argsort(sample, kind="stable")
        table = np.zeros((n, largest, width))
        table[sample[order], place] = vectors[order]
        flat = table.reshape(-1, width)
        blocks = (flat @ flat.T).reshape(n, largest, n, largest).transpose(0, 2, 1, 3)
        by_norm = np.sqrt(np.outer(counts, counts)) * norm_bounds(blocks)
        summed, sums = sums <= by_norm, np.minimum(sums, by_norm)
    rounding = 4 * frozen.relative * frozen.chain * np.outer(sizes, sizes)
    return (sums + rounding) * SLACK, (entries + frozen.relative * sizes[:, None]) * SLACK, summed


def backward(
    frozen: Frozen,
    moves: Moves,
    seen: Float[ndarray, "n n"],
    rest_of: Callable[..., Float[ndarray, "n m"]] = moved_rest,
    cross_of: Callable[..., tuple[Float[ndarray, "n n"], Float[ndarray, "n m"], Bool[ndarray, "n n"]]] = cross_products,
) -> Backward:
    """Item 3, from the last layer down; ``seen[i, j]`` ≥ Σ|weight of j| in the view of i.

    ``rest_of`` and ``cross_of`` are its lemmas.
    """
    depth, n, width = frozen.pre.shape
    shape, per_sample, per_pair = (depth, n, width), (depth, n), (depth, n, n)
    weights, upper, rest_sources, rest_entries, switched_entries = (np.zeros(shape) for _ in range(5))
    switched, moved, rest = (np.zeros(per_sample) for _ in range(3))
    along, cross, summed = np.zeros(per_pair), np.zeros(per_pair), np.ones(per_pair, bool)
    sources = sources_of(frozen, moves)
    for layer in range(depth - 1, -1, -1):
        if layer < depth - 1:
            change = along[layer + 1] + along[layer + 1].T + cross[layer + 1] + frozen.back_rounding[layer + 1]
            ungated = rest_of(frozen, layer, seen, moves, change)
            carried = ungated + frozen.column_norms[layer + 1] * rest[layer + 1][:, None]
            rest_sources[layer] = frozen.slopes[layer] * ungated
            rest_entries[layer] = frozen.slopes[layer] * carried
            by_norm = np.linalg.norm(rest_sources[layer], axis=1) + frozen.weights.norms[layer + 1] * rest[layer + 1]
            rest[layer] = np.minimum(np.linalg.norm(rest_entries[layer], axis=1), by_norm) * SLACK
            first = np.matmul(seen[:, None], np.abs(frozen.bent_upper[layer]))[:, 0]
            upper[layer] = first + (seen * frozen.bent_error).sum(axis=1, keepdims=True) + carried
            for above in range(layer + 1, depth):
                members = sources[above].members(weights[above])
                upper[layer] += members @ np.abs(sources[above].ungated[layer])
                upper[layer] += frozen.relative * members.sum(axis=1, keepdims=True)
        upper[layer] *= SLACK
        weights[layer] = moves.off[layer] * (np.abs(frozen.upper[layer]) + upper[layer])
        own, switched_entries[layer], summed[layer] = cross_of(frozen, layer, sources, weights)
        switched[layer] = np.sqrt(np.diagonal(own)) * SLACK
        moved[layer] = ((seen * frozen.bent_norms[layer]).sum(axis=1) + rest[layer]) * SLACK
        both = np.outer(switched[layer], moved[layer])
        cross[layer] = (own + both + both.T + np.outer(moved[layer], moved[layer])) * SLACK
        along[layer] = _along(frozen, layer, weights, seen, rest[layer])
    return Backward(
        sources,
        weights,
        upper,
        lengths=switched + moved,
        switched=switched,
        switched_entries=switched_entries,
        moved=moved,
        rest_sources=rest_sources,
        rest_entries=rest_entries,
        rest=rest,
        along=along,
        cross=cross,
        summed=summed,
    )


def _along(
    frozen: Frozen,
    layer: int,
    weights: Float[ndarray, "L n m"],
    seen: Float[ndarray, "n n"],
    rest: Float[ndarray, " n"],
) -> Float[ndarray, "n n"]:
    """≥ |δb_{l,i}·b_{l,j}|: switches of all layers above through P, moved weights through B, their rest by norms."""
    lengths = frozen.lower_norms[layer]
    total = weights[layer] @ np.abs(frozen.lower[layer]).T
    for above in range(layer + 1, frozen.depth):
        total += np.matmul(np.abs(frozen.transported[above][layer]), weights[above][:, :, None])[:, :, 0]
        total += frozen.relative * np.outer(np.linalg.norm(weights[above], axis=1), lengths)
    total += np.matmul(np.abs(frozen.bent_rows[layer]), seen[:, :, None])[:, :, 0]
    rounding = 2 * (seen * frozen.bent_error).sum(axis=1)
    return (total + np.outer(rest + rounding, lengths)) * SLACK
