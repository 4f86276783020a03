"""How far pre-activations may move beside the predicted path: item 6."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.certificate.deep.backward import Backward
from ntk_localsgd.certificate.deep.frozen import Frozen
from ntk_localsgd.certificate.deep.state import Moves
from ntk_localsgd.rounding import SLACK

__all__ = ["MovedPushes", "Remainder", "remainder", "switch_pushes"]

# Numbers in one chunk of vectors that go forward: 32 MiB.
_CHUNK = 2**22

# Weights are taken this much larger when what they push is computed, so that it serves several sweeps.
_ROOM = 1.1


class Remainder(NamedTuple):
    """``entries`` [L n m] ≥ |remainder|, ``dense`` [L n] and ``dense_entries`` ≥ the part that is known by its norm."""

    entries: Float[ndarray, "L n m"]
    dense: Float[ndarray, "L n"]
    dense_entries: Float[ndarray, "L n m"]


def switch_pushes(frozen: Frozen, gradients: Backward, seen: Float[ndarray, "n n"]) -> Float[ndarray, "L n m"]:
    """≥ |Σ_{s,j} a_{s,j} Σ_k γ^{k−1}_ij Φ_{l←k,i} (what switches add to b^s_{k,j})|: every switch pushes every sample.

    Along the way y_l = W_l s_{l−1} y_{l−1} + γ^{l−1}_ij Φᵀ_{l'←l,j} e_r the layers' shares add up with their signs.
    """
    pushes, (n, width) = np.zeros_like(frozen.pre), frozen.pre[0].shape
    for layer, own in enumerate(gradients.sources):
        values = gradients.weights[layer][own.sample, own.neuron]
        step = max(1, _CHUNK // (n * width))
        for first in range(0, len(values), step):
            part = slice(first, first + step)
            sample, neuron = own.sample[part], own.neuron[part]
            share = seen[:, sample] * values[part]
            vectors = np.zeros((n, len(sample), width))
            for k in range(frozen.depth):
                if k:
                    vectors = frozen.propagate(k, vectors)
                if k < layer:
                    vectors = vectors + frozen.hidden_products[k][:, sample, None] * own.gated[k][part]
                elif k == layer:
                    vectors[:, np.arange(len(sample)), neuron] += frozen.hidden_products[k][:, sample]
                pushes[k] += np.matmul(share[:, None], np.abs(vectors))[:, 0]
    return pushes


@dataclasses.dataclass
class MovedPushes:
    """The same of what moved weights add to first order, which no switch changes: Σ_j A_ij Σ_k A_jk |Y_{l,ijk}|.

    Y_l = W_l s_{l−1,i} Y_{l−1} + γ^{l−1}_ij B_{l,jk}. Kept for weights a little larger than asked for: the bound is
    homogeneous of degree two.
    """

    frozen: Frozen
    seen: Float[ndarray, "n n"] | None = None
    pushes: Float[ndarray, "L n m"] | None = None

    def __call__(self, seen: Float[ndarray, "n n"]) -> Float[ndarray, "L n m"]:
        """For weights ``seen[i, j]`` of j in the view of i."""
        if self.seen is not None and self.pushes is not None:
            factor = float((seen / self.seen).max()) if (self.seen > 0).all() else np.inf
            if factor <= _ROOM:
                return self.pushes * factor**2 * SLACK
        self.seen = seen * _ROOM
        self.pushes = self._compute(self.seen)
        return self.pushes / _ROOM**2 * SLACK

    def _compute(self, seen: Float[ndarray, "n n"]) -> Float[ndarray, "L n m"]:
        frozen, (n, width) = self.frozen, self.frozen.pre[0].shape
        pushes, flat = np.zeros_like(frozen.pre), frozen.bent.reshape(frozen.depth, n * n, width)
        if frozen.depth == 1:
            return pushes
        step, weight = max(1, _CHUNK // (n * n * width)), (seen[:, :, None] * seen[None]).reshape(n, n * n)
        for first in range(0, n, step):
            part = slice(first, first + step)
            vectors = np.zeros((len(weight[part]), n * n, width))
            for layer in range(frozen.depth):
                if layer:
                    gated = vectors * frozen.slopes[layer - 1][part, None]
                    vectors = gated @ frozen.weights.hidden[layer].T
                vectors = vectors + np.repeat(frozen.hidden_products[layer][part], n, axis=1)[:, :, None] * flat[layer]
                pushes[layer][part] = np.matmul(weight[part][:, None], np.abs(vectors))[:, 0]
        return pushes


def remainder(
    frozen: Frozen,
    moves: Moves,
    hidden_change: Float[ndarray, "L n n"],
    gradients: Backward,
    seen: Float[ndarray, "n n"],
    pushes: Float[ndarray, "L n m"],
) -> Remainder:
    """Item 6; ``pushes``: by switches and by moved weights, for frozen inner products of hidden layers."""
    entries, starts = pushes + _overshoots(frozen, moves), (seen * frozen.bent_starts).sum(axis=1)
    for own, values in zip(gradients.sources, gradients.weights, strict=True):
        starts += np.bincount(own.sample, values[own.sample, own.neuron], len(seen))
    beneath = np.cumsum(np.abs(frozen.hidden_products), axis=0)
    dense, dense_entries = np.zeros(frozen.pre.shape[:2]), np.zeros_like(frozen.pre)
    carried = frozen.forward_error[0]
    for layer in range(frozen.depth):
        change, rounding = seen * hidden_change[layer], frozen.forward_error[layer + 1]
        # δγ times frozen gradients: of the layers below through P.
        entries[layer] += change @ np.abs(frozen.lower[layer])
        for k, vectors in enumerate(frozen.transported[layer]):
            entries[layer] += np.matmul((seen * hidden_change[k])[:, None], np.abs(vectors))[:, 0]
            entries[layer] += frozen.relative * ((seen * hidden_change[k]) @ frozen.lower_norms[k])[:, None]
        # Rounding of T and of what is pushed, relative to the vectors that it starts from.
        entries[layer] += (seen * frozen.response_error[layer]).sum(axis=1)[:, None]
        entries[layer] += 2 * frozen.relative * ((seen * beneath[layer]) @ starts)[:, None]
        # Of second order and more, carried on by norms.
        whole = seen * np.abs(frozen.hidden_products[layer]) + change
        first = (
            np.matmul(seen[:, None], np.abs(frozen.bent[layer]))[:, 0] + (seen * frozen.bent_error).sum(axis=1)[:, None]
        )
        nearby = whole @ gradients.rest_entries[layer] + change @ (gradients.switched_entries[layer] + first)
        nearby += rounding[:, None] + frozen.row_norms[layer] * carried[:, None]
        own_norm = whole @ gradients.rest[layer] + change @ gradients.lengths[layer] + rounding
        carried = (frozen.weights.norms[layer] * carried + own_norm) * SLACK
        dense[layer], dense_entries[layer] = carried, np.minimum(nearby * SLACK, carried[:, None])
    return Remainder(entries * SLACK, dense, dense_entries)


def _overshoots(frozen: Frozen, moves: Moves) -> Float[ndarray, "L n m"]:
    """What is left of σ(z + δz) − σ(z) beside the slope, carried on by the sample's own layers."""
    pushes, n = np.zeros_like(frozen.pre), len(frozen.pre[0])
    for layer in range(frozen.depth - 1):
        sample, neuron = np.nonzero(moves.uncertain[layer])
        members = np.zeros((n, len(sample)))
        members[sample, np.arange(len(sample))] = moves.overshoot[layer][sample, neuron]
        vectors = frozen.weights.hidden[layer + 1].T[neuron]
        for above in range(layer + 1, frozen.depth):
            pushes[above] += members @ np.abs(vectors) + frozen.relative * members.sum(axis=1, keepdims=True)
            if above + 1 < frozen.depth:
                vectors = (frozen.slopes[above][sample] * vectors) @ frozen.weights.hidden[above + 1].T
    return pushes
