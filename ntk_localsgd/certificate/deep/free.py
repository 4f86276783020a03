"""Triples with a free slope, kept apart from E: each adds a known vector times a number to one gradient."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from ntk_localsgd.certificate.deep.backward import Backward
from ntk_localsgd.certificate.deep.frozen import Frozen
from ntk_localsgd.rounding import SLACK

__all__ = ["FreeTriples"]


class FreeTriples(NamedTuple):
    """Triples q = (l, i, r) with slope ½: g_i(W') = g_i + Σ_q σ_q v_q + (the rest), |σ_q| ≤ ½; ``docs/theory.md`` §5.5.

    Attributes
    ----------
    sample
        i(q).
    effects, products
        t_qj = ⟨v_q, g_j⟩ = c_{l,i,r} T_{l,ij,r} and G_qq' = ⟨v_q, v_q'⟩.
    first, second
        Of E, what they make up: ½|t| of both samples, and by layer Σ ¼|⟨v_q, v_q'⟩ without γ|.
    rounding
        ≥ what ``products`` and ``second`` are off by, as a part of E.
    """

    sample: Int[ndarray, " p"]
    effects: Float[ndarray, "p n"]
    products: Float[ndarray, "p p"]
    first: Float[ndarray, "n n"]
    second: Float[ndarray, "L n n"]
    rounding: Float[ndarray, "n n"]

    @classmethod
    def of(cls, frozen: Frozen, most: int) -> "FreeTriples | None":
        """Those with the largest effects, at most so many; None where no slope is free."""
        layer, sample, neuron = np.nonzero(frozen.half)
        effects = frozen.upper[layer, sample, neuron][:, None] * frozen.response[layer, sample, :, neuron]
        kept = np.sort(np.argsort(-np.linalg.norm(effects, axis=1), kind="stable")[:most])
        if not len(kept):
            return None
        layer, sample, neuron, effects = layer[kept], sample[kept], neuron[kept], effects[kept]
        members = (sample == np.arange(len(frozen.gram))[:, None]).astype(np.float64)
        second, products = np.zeros_like(frozen.hidden_products), np.zeros((len(kept), len(kept)))
        vectors = np.zeros((len(kept), frozen.pre.shape[2]))
        for k in range(frozen.depth - 1, -1, -1):
            if k + 1 < frozen.depth:
                vectors = frozen.slopes[k][sample] * (vectors @ frozen.weights.hidden[k + 1])
            own = layer == k
            vectors[own, neuron[own]] = frozen.upper[k, sample[own], neuron[own]]
            inner = vectors @ vectors.T
            products += frozen.hidden_products[k][np.ix_(sample, sample)] * inner
            second[k] = members @ np.abs(inner) @ members.T / 4
        sizes = members @ np.abs(frozen.upper[layer, sample, neuron]) / 2
        halves = members @ np.abs(effects) / 2
        beneath = np.abs(frozen.hidden_products).sum(axis=0)
        rounding = 12 * frozen.relative * frozen.chain * beneath * np.outer(sizes, sizes) * SLACK
        return cls(sample, effects, (products + products.T) / 2, halves + halves.T, second, rounding)

    def rest(
        self,
        frozen: Frozen,
        changes: Float[ndarray, "n n"],
        hidden_change: Float[ndarray, "L n n"],
        gradients: Backward,
    ) -> Float[ndarray, "n n"]:
        """≥ |⟨g_i(W'), g_j(W'')⟩ − (with σ_q v_q alone)| where E = ``changes`` bounds it without them.

        Where a bound of Σσ_qσ_q'⟨v_q, v_q'⟩ by the norm of a block was taken, theirs is no summand of it, and is added.
        """
        known = self.first.copy()
        for layer, second in enumerate(self.second):
            size = np.abs(frozen.hidden_products[layer])
            known += np.where(gradients.summed[layer], size, -(size + 2 * hidden_change[layer])) * second
        # Both are sums of nonnegative numbers, off by shares of themselves, not of their difference.
        return (np.maximum(changes * SLACK - known, 0.0) + self.rounding) * SLACK
