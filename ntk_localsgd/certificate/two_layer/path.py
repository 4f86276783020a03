"""The path-following certificate: the predicted path, segment by segment, with the patterns that may switch on it.

Proofs: ``docs/theory.md`` §5.2.
"""

import itertools
import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.certificate.flow import Flow, Predicted, flow, predict
from ntk_localsgd.certificate.model import Problem, RoundModel, Unsuitable
from ntk_localsgd.certificate.outcome import Conclusion, Obstacle, no_proof
from ntk_localsgd.certificate.rounding import spectral_norm
from ntk_localsgd.certificate.two_layer.neurons import NearKinks, Survey, pairs_of, pattern_products
from ntk_localsgd.certificate.two_layer.pairs import PairBounds
from ntk_localsgd.certificate.two_layer.reach import Reach
from ntk_localsgd.certificate.two_layer.steps import PROVED, Steps
from ntk_localsgd.rounding import SLACK

__all__ = ["Path", "certify_path", "predicted_reach", "refused_at_once", "segment_ends"]

# Segments of the path, their ends in geometric progression: the path bends most in the first rounds. Few are enough for
# wide networks; many are sharper, and cost in proportion.
_SEGMENTS = (4, 24)

# The prediction stops where ‖r̂‖_M has fallen to this share, or after this many rounds; the infinite tail follows.
_TAIL, _LONGEST = 1e-4, 4096

# A fixed point that needs more sweeps than this is hopeless, and so is an error of twice the residual at the start.
_SWEEPS = 100


def certify_path(
    problem: Problem,
    survey: Survey,
    near: NearKinks,
    model: RoundModel,
    *,
    segments: tuple[int, ...] = _SEGMENTS,
    steps: Steps = PROVED,
) -> Conclusion:
    """Follow the prediction segment by segment; in each, enlarge the set of pairs that may switch until it is closed.

    Parameters
    ----------
    problem, survey, near, model
        As in `ball.certify_ball`; ``model`` in the M-norm.
    segments
        How many, tried in this order until one certifies; more are sharper and slower.
    steps
        The lemmas of the proof.
    """
    for number in segments:
        ends = segment_ends(model, survey.residual, number)
        path = Path(problem, survey, near, model, steps)
        if (result := _followed(path, ends)).certified or path.round == 0:
            break  # the first segment, of one round, is the same for all
    return result


def refused_at_once(
    problem: Problem, survey: Survey, near: NearKinks, model: RoundModel, steps: Steps = PROVED
) -> Conclusion | None:
    """That the first segment, the first round, cannot close; None where it may.

    What `Path` marks there holds the pairs that the prediction itself takes over their kink, and all bounds grow with
    it: where these alone explain more than the whole loss, the same end is reached without a product of matrices.
    """
    predicted = steps.prediction(model, survey.residual, 1)
    crossing, scale = np.zeros_like(near.patterns), 1 / math.sqrt(survey.width)
    for j, rows in enumerate(near.rows):
        moves = near.patterns[rows] @ steps.chord_ends(problem, predicted, j).T
        ends = near.values[j][:, None] - scale * near.signs[rows][:, None] * moves
        on = near.patterns[rows, j]
        crossing[rows, j] = np.where(on, ends.min(axis=1) < 0, ends.max(axis=1) >= 0)
    changes = steps.changes(problem.inner, problem.inner_error, near.patterns, crossing, survey.width)
    start = model.length(np.zeros_like(survey.residual), survey.residual_error)
    bound = steps.deviation(model, predicted, changes, start)
    if bound.largest_error <= 2 * model.length(survey.residual):
        return None
    text = (
        f"ρ = {bound.rate:.4g}: {int(crossing.sum())} pairs that the prediction takes over their kinks in its first "
        f"round explain more than the whole loss"
    )
    return no_proof("path", Obstacle.PATTERNS, text, rate=bound.rate)


def _followed(path: "Path", ends: list[int]) -> Conclusion:
    where = "from the start on"
    try:
        for first, last in itertools.pairwise(ends):
            where = f"in rounds {first} to {last}"
            path.advance(last - first)
            path.rebase()
        where = f"from round {ends[-1]} on"
        path.advance(0)
        return path.conclude()
    except _NoProof as stopped:
        explanation = f"{stopped.explanation} {where}" if stopped.placed else stopped.explanation
        return no_proof("path", stopped.obstacle, explanation, rate=path.rate)
    except Unsuitable as error:
        return no_proof("path", Obstacle.UNSUITABLE, f"{'after patterns change, ' if path.round else ''}{error}")


def predicted_reach(problem: Problem, survey: Survey, model: RoundModel) -> Float[ndarray, " n"]:
    """How far pre-activations of each sample move along the prediction, whatever the neuron's pattern."""
    rounds = segment_ends(model, survey.residual, 2)[-1]
    predicted = predict(model, survey.residual, rounds)
    zero = np.zeros(len(survey.residual))
    nothing = flow(model, predicted, np.zeros_like(model.gram), 0.0)
    return Reach(predicted, nothing, zero, zero, 0.0).coarse(problem, survey.width)


def segment_ends(model: RoundModel, residual: Float[ndarray, " n"], segments: int) -> list[int]:
    """Rounds 0 = T_0 < T_1 < …, the last one where the tail begins."""
    length, rounds = float(np.linalg.norm(model.root @ residual)), 0
    start = length
    while length > _TAIL * start and rounds < _LONGEST:
        residual, rounds = model.operator @ residual, rounds + 1
        length = float(np.linalg.norm(model.root @ residual))
    return [0, *np.unique(np.geomspace(1, max(rounds, 1), segments).round().astype(int)).tolist()]


class _NoProof(Exception):
    """The argument ends here."""

    def __init__(self, obstacle: Obstacle, explanation: str, *, placed: bool = True) -> None:
        super().__init__(explanation)
        self.obstacle, self.explanation, self.placed = obstacle, explanation, placed


class Path:
    """The state at the start of a segment: frozen patterns, prediction, errors and what has moved so far."""

    def __init__(
        self, problem: Problem, survey: Survey, near: NearKinks, model: RoundModel, steps: Steps = PROVED
    ) -> None:
        self.problem, self.survey, self.near, self.model, self.steps = problem, survey, near, model, steps
        n = len(survey.residual)
        self.patterns, self.counts = near.patterns.copy(), survey.counts.copy()
        self.switching = np.zeros_like(near.patterns)
        self.predicted_residual = survey.residual
        self.error = model.length(np.zeros(n), survey.residual_error)
        self.pairs = PairBounds(problem, near, survey.width, model, self.error, steps)
        # Predicted weights that pull up and down, over all rounds so far; the largest of a client's local steps so far;
        # the norms of what they may deviate by.
        self.up, self.down, self.local = np.zeros(n), np.zeros(n), np.zeros(n)
        self.deviation, self.local_deviation = 0.0, 0.0
        self.round, self.rate = 0, math.inf
        self.log_bounds: list[tuple[int, float]] = []  # (t, log of a bound on ‖r(t)‖₂)

    def advance(self, rounds: int) -> None:
        """Close the set of switching pairs over the next segment (0: for ever)."""
        predicted = self.steps.prediction(self.model, self.predicted_residual, rounds)
        # In the tail nothing is predicted: all that is left counts as error.
        ahead = 0.0 if rounds else self.model.length(self.predicted_residual)
        start = (self.error + ahead) * SLACK
        self.pairs.prepare(self.model, self.patterns, predicted)
        uncertain, size = np.zeros_like(self.patterns), -1
        hopeless = 2 * self.model.length(self.survey.residual)
        for _ in range(_SWEEPS):
            inner, inner_error = self.problem.inner, self.problem.inner_error
            changes = self.steps.changes(inner, inner_error, self.patterns, uncertain, self.survey.width)
            bound = self.steps.deviation(self.model, predicted, changes, start)
            self.rate = bound.rate
            if not bound.largest_error <= hopeless or not math.isfinite(bound.forcing.sum()):
                text = f"ρ = {bound.rate:.4g}: the patterns that may switch explain more than the whole loss"
                raise _NoProof(Obstacle.PATTERNS, text)
            if uncertain.sum() == size:
                break
            size = int(uncertain.sum())
            reach = Reach(predicted, bound, self.up, self.down, self.deviation)
            if not (reach.coarse(self.problem, self.survey.width) <= self.near.threshold).all():
                raise _NoProof(Obstacle.BEYOND_KEPT, "neurons may move beyond those kept", placed=False)
            self.pairs.mark(uncertain, bound, reach, ahead)
        else:
            raise _NoProof(Obstacle.OPEN, "the set of pairs that may switch did not close")
        self.switching |= uncertain | (self.patterns != self.near.patterns)
        self._close(predicted, bound)
        self.pairs.carry(uncertain, bound, reach)

    def _close(self, predicted: Predicted, bound: Flow) -> None:
        self.up = (self.up + predicted.up) * SLACK
        self.down = (self.down + predicted.down) * SLACK
        self.deviation = (self.deviation + bound.weight_norm) * SLACK
        self.local = np.maximum(self.local, np.maximum(predicted.local_up, predicted.local_down))
        self.local_deviation = max(self.local_deviation, bound.local_weight_norm)
        lengths = np.linalg.norm(predicted.residuals, axis=1) + self.model.inverse_norm * bound.errors
        self.log_bounds += [(self.round + t, math.log(max(size, 1e-300))) for t, size in enumerate(lengths)]
        self.round += predicted.rounds
        self.predicted_residual = predicted.residuals[-1]
        self.error = float(bound.errors[-1])

    def rebase(self) -> None:
        """Freeze the patterns anew where the prediction has arrived, and carry the error over to the new norm."""
        old_model, old_patterns = self.model, self.patterns
        patterns = self.steps.frozen_patterns(self.near, self.pairs.predicted_movements, old_patterns)
        changed = (patterns != old_patterns).any(axis=1)
        if changed.any():
            self.counts = self.counts + pattern_products(patterns[changed]) - pattern_products(old_patterns[changed])
            self.patterns = patterns
            self.model = RoundModel(self.problem.inner * (self.counts / self.survey.width), self.problem)
            transfer = spectral_norm(self.model.root @ old_model.inverse_root)
            pads = (3 * self.model.pad + old_model.root_gap) * self.model.norm * old_model.inverse_norm
            self.error = (transfer + pads) * self.error * SLACK
            self.pairs.rebase(self.model, patterns, old_patterns, self.error)

    def conclude(self) -> Conclusion:
        """Rate, constant and radius from what the segments have proved."""
        start, rate = math.log(self.survey.least_norm), math.log(self.rate)
        constant = math.exp(min(max(size - start - t * rate for t, size in self.log_bounds), 700.0))
        if constant >= math.exp(700.0):
            text = f"the rate {self.rate:.3g} of the tail says nothing about the rounds before it"
            raise _NoProof(Obstacle.TAIL, text, placed=False)
        own = self.problem.owner == np.arange(self.problem.clients.num_clients)[:, None]
        weights = float(np.linalg.norm(np.maximum(self.up, self.down) + self.local * own, axis=1).max())
        weights += self.deviation + self.local_deviation
        radius = self.problem.spectral * weights / math.sqrt(self.survey.width) * SLACK
        switching = pairs_of(self.near, self.switching)
        return Conclusion("path", self.rate, constant * SLACK, radius, switching=switching)
