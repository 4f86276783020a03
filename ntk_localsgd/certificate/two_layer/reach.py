"""What the weights of samples can do to a pre-activation over a segment, whatever patterns switch when.

Proofs: ``docs/theory.md`` §5.2, steps 4 and 5.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.certificate.flow import Flow, Predicted
from ntk_localsgd.certificate.model import Problem
from ntk_localsgd.certificate.two_layer.neurons import NearKinks
from ntk_localsgd.rounding import SLACK

__all__ = ["Reach", "arrived_patterns", "chord_ends", "signed_parts", "switching_shares"]


class Reach(NamedTuple):
    """What the weights of samples may add up to over a segment.

    The prediction's share up and down, and the bounds of `Flow` on the deviation; ``past_…``: all rounds before.
    """

    predicted: Predicted
    bound: Flow
    past_up: Float[ndarray, " n"]
    past_down: Float[ndarray, " n"]
    past_norm: float

    def coarse(self, problem: Problem, width: int) -> Float[ndarray, " n"]:
        """≥ what a pre-activation of any neuron moves by, per sample.

        max over patterns of |Σ_i 1_ir (predicted weight of i) G_ij|, and ‖G_j‖ times the deviation's norm.
        """
        plus, minus = signed_parts(problem.inner, problem.inner_error)
        own_plus, own_minus = plus * problem.same_client, minus * problem.same_client
        up, down = self.past_up + self.predicted.up, self.past_down + self.predicted.down
        local_up, local_down = self.predicted.local_up, self.predicted.local_down
        rises = plus @ up + minus @ down + own_plus @ local_up + own_minus @ local_down
        falls = plus @ down + minus @ up + own_plus @ local_down + own_minus @ local_up
        norm = self.past_norm + self.bound.weight_norm + self.bound.local_weight_norm
        deviation = np.linalg.norm(plus + minus, axis=1) * norm
        return (np.maximum(rises, falls) + deviation) / math.sqrt(width) * SLACK


def signed_parts(inner: Float[ndarray, "..."], error: float) -> tuple[Float[ndarray, "..."], Float[ndarray, "..."]]:
    """Upper bounds on the positive and the negative part of inner products known up to ``error``."""
    return np.maximum(inner + error, 0), np.maximum(error - inner, 0)


def chord_ends(problem: Problem, predicted: Predicted, sample: int) -> Float[ndarray, "3 n"]:
    """What each sample adds to ``sample``'s pre-activation at the hull's corners; local steps on its own client only.

    Clients' local steps must not be added up: they are never in one model, and would cancel.
    """
    own = problem.same_client[sample]
    first, last = predicted.first_local * own, predicted.moved + predicted.last_local * own
    return np.stack([predicted.moved, first, last]) * problem.inner[sample]


def switching_shares(
    problem: Problem,
    reach: Reach,
    sample: int,
    uncertain: Bool[ndarray, "p n"],
    patterns: Bool[ndarray, "p n"],
    *,
    local: bool,
) -> tuple[Float[ndarray, " p"], Float[ndarray, " p"]]:
    """What samples whose pattern may switch take from g or add to it, beside their frozen pattern's share.

    An active sample can lose what it adds, an inactive one can add it; ``local``: on the sample's client's own steps.
    """
    up, down = reach.predicted.up + reach.bound.weights, reach.predicted.down + reach.bound.weights
    if local:
        own = problem.same_client[sample]
        up = up + own * (reach.predicted.local_up + reach.bound.local_weights)
        down = down + own * (reach.predicted.local_down + reach.bound.local_weights)
    rising, falling = signed_parts(problem.inner[sample], problem.inner_error)
    plus, minus = rising * up + falling * down, rising * down + falling * up
    on, off = (uncertain & patterns).astype(np.float64), (uncertain & ~patterns).astype(np.float64)
    return (on @ plus + off @ minus) * SLACK, (on @ minus + off @ plus) * SLACK


def arrived_patterns(
    near: NearKinks, movements: list[Float[ndarray, " p"]], patterns: Bool[ndarray, "N n"]
) -> Bool[ndarray, "N n"]:
    """The signs where the prediction has arrived, pre-activations moved by ``movements``. Any choice is sound."""
    after = patterns.copy()
    for sample, (rows, values, moved) in enumerate(zip(near.rows, near.values, movements, strict=True)):
        after[rows, sample] = values - near.signs[rows] * moved >= 0
    return after
