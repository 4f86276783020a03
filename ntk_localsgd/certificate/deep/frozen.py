"""The frozen network: slopes, gradients, their derivatives and the kernel at the reference weights.

What is stored is exact by definition; what it misses of W's own network is a source like any other (``docs/theory.md``
§5.5, rounding). Layers 1 … L are numbered from 0; samples stand first, neurons last.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.certificate.rounding import spectral_norm
from ntk_localsgd.rounding import SLACK, gamma

__all__ = ["Frozen", "Weights"]


class Weights(NamedTuple):
    """A, W_1 … W_L in float64, and the row of V that each sample's output has; ``norms``: ≥ ‖W_l‖₂."""

    first: Float[ndarray, "m d"] | None
    hidden: tuple[Float[ndarray, "m p"], ...]
    outputs: Float[ndarray, "n m"]
    norms: tuple[float, ...]

    @classmethod
    def of(cls, first: ndarray | None, hidden: tuple[ndarray, ...], outputs: Float[ndarray, "n m"]) -> "Weights":
        """With the norms, which take the longest."""
        return cls(first, hidden, outputs, tuple(spectral_norm(w) for w in hidden))


class Frozen:
    """Everything that does not depend on which triples (layer, sample, neuron) may switch.

    Attributes
    ----------
    hidden, pre
        h_0 … h_L and z_1 … z_L. ``on``: z ≥ 0; ``slopes`` s: 1 or 0 as z is on or off, ½ on ``half``.
    upper, lower
        c_l and b_l = s c_l: derivatives of the output by h_l and by z_l.
    forward_error, backward_error
        ≥ ‖h_0 − (A's own)‖, then ‖W_l h_{l−1} − z_l‖, [L+1 n]; ≥ ‖W_{l+1}ᵀ b_{l+1} − c_l‖, [L n].
    hidden_products, back_products
        γ^{l−1} = h_{l−1}·h_{l−1} (layer l's input) and β^l = b_l·b_l, [L n n]. ``gram``: Θ = Σ_l β^l ∘ γ^{l−1}.
    transported
        P: ``transported[l][k]`` [n n m] = Φ_{l←k,i} b_{k,j} for k < l.
    response
        T [L n n m]: the derivative of z_{l,i} in direction g_j.
    bent, bent_upper
        B, C [L n n m]: the derivatives of b_{l,j} and of c_{l,j} in direction of sample i's gradient, slopes kept.
    hidden_rows
        N^h [L−1 n n n]: h_{l,j}·s_{l,i} T_{l,ik}. ``bent_rows`` [L n n n]: B_{l,ik}·b_{l,j}. ``kernel_rows`` N^b [n n
        n] is Σ_l γ^{l−1}_ij B_{l,ik}·b_{l,j}. The last index is the sample whose weight it belongs to.
    response_error, bent_error
        ≥ ‖T_{l,ij} − its stored value‖, [L n n], and the same of B_{l,jk} and C_{l,jk}, [n n] for every l.
    bent_starts
        ≥ Σ_l ‖the vectors that B_{·,jk} starts from‖, [n n].
    relative
        What products with up to 2L weight matrices are off by, relative to the vector that they start from.
    """

    def __init__(
        self, weights: Weights, inputs: Float[ndarray, "n d"], half: Bool[ndarray, "L n m"] | None = None
    ) -> None:
        self.weights, self.depth = weights, len(weights.hidden)
        n, width = weights.outputs.shape
        self.half = np.zeros((self.depth, n, width), bool) if half is None else half
        sizes = [width, n, *(w.shape[1] for w in weights.hidden), inputs.shape[1]]
        self.product = gamma(max(sizes) + 16) * SLACK  # of one product, relative to norms
        frobenius = [float(np.linalg.norm(w)) * SLACK for w in weights.hidden]
        growth = math.prod(max(1.0, norm) for norm in weights.norms)
        self.relative = 4 * self.depth * self.product * max(1.0, *frobenius) * growth**2 * SLACK
        self.chain = growth  # ≥ ‖Φ‖
        self._forward(inputs, frobenius)
        self._backward(frobenius)
        self._transport()
        self._bend()
        pairs = zip([np.ones((n, weights.hidden[0].shape[1])), *self.slopes], weights.hidden, strict=False)
        #: Norms of the rows of W_l s_{l−1,i}, and of the columns of W_l.
        self.row_norms = [np.sqrt(np.square(s) @ np.square(w).T) * SLACK for s, w in pairs]
        self.column_norms = [np.linalg.norm(w, axis=0) * SLACK for w in weights.hidden]

    def _forward(self, inputs: Float[ndarray, "n d"], frobenius: list[float]) -> None:
        weights, lengths = self.weights, np.linalg.norm(inputs, axis=1) * SLACK
        if weights.first is None:
            first, error = inputs, np.zeros(len(inputs))
        else:
            first = np.maximum(inputs @ weights.first.T, 0)
            error = self.product * float(np.linalg.norm(weights.first)) * lengths * SLACK
        hidden, pre, errors = [first], [], [error]
        for w, size in zip(weights.hidden, frobenius, strict=True):
            errors.append(self.product * size * np.linalg.norm(hidden[-1], axis=1) * SLACK)
            pre.append(hidden[-1] @ w.T)
            hidden.append(np.maximum(pre[-1], 0))
        self.hidden, self.pre, self.forward_error = hidden, np.stack(pre), np.stack(errors)
        self.on = self.pre >= 0
        self.slopes = np.where(self.half, 0.5, self.on)
        self.hidden_norms = np.stack([np.linalg.norm(h, axis=1) * SLACK for h in hidden])
        self.outputs = (hidden[-1] * weights.outputs).sum(axis=1)

    @property
    def output_error(self) -> Float[ndarray, " n"]:
        """≥ |f(W) − the stored outputs|."""
        size, error = np.linalg.norm(self.weights.outputs, axis=1), self.forward_error[0]
        for norm, own in zip(self.weights.norms, self.forward_error[1:], strict=True):
            error = norm * error + own
        return size * (error + self.product * self.hidden_norms[-1]) * SLACK

    def _backward(self, frobenius: list[float]) -> None:
        upper, lower, errors = [self.weights.outputs], [], [np.zeros(len(self.weights.outputs))]
        for layer in range(self.depth - 1, -1, -1):
            lower.append(self.slopes[layer] * upper[-1])
            if layer:
                errors.append(self.product * frobenius[layer] * np.linalg.norm(lower[-1], axis=1) * SLACK)
                upper.append(lower[-1] @ self.weights.hidden[layer])
        self.upper, self.lower, self.backward_error = (np.stack(x[::-1]) for x in (upper, lower, errors))
        self.lower_norms = np.linalg.norm(self.lower, axis=2) * SLACK
        self.hidden_products = np.stack([h @ h.T for h in self.hidden[:-1]])
        self.back_products = np.stack([b @ b.T for b in self.lower])
        gram = (self.hidden_products * self.back_products).sum(axis=0)
        self.gram = (gram + gram.T) / 2
        sizes = np.abs(self.hidden_products * self.back_products).sum(axis=0)
        self.gram_error = 4 * self.product * (sizes + sizes.T) * SLACK
        #: What h_i·h_j and b_i·b_j are off by.
        self.hidden_rounding = self.product * self.hidden_norms[:-1, :, None] * self.hidden_norms[:-1, None] * SLACK
        self.back_rounding = self.product * self.lower_norms[:, :, None] * self.lower_norms[:, None] * SLACK

    def propagate(self, layer: int, vectors: Float[ndarray, "n p m"]) -> Float[ndarray, "n p m"]:
        """W_l s_{l−1,i} v for the vectors of every sample i: from layer l − 1 to l."""
        return (vectors * self.slopes[layer - 1][:, None]) @ self.weights.hidden[layer].T

    def _transport(self) -> None:
        n = len(self.pre[0])
        self.transported: list[list[Float[ndarray, "n n m"]]] = []
        responses, own = [], np.broadcast_to(self.lower[:, None], (self.depth, n, *self.lower.shape[1:]))
        for layer in range(self.depth):
            before = [*self.transported[-1], own[layer - 1]] if layer else []
            self.transported.append([self.propagate(layer, p) for p in before])
            terms = [*self.transported[-1], own[layer]]
            responses.append(sum(g[:, :, None] * p for g, p in zip(self.hidden_products, terms, strict=False)))
        self.response = np.stack(responses)
        shares = np.cumsum(np.abs(self.hidden_products) * self.lower_norms[:, None], axis=0)
        self.response_error = 2 * self.relative * shares * SLACK
        gated = [self.slopes[layer][:, None] * self.response[layer] for layer in range(self.depth - 1)]
        rows = [np.einsum("ikr,jr->ijk", t, h, optimize=True) for t, h in zip(gated, self.hidden[1:], strict=False)]
        self.hidden_rows = np.stack(rows) if rows else np.zeros((0, n, n, n))

    def _bend(self) -> None:
        n, width = self.upper[0].shape
        bent, upper = [np.zeros((n, n, width))], [np.zeros((n, n, width))]
        for layer in range(self.depth - 2, -1, -1):
            pushed = self.back_products[layer + 1][:, :, None] * self.hidden[layer + 1]
            upper.append(pushed + bent[-1] @ self.weights.hidden[layer + 1])
            bent.append(self.slopes[layer][:, None] * upper[-1])
        self.bent, self.bent_upper = np.stack(bent[::-1]), np.stack(upper[::-1])
        sizes = np.abs(self.back_products[1:]) * self.hidden_norms[1:-1, None, :]
        self.bent_starts = sizes.sum(axis=0) * SLACK
        self.bent_error = 2 * self.relative * self.bent_starts * SLACK
        self.bent_norms = np.linalg.norm(self.bent, axis=3) * SLACK + self.bent_error
        self.bent_rows = np.einsum("likr,ljr->lijk", self.bent, self.lower, optimize=True)
        self.kernel_rows = np.einsum("lij,lijk->ijk", self.hidden_products, self.bent_rows)
