"""How far each pre-activation near its kink may have moved, pair by pair: (sample j, neuron r).

A neuron moves by −(a_r/√m) Σ_i 1_ir (weight of i) x_i, its pre-activation on sample j by −(a_r/√m) g_jr, g_jr =
Σ_i 1_ir (weight of i) G_ij. Proofs: ``docs/theory.md`` §5.2.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.certificate.flow import Flow, Predicted
from ntk_localsgd.certificate.inverse import Inverse
from ntk_localsgd.certificate.model import Problem, RoundModel
from ntk_localsgd.certificate.two_layer.neurons import NearKinks
from ntk_localsgd.certificate.two_layer.reach import Reach
from ntk_localsgd.certificate.two_layer.steps import Steps
from ntk_localsgd.rounding import SLACK, UNIT

__all__ = ["PairBounds"]


class _Fixed(NamedTuple):
    """What does not change while a segment's set of switching pairs grows; one number a pair."""

    low: Float[ndarray, " p"]  # g over the predicted path, past and present, from below
    high: Float[ndarray, " p"]
    sensitivity: Float[ndarray, " p"]  # ‖u D^{-1}‖, u = (G_j ∘ b_r) Θ^{-1}
    local_sensitivity: Float[ndarray, " p"]  # f·‖(G_j ∘ b_r)_c D‖


class PairBounds:
    """Interval of g_jr for every near pair, carried from segment to segment."""

    def __init__(
        self, problem: Problem, near: NearKinks, width: int, model: RoundModel, error: float, steps: Steps
    ) -> None:
        self.problem, self.near, self.scale, self.steps = problem, near, 1 / math.sqrt(width), steps
        self._size = np.abs(problem.inner) + problem.inner_error
        sizes = [len(rows) for rows in near.rows]
        self._center, self._drift, self._below, self._above = ([np.zeros(p) for p in sizes] for _ in range(4))
        self._float_pad = problem.inner_error + (len(sizes) + 6) * UNIT * float(np.abs(problem.inner).max())
        self._predicted: Predicted | None = None
        self._fixed: list[_Fixed] = []
        self._inverse = Inverse(model)
        for j in range(len(sizes)):
            self._drift[j] += self._leverage(j, near.patterns) * error * SLACK

    def _rows(self, j: int, patterns: Bool[ndarray, "N n"]) -> Float[ndarray, "p n"]:
        """G_j ∘ b_r for the pairs of sample j."""
        return np.where(patterns[self.near.rows[j]], self.problem.inner[j], 0.0)

    def _leverage(self, j: int, patterns: Bool[ndarray, "N n"]) -> Float[ndarray, " p"]:
        """≥ ‖(G_j ∘ b_r) Θ^{-1} D^{-1}‖₂."""
        v = self._rows(j, patterns)
        return self._inverse.sensitivity(v @ self._inverse.matrix, np.linalg.norm(v, axis=1))

    def prepare(self, model: RoundModel, patterns: Bool[ndarray, "N n"], predicted: Predicted) -> None:
        """Everything of the segment that depends on the frozen patterns and the prediction alone."""
        self._predicted, self._patterns, self._fixed = predicted, patterns, []
        same = self.problem.same_client
        totals = (predicted.up, predicted.down, predicted.local_up, predicted.local_down)
        for j, rows in enumerate(self.near.rows):
            b, own = patterns[rows].astype(np.float64), same[j]
            moves = b @ self.steps.chord_ends(self.problem, predicted, j).T
            spread = np.where(own, predicted.local_spread, predicted.spread)
            wide = b @ (self._size[j] * spread) + self._float_pad * float(np.sum(totals))
            wide = wide + 8 * UNIT * (np.abs(self._center[j]) + np.abs(moves).max(axis=1))
            v_own = self._rows(j, patterns) * own
            local = np.linalg.norm(v_own @ model.root, axis=1) + model.pad * model.norm * np.linalg.norm(v_own, axis=1)
            low = self._center[j] + np.minimum(moves.min(axis=1), 0) - wide * SLACK - self._below[j] - self._drift[j]
            high = self._center[j] + np.maximum(moves.max(axis=1), 0) + wide * SLACK + self._above[j] + self._drift[j]
            self._fixed.append(_Fixed(low, high, self._leverage(j, patterns), model.local_factor * local * SLACK))

    def mark(self, uncertain: Bool[ndarray, "N n"], bound: Flow, reach: Reach, ahead: float) -> None:
        """Add the pairs whose pre-activation may cross the kink; all bounds come from the set as it was before.

        ``ahead`` ≥ ‖D r̂‖ at the start of the tail, whose predicted movement Θ^{-1} r̂ is counted as error; 0 elsewhere.
        """
        before = uncertain.copy()
        total = (bound.largest_error + ahead, bound.local_bent, bound.forcing)
        inner_error = self.problem.inner_error * float(bound.weights.sum() + bound.local_weights.sum()) * SLACK
        for j, (rows, fixed) in enumerate(zip(self.near.rows, self._fixed, strict=True)):
            deviation = self._deviation(j, rows, fixed, *total) + inner_error
            u, b = before[rows], self._patterns[rows]
            below, above = self.steps.switching(self.problem, reach, j, u, b, local=True)
            low, high = fixed.low - deviation - below, fixed.high + deviation + above
            signs, z, error = self.near.signs[rows], self.near.values[j], self.near.errors[j]
            low, high = low - (SLACK - 1) * np.abs(low), high + (SLACK - 1) * np.abs(high)
            lowest = z - error + self.scale * np.where(signs > 0, -high, low)
            highest = z + error + self.scale * np.where(signs > 0, -low, high)
            on = b[:, j]
            # In this form a bound that is no number marks its pair.
            uncertain[rows, j] |= ~np.where(on, lowest >= 0, highest < 0)

    def _deviation(
        self,
        j: int,
        rows: ndarray,
        fixed: _Fixed,
        error: float,
        bent: Float[ndarray, " n"],
        forcing: Float[ndarray, " n"],
    ) -> Float[ndarray, " p"]:
        """|Σ_i b_ir G_ij (true − predicted weight of i)|: by Θ(a − â) = e(T) − e(t) − Σg, and one client's steps."""
        v = self._rows(j, self._patterns)
        forced = np.abs(v @ self._inverse.matrix) @ forcing
        gap = np.linalg.norm(v, axis=1) * self._inverse.gap * float(np.linalg.norm(forcing))
        own = self._patterns[rows] @ (self._size[j] * bent * self.problem.same_client[j])
        return (forced + gap + (fixed.sensitivity + fixed.local_sensitivity) * error + own) * SLACK

    def carry(self, uncertain: Bool[ndarray, "N n"], bound: Flow, reach: Reach) -> None:
        """The segment is closed: its predicted movement and its slack belong to the past."""
        predicted = self._predicted
        assert predicted is not None
        for j, rows in enumerate(self.near.rows):
            self._center[j] = self._center[j] + self._patterns[rows] @ (predicted.moved * self.problem.inner[j])
            u, b = uncertain[rows], self._patterns[rows]
            below, above = self.steps.switching(self.problem, reach, j, u, b, local=False)
            self._below[j] = (self._below[j] + below) * SLACK
            self._above[j] = (self._above[j] + above) * SLACK
            v = self._rows(j, self._patterns)
            pad = np.linalg.norm(v, axis=1) * self._inverse.gap * float(np.linalg.norm(bound.forcing))
            # What the stored inner products are off by acts on all weights, the deviation's included.
            wide = predicted.pad * self._size[j].sum() + self._float_pad * (predicted.up + predicted.down).sum()
            wide += self.problem.inner_error * bound.weights.sum() + 4 * UNIT * np.abs(self._center[j])
            self._drift[j] = (self._drift[j] + np.abs(v @ self._inverse.matrix) @ bound.forcing + pad + wide) * SLACK

    @property
    def predicted_movements(self) -> list[Float[ndarray, " p"]]:
        """By how much the prediction has moved each near pair so far, for a neuron of sign −1."""
        return [self.scale * center for center in self._center]

    def rebase(
        self, model: RoundModel, patterns: Bool[ndarray, "N n"], old_patterns: Bool[ndarray, "N n"], error: float
    ) -> None:
        """Freeze other patterns: by Abel's summation Σ_q u_q(e(T_q) − e(T_{q+1})) leaves (u_{q+1} − u_q) e(T_{q+1})."""
        past, self._inverse = self._inverse, Inverse(model)
        for j in range(len(self.near.rows)):
            old, v = self._rows(j, old_patterns), self._rows(j, patterns)
            gap = np.linalg.norm(old, axis=1) * past.gap * model.inverse_norm
            u = v @ self._inverse.matrix - old @ past.matrix
            change = self._inverse.sensitivity(u, np.linalg.norm(v, axis=1)) + gap
            self._drift[j] = (self._drift[j] + change * error) * SLACK
