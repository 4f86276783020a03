"""What is assumed of all walks so far, and what it means for pre-activations: the unknown that must close on itself."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.certificate.deep.frozen import Frozen
from ntk_localsgd.rounding import SLACK, TINY, UNIT

__all__ = ["Moves", "State", "moves", "uncertain_triples"]

_Triples = Float[ndarray, "L n m"]


class State(NamedTuple):
    """Bounds on δz = (linear part on the predicted path) + deviation + remainder + dense, and on weights.

    Attributes
    ----------
    around
        ≥ what δz may differ from the extremes of its linear part by, per neuron.
    deviation, remainder
        ≥ two of its parts, per neuron; ``dense`` [L n] ≥ the norm of the third.
    hidden_deviation, kernel_deviation
        ≥ |t·(a − the path)| for the rows of `Frozen.hidden_rows` [L−1 n n] and `Frozen.kernel_rows` [n n].
    averaged, local
        ≥ Σ|weight| of every sample over all averaged steps, and over one client's steps of a round.
    """

    around: _Triples
    deviation: _Triples
    remainder: _Triples
    dense: Float[ndarray, "L n"]
    hidden_deviation: Float[ndarray, "k n n"]
    kernel_deviation: Float[ndarray, "n n"]
    averaged: Float[ndarray, " n"]
    local: Float[ndarray, " n"]

    def padded(self) -> "State":
        """With room for the rounding of its sums: strictly above them."""
        return State(*(x * SLACK + TINY for x in self))

    def holds_in(self, other: "State") -> bool:
        """Whether every bound is finite and at most the other's."""
        pairs = zip(self, other, strict=True)
        return all(bool((own <= larger).all()) and bool(np.isfinite(larger).all()) for own, larger in pairs)

    def enlarged(self, by: "State", factor: float) -> "State":
        """The larger of each bound and of the other's times a factor."""
        return State(*(np.maximum(own, factor * new) for own, new in zip(self, by, strict=True)))


class Moves(NamedTuple):
    """What the bounds on δz mean for patterns and for hidden layers.

    ``uncertain``: triples whose sign may change or whose slope is ½. ``off`` ≥ |D' − D|; ``overshoot`` ≥ |σ(z + δz) −
    σ(z) − sδz|; ``hidden`` ≥ |δh_l| [L n m] and ``lengths`` ≥ ‖δh_l‖, l = 0 … L [L+1 n].
    """

    uncertain: Bool[ndarray, "L n m"]
    off: _Triples
    overshoot: _Triples
    hidden: _Triples
    lengths: Float[ndarray, "k n"]


def uncertain_triples(frozen: Frozen, low: _Triples, high: _Triples) -> Bool[ndarray, "L n m"]:
    """Triples whose sign may differ from the frozen one for a move between ``low`` and ``high``, or with slope ½."""
    # In this form a bound that is no number marks its triple.
    return ~np.where(frozen.on, frozen.pre + low > 0, frozen.pre + high < 0) | frozen.half


def moves(frozen: Frozen, low: _Triples, high: _Triples, state: State, uncertain: Bool[ndarray, "L n m"]) -> Moves:
    """Item 1: from intervals ``low`` ≤ δz ≤ ``high`` about the extremes of the linear part."""
    z, slopes = frozen.pre, frozen.slopes
    off = np.where(uncertain, np.maximum(slopes, 1 - slopes), 0.0)
    first, last = low - state.around, high + state.around
    overshoot, rectified = np.zeros_like(z), np.maximum(z, 0)
    # Piecewise linear: its extremes are at both ends and at the kink.
    for x in (first, last, np.clip(-z, first, last)):
        overshoot = np.maximum(overshoot, np.abs(np.maximum(z + x, 0) - rectified - slopes * x))
    overshoot += 4 * UNIT * (np.abs(z) + np.abs(first) + np.abs(last))
    active = frozen.on | uncertain
    hidden = np.where(active, np.maximum(-first, last), 0.0)
    smooth = np.where(active, np.maximum(-low, high) + state.deviation + state.remainder, 0.0)
    lengths = np.minimum(np.linalg.norm(hidden, axis=2), np.linalg.norm(smooth, axis=2) + state.dense) * SLACK
    lengths = np.concatenate([frozen.forward_error[:1], lengths])
    return Moves(uncertain, off, np.where(uncertain, overshoot, 0.0), hidden, lengths)
