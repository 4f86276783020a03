"""Theorem B: a certificate with probability ≥ 1 − δ over batches and participants, for every Θ ≻ 0.

The energy V = rᵀΘ⁻¹r falls in the mean, so that with high probability it stays below an envelope for all rounds; that
bounds the path of every sample's weights, and so which pairs may ever change. Proof: ``docs/theory.md`` §5.7.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.certificate.model import Problem
from ntk_localsgd.certificate.outcome import Conclusion, Obstacle, no_proof
from ntk_localsgd.certificate.schedule import Schedule
from ntk_localsgd.certificate.two_layer.counts import Counts
from ntk_localsgd.certificate.two_layer.energy import (
    Energy,
    NotFalling,
    Reference,
    fall,
    heaviest,
    reference,
    reference_of,
)
from ntk_localsgd.certificate.two_layer.envelope import Envelope, envelope
from ntk_localsgd.certificate.two_layer.neurons import NearKinks, Survey, pairs_of
from ntk_localsgd.rounding import SLACK, UNIT

__all__ = ["Paths", "certify_energy", "energy_reach", "marked_pairs", "paths_of"]

# Sets of pairs tried until one closes.
_SWEEPS = 200


class Paths(NamedTuple):
    """What the weights of samples may add up to on the event, weighed: over all rounds, and over one client's steps."""

    problem: Problem
    schedule: Schedule
    energy: Energy
    held: Envelope
    start: float  # ≥ V(0)

    def of(self, weights: Float[ndarray, "p n"], clients: Float[ndarray, " p"] | None = None) -> Float[ndarray, " p"]:
        """≥ w·(p + y), p the averaged model's absolute weights and y a client's own, of the one named or the worst.

        w·p ≤ (η_g η Σ_t v_t^{1/2} · mean of the q largest τ_c w̄_c²/a_c · V(0)𝔈)^{1/2} and
        w·y ≤ w̄_c(ητ_c v_0 V(0)(1 + ḡ/s)/((1 − s)a_c))^{1/2}, w̄_c² the b_c largest squares among the client's samples.
        """
        schedule, energy = self.schedule, self.energy
        parts = np.stack(
            [
                tau * heaviest(np.square(weights[:, part]), int(size)) / kept
                for part, size, tau, kept in zip(
                    self.problem.clients.indices, schedule.batches, schedule.steps, energy.kept, strict=True
                )
            ]
        )
        growth = self.growth
        share, length = self.held.path(growth)
        most = np.sort(parts, axis=0)[-schedule.participants :].mean(axis=0)
        step = schedule.step_size
        far = np.sqrt(schedule.server_step_size * step * self.held.roots * most * self.start * length)
        own = parts.max(axis=0) if clients is None else parts[clients.astype(int), np.arange(len(weights))]
        near = np.sqrt(step * own * self.held.first * self.start * (1 + growth / share) / (1 - share))
        return (far + near) * SLACK

    @property
    def growth(self) -> float:
        """ḡ = max_c τ_c g_c(1 + g_c)^τ_c."""
        g, taus = self.energy.growth, self.schedule.steps
        return float((taus * g * (1 + g) ** taus).max()) * SLACK

    @property
    def radius(self) -> float:
        """R ≥ ‖r̃‖_* at every averaged and local model: (v_0 V(0) max_c(1 + g_c)^τ_c)^{1/2}."""
        grown = float(((1 + self.energy.growth) ** self.schedule.steps).max())
        return math.sqrt(self.held.first * self.start * grown) * SLACK


def paths_of(
    problem: Problem, schedule: Schedule, survey: Survey, found: Reference, delta: float
) -> Paths | NotFalling:
    """The paths that an energy allows from this residual on; or why none falls."""
    energy = fall(problem, schedule, found)
    if isinstance(energy, NotFalling):
        return energy
    held = envelope(energy.mean, energy.worst(schedule), 0.0 if schedule.certain else delta)
    if held is None:
        return NotFalling("patterns that may change let the energy grow too much in an unlucky round")
    return Paths(problem, schedule, energy, held, found.start(survey.residual, survey.residual_error))


def energy_reach(
    problem: Problem, schedule: Schedule, survey: Survey, delta: float
) -> Float[ndarray, " n"] | NotFalling:
    """How far pre-activations may go while no pattern changes, by sample; or why no energy falls even then."""
    counts, nothing = survey.counts.astype(np.float64), np.zeros_like(problem.inner)
    found = reference(problem, Counts(counts, counts, nothing), nothing, survey.width)
    if found is None:
        return NotFalling(
            "the Gram matrix is singular as far as float64 can tell: two rows are too alike, or m is too small"
        )
    paths = paths_of(problem, schedule, survey, found, delta)
    return paths if isinstance(paths, NotFalling) else _coarse(paths, survey.width)


def _coarse(paths: Paths, width: int) -> Float[ndarray, " n"]:
    """≥ what a pre-activation of any neuron moves by: all of every sample's absolute weights."""
    above = np.abs(paths.problem.inner) + paths.problem.inner_error
    return paths.of(above, paths.problem.owner) / math.sqrt(width) * SLACK


def certify_energy(
    problem: Problem, schedule: Schedule, survey: Survey, near: NearKinks, *, delta: float
) -> Conclusion:
    """Theorem B: enlarge the set of pairs that may change until nothing is added.

    Parameters
    ----------
    problem, schedule, survey, near
        The run's constants, what a round draws, the residual, and the neurons near a kink.
    delta
        δ; what is concluded is certain where nothing is drawn.

    Returns
    -------
    Conclusion
        ``rate`` and ``constant`` from ‖r(t)‖₂² ≤ λ_max(Θ)V(t).
    """
    uncertain = np.zeros_like(near.patterns)
    for _ in range(_SWEEPS):
        found = reference_of(problem, survey, near, uncertain)
        if found is None:
            return no_proof("energy", Obstacle.PATTERNS, _failed("Θ is singular", uncertain))
        paths = paths_of(problem, schedule, survey, found, delta)
        if isinstance(paths, NotFalling):
            return no_proof("energy", Obstacle.PATTERNS, _failed(paths.text, uncertain))
        if not (_coarse(paths, survey.width) <= near.threshold).all():
            return no_proof("energy", Obstacle.BEYOND_KEPT, "neurons may move beyond those that were kept")
        marked = uncertain | marked_pairs(problem, survey, near, uncertain, found, paths)
        if (marked == uncertain).all():
            return _conclusion(problem, schedule, survey, found, paths, delta)._replace(
                switching=pairs_of(near, uncertain)
            )
        uncertain = marked
    return no_proof("energy", Obstacle.OPEN, "the set of pairs that may switch did not close")


def _failed(text: str, uncertain: Bool[ndarray, "N n"]) -> str:
    return f"{text} (with {int(uncertain.sum())} pairs that may switch)"


def marked_pairs(
    problem: Problem, survey: Survey, near: NearKinks, uncertain: Bool[ndarray, "N n"], found: Reference, paths: Paths
) -> Bool[ndarray, "N n"]:
    """Pairs whose pre-activation z − (a/√m) g may cross the kink, g within u·α* ± [R‖u‖_* + w·(p + y)]."""
    marked, scale = np.zeros_like(uncertain), 1 / math.sqrt(survey.width)
    middle, half = near.patterns + 0.0, uncertain / 2.0
    middle = np.where(uncertain, 0.5, middle)
    above = np.abs(problem.inner) + problem.inner_error
    target, off = found.solve(survey.residual[None])
    blur = float(off[0]) + float(np.linalg.norm(survey.residual_error)) / found.smallest
    for j, (rows, z, error) in enumerate(zip(near.rows, near.values, near.errors, strict=True)):
        u = middle[rows] * problem.inner[j]
        s, defect = found.solve(u)
        # What the stored inner products are off by acts on all weights.
        weights = np.abs(s) @ found.changes + defect[:, None] * np.linalg.norm(found.changes, axis=0)
        weights = (weights + half[rows] * above[j] + problem.inner_error) * SLACK
        owner = np.full(len(rows), problem.owner[j])
        reach = found.length(u) * paths.radius + paths.of(weights, owner)
        size = np.linalg.norm(u, axis=1) + problem.inner_error * math.sqrt(len(problem.inner))
        sums = (len(problem.inner) + 2) * UNIT * (np.abs(u) @ np.abs(target[0]))
        reach = (reach + size * blur + sums) * scale * SLACK
        pad = error + 8 * UNIT * np.abs(z)
        middle_move = near.signs[rows] * (u @ target[0]) * scale
        moved = z - middle_move
        pad = pad + 8 * UNIT * np.abs(middle_move)
        # In this form a bound that is no number marks its pair.
        marked[rows, j] = ~np.where(near.patterns[rows, j], moved - reach - pad > 0, moved + reach + pad < 0)
    return marked


def _conclusion(
    problem: Problem, schedule: Schedule, survey: Survey, found: Reference, paths: Paths, delta: float
) -> Conclusion:
    rate = math.sqrt(paths.held.rate) * SLACK
    if not rate < 1:
        return no_proof("energy", Obstacle.TAIL, "the energy falls by less than float64 can tell")
    constant = math.sqrt(found.largest * paths.held.factor * paths.start) / survey.least_norm * SLACK
    norms = np.sqrt(np.diagonal(problem.inner) + problem.inner_error)
    radius = float(paths.of(norms[None])[0]) / math.sqrt(survey.width) * SLACK
    return Conclusion("energy", rate, constant, radius, delta=0.0 if schedule.certain else delta)
