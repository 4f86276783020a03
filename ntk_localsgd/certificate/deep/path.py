"""The predicted path of the samples' weights as each client sees it, and how far the true weights may be from it.

A sample's weight a_j moves the network by −a_j g_j; ``docs/theory.md`` §5.2, items 1 to 3, with one segment and a tail.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.certificate.deep.free import FreeTriples
from ntk_localsgd.certificate.deep.sector import SectorRound
from ntk_localsgd.certificate.deep.small_gain import SmallGain
from ntk_localsgd.certificate.flow import Flow, flow, predict
from ntk_localsgd.certificate.growth import EntrywiseGrowth
from ntk_localsgd.certificate.inverse import Inverse
from ntk_localsgd.certificate.model import RoundModel
from ntk_localsgd.certificate.rounding import largest_eigenvalue
from ntk_localsgd.rounding import SLACK, gamma

__all__ = ["Deviation", "Leverage", "Path", "Weighing", "leverage", "view_points"]

# The prediction stops where ‖r̂‖_D has fallen to this share, or after this many rounds; the infinite tail follows.
_TAIL, _LONGEST = 1e-4, 4096

# Times of the path that are kept; the others lie within a measured distance of the chords between them.
_TIMES = 40


class Deviation(NamedTuple):
    """What the true weights may deviate from the predicted path by.

    ``error`` ≥ ‖D(ΘΔ)‖₂ of what an error moves, ``forcing`` ≥ Σ|g| entrywise; of one client's own steps:
    ``local_error`` ≥ ‖De‖₂ and ``local_bent`` entrywise; ``spread``: ‖Θ^{1/2}·‖₂ of the times that are not kept.
    ``pushes`` and ``gains``: of free triples, which ``forcing`` leaves out (`Flow`).
    """

    error: float
    forcing: Float[ndarray, " n"]
    local_error: float
    local_bent: Float[ndarray, " n"]
    spread: float
    pushes: Float[ndarray, " p"]
    gains: Float[ndarray, " p"]

    @classmethod
    def alike(cls, value: float, n: int, p: int, *, spread: float) -> "Deviation":
        """The same number everywhere but for the spread."""
        return cls(value, np.full(n, value), value, np.full(n, value), spread, np.full(p, value), np.full(p, value))


class Weighing(NamedTuple):
    """Rate, constant and weights that follow from |Θ̃ − Θ| ≤ E; infinite rates where nothing follows.

    ``averaged`` and ``local`` ≥ Σ|weight| of a sample over all averaged steps, and over one client's steps of a round.
    """

    rate: float
    constant: float
    averaged: Float[ndarray, " n"]
    local: Float[ndarray, " n"]
    deviation: Deviation


class Leverage(NamedTuple):
    """For rows t, each in the view of one client: what bounds |t·(a − a point of the predicted path)|."""

    error: Float[ndarray, "..."]  # ‖tΘ^{-1}D^{-1}‖
    forcing: Float[ndarray, "... n"]  # |tΘ^{-1}|
    gap: Float[ndarray, "..."]  # rounding of tΘ^{-1}
    local_error: Float[ndarray, "..."]  # f‖t_c D_c‖
    local_bent: Float[ndarray, "... n"]  # |t_c|
    spread: Float[ndarray, "..."]  # ‖tΘ^{-1/2}‖
    pushes: Float[ndarray, "... p"]  # |tΘ^{-1}t_q|
    gains: Float[ndarray, "... p"]  # |tΘ^{-1}e_{i(q)}|

    def bound(self, by: Deviation) -> Float[ndarray, "..."]:
        """≥ |t·(a − a point of the predicted path)|."""
        total = self.error * by.error + self.forcing @ by.forcing + self.gap * float(np.linalg.norm(by.forcing))
        total = total + self.local_error * by.local_error + self.local_bent @ by.local_bent
        return (total + self.spread * by.spread + self.pushes @ by.pushes + self.gains @ by.gains) * SLACK


def leverage(inverse: Inverse, rows: Float[ndarray, "n ... n"], free: FreeTriples | None = None) -> Leverage:
    """Of rows t whose first index is the sample in whose view they are."""
    model, n = inverse.model, len(rows)
    u, size = rows @ inverse.matrix, np.linalg.norm(rows, axis=-1)
    own = np.where(model.problem.same_client.reshape(n, *[1] * (rows.ndim - 2), n), rows, 0.0)
    local = np.linalg.norm(own @ model.root, axis=-1) + model.pad * model.norm * np.linalg.norm(own, axis=-1)
    # tΘ^{-1}tᵀ, its rounding included: u is off by gap·‖t‖, the product by γ_n.
    rounding = size * inverse.gap + gamma(n + 2) * np.linalg.norm(u, axis=-1)
    energy = np.maximum((u * rows).sum(axis=-1), 0) + size * rounding
    pushes = gains = np.zeros((*size.shape, 0))
    if free is not None:
        pushes = np.abs(u @ free.effects.T) + rounding[..., None] * np.linalg.norm(free.effects, axis=1)
        gains = np.abs(u[..., free.sample]) + (size * inverse.gap)[..., None]
    return Leverage(
        inverse.sensitivity(u, size),
        np.abs(u),
        size * inverse.gap * SLACK,
        model.local_factor * local * SLACK,
        np.abs(own),
        np.sqrt(energy) * SLACK,
        pushes * SLACK,
        gains * SLACK,
    )


def view_points(
    averaged: Float[ndarray, "R+1 n"], local: Float[ndarray, "tau+1 R n"], own: Float[ndarray, " n"]
) -> list[Float[ndarray, "R n"]]:
    """The paths that a client sees: the averaged one, and its own local steps from each of its rounds."""
    return [averaged, *(averaged[:-1] + steps * own for steps in local[1:])]


class Path:
    """The prediction for a frozen kernel, and what changes of the kernel add to it.

    Attributes
    ----------
    points
        By client: kept points of the path in its view, [p n]; the path is within ``spread`` of their hull, in energy
        ‖Θ^{1/2}·‖₂.
    """

    def __init__(
        self,
        model: RoundModel,
        residual: Float[ndarray, " n"],
        residual_error: Float[ndarray, " n"],
        views: Callable[..., list[Float[ndarray, "R n"]]] = view_points,
        free: FreeTriples | None = None,
    ) -> None:
        self.model, self.inverse, self.growth = model, Inverse(model), EntrywiseGrowth(model)
        self.sector = None if free is None else SectorRound(model, self.growth, free)
        self.start_error = model.length(np.zeros_like(residual), residual_error)
        self.least = (float(np.linalg.norm(residual)) / SLACK - float(np.linalg.norm(residual_error))) / SLACK
        self.predicted = predict(model, residual, self._rounds(residual))
        self.tail = predict(model, self.predicted.residuals[-1], 0)
        self.sums = SmallGain(model, self.predicted, residual_error, free)
        steps, problem = np.stack(self.predicted.local_steps), model.problem
        local = np.concatenate([np.zeros_like(steps[:1]), problem.step_size * np.cumsum(steps, axis=0)])
        gained = np.cumsum(local[-1], axis=0) / problem.clients.num_clients
        averaged = np.concatenate([np.zeros_like(gained[:1]), gained])
        times = np.unique(np.geomspace(1, len(gained), _TIMES).round().astype(int))
        self.points, worst = [], 0.0
        for c in range(problem.clients.num_clients):
            kept = []
            for path in views(averaged, local, np.where(problem.owner == c, 1.0, 0.0)):
                ends = np.unique(np.minimum([0, *times], len(path) - 1))
                kept.append(path[ends])
                worst = max(worst, self._spread(path, ends))
            self.points.append(np.concatenate(kept))
        # The stored points are off by the prediction's pad, entry by entry.
        n = len(residual)
        pad = math.sqrt(n * largest_eigenvalue(model.gram)) * self.predicted.pad
        self.spread = (worst + pad) * SLACK

    def _rounds(self, residual: Float[ndarray, " n"]) -> int:
        start = length = float(np.linalg.norm(self.model.root @ residual))
        rounds = 0
        while length > _TAIL * start and rounds < _LONGEST:
            residual, rounds = self.model.operator @ residual, rounds + 1
            length = float(np.linalg.norm(self.model.root @ residual))
        return max(rounds, 1)

    def energy(self, points: Float[ndarray, "p n"], gram: Float[ndarray, "n n"]) -> Float[ndarray, " p"]:
        """≥ ‖Θ^{1/2}v‖₂ for a positive semidefinite Θ near the stored one."""
        values = np.maximum(((points @ gram) * points).sum(axis=1), 0)
        rounding = 2 * gamma(2 * len(gram) + 4) * float(np.trace(gram)) * np.square(points).sum(axis=1)
        return np.sqrt(values + rounding) * SLACK

    def _spread(self, path: Float[ndarray, "R n"], ends: ndarray) -> float:
        """The largest energy of a difference from the chords between kept times; any point of a chord is sound."""
        worst = 0.0
        for first, last in itertools.pairwise(ends):
            chord, between = path[last] - path[first], path[first + 1 : last] - path[first]
            along = self.model.gram @ chord
            share = np.clip(between @ along / max(float(chord @ along), 1e-300), 0, 1)
            off = between - share[:, None] * chord
            worst = max(worst, float(self.energy(off, self.model.gram).max(initial=0.0)))
        return worst

    def largest(self, rows: Float[ndarray, "n ... n"]) -> Float[ndarray, "n ..."]:
        """max over the path of |t·a| for rows t whose first index is the sample in whose view they are."""
        owner = self.model.problem.owner
        return np.stack([np.abs(t @ self.points[c].T).max(axis=-1) for t, c in zip(rows, owner, strict=True)])

    def weigh(self, changes: Float[ndarray, "n n"], rest: Float[ndarray, "n n"] | None = None) -> Weighing:
        """Everything that follows from |Θ̃ − Θ| ≤ ``changes`` at all times so far.

        ``rest``: the same without what the path's free triples add to gradients.
        """
        model, predicted, n = self.model, self.predicted, len(changes)
        nothing, number = np.full(n, math.inf), 0 if self.sector is None else len(self.sector.free.sample)
        unknown = Deviation.alike(math.inf, n, number, spread=math.inf)
        hopeless = Weighing(math.inf, math.inf, nothing, nothing, unknown)
        if not np.isfinite(changes).all():
            return hopeless
        separate = None if self.sector is None or rest is None else self.sector.separated(changes, rest)
        main = flow(model, predicted, changes, self.start_error, self.growth, separate)
        left = model.length(predicted.residuals[-1])
        remaining = (float(main.errors[-1]) + left) * SLACK
        tail = flow(model, self.tail, changes, remaining, self.growth, separate)
        most = 2 * model.length(predicted.residuals[0])
        if not (main.rate < 1 and main.largest_error <= most and np.isfinite(tail.forcing).all()):
            return hopeless._replace(rate=main.rate)
        averaged = (predicted.up + predicted.down + main.weights + tail.weights) * SLACK
        local = np.maximum(predicted.local_up + predicted.local_down + main.local_weights, tail.local_weights) * SLACK
        deviation = Deviation(
            (max(main.largest_error, remaining) + self.start_error + left) * SLACK,
            (main.forcing + tail.forcing) * SLACK,
            max(main.largest_error, remaining),
            np.maximum(main.local_bent, tail.local_bent),
            self.spread,
            (main.pushes + tail.pushes) * SLACK,
            (main.gains + tail.gains) * SLACK,
        )
        # What free triples do is not in the rest of E; where that is not known, it would be added up twice.
        others = changes if self.sector is None else rest
        summed = None if others is None else self.sums(others)
        if summed is not None:
            averaged = np.minimum(averaged, summed.weights)
            deviation = deviation._replace(
                forcing=np.minimum(deviation.forcing, summed.forcing),
                pushes=np.minimum(deviation.pushes, summed.pushes),
                gains=np.minimum(deviation.gains, summed.gains),
            )
        return Weighing(main.rate, self._constant(main, remaining), averaged, local, deviation)

    def _constant(self, main: Flow, rest: float) -> float:
        """max over rounds of (bound on ‖r(t)‖₂)/(ρ^t‖r(0)‖₂); from the tail on ‖r(t)‖₂ ≤ ‖D^{-1}‖‖r(t)‖_D."""
        norms = np.linalg.norm(self.predicted.residuals, axis=1) + self.model.inverse_norm * main.errors
        norms[-1] = self.model.inverse_norm * rest
        logs = np.log(np.maximum(norms, 1e-300)) - math.log(self.least) - np.arange(len(norms)) * math.log(main.rate)
        return math.exp(min(float(logs.max()), 700.0)) * SLACK**2
