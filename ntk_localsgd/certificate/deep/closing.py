"""The certificate: bounds on all walks so far, enlarged until they imply themselves; then they hold for ever."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.certificate.deep.backward import Backward, backward
from ntk_localsgd.certificate.deep.forward import MovedPushes, remainder
from ntk_localsgd.certificate.deep.free import FreeTriples
from ntk_localsgd.certificate.deep.frozen import Frozen, Weights
from ntk_localsgd.certificate.deep.kernel import kernel_changes
from ntk_localsgd.certificate.deep.path import Deviation, Path, Weighing, leverage
from ntk_localsgd.certificate.deep.sector import MOST_NUMBERS
from ntk_localsgd.certificate.deep.state import Moves, State, moves
from ntk_localsgd.certificate.deep.steps import PROVED, DeepSteps
from ntk_localsgd.certificate.model import RoundModel, Rounds, Unsuitable
from ntk_localsgd.certificate.outcome import Conclusion, Obstacle, no_proof
from ntk_localsgd.rounding import SLACK, UNIT, gamma

__all__ = ["Argument", "certify_deep"]

# A state that has not closed after this many sweeps, each of them enlarging it by this factor, is hopeless.
_SWEEPS, _ENLARGE = 60, 1.02

# Where more than this share of all triples, and more than this number, may switch, a state is given up as hopeless.
_HOPELESS, _MANY = 0.5, 1000

# Times that slopes are set to ½ where signs may change, and the share of triples beyond which that is hopeless.
_REFINEMENTS, _MOST_FREE = 8, 0.1


class Sweep(NamedTuple):
    """What one sweep derives from a state; ``state`` is None where no rate below 1 follows."""

    state: State | None
    moves: Moves
    gradients: Backward
    weighing: Weighing


def certify_deep(
    weights: Weights,
    inputs: Float[ndarray, "n d"],
    targets: Float[ndarray, " n"],
    rounds: Rounds,
    steps: DeepSteps = PROVED,
    frozen: Frozen | None = None,
) -> Conclusion:
    """Close the argument with the slopes at the weights, then with free slopes where signs may change.

    Parameters
    ----------
    weights, inputs, targets
        The network, and one row and target a (sample, output).
    frozen
        The frozen network with the slopes at the weights, if it is known already.

    Raises
    ------
    Unsuitable
        If the frozen round at the weights contracts in no norm.
    """
    frozen = steps.frozen(weights, inputs) if frozen is None else frozen
    best, free = None, -1
    for attempt in range(_REFINEMENTS + 1):
        try:
            argument = Argument(frozen, targets, rounds, steps)
        except Unsuitable:
            if best is None:
                raise
            break
        result = argument.close()
        if best is None or (not result.certified, result.rate) < (not best.certified, best.rate):
            best = result
        if result.certified and attempt:
            break
        half = argument.promising | frozen.half
        if half.sum() == free:  # the same again would stop where this one did
            half = half | argument.latest
        if attempt == _REFINEMENTS or half.sum() == free or half.sum() > _MOST_FREE * half.size:
            break
        free = int(half.sum())
        frozen = steps.frozen(weights, inputs, half)
    assert best is not None
    return best


class Argument:
    """The map from bounds to what follows from them, for one choice of slopes.

    Raises
    ------
    Unsuitable
        If the frozen round contracts in no norm.
    """

    def __init__(
        self, frozen: Frozen, targets: Float[ndarray, " n"], rounds: Rounds, steps: DeepSteps = PROVED
    ) -> None:
        self.frozen, self.rounds, self.steps = frozen, rounds, steps
        #: Triples that may switch: in the last sweep with ρ < 1 (or the first), and in the last one.
        self.promising: Bool[ndarray, "L n m"] = frozen.half
        self.latest = frozen.half
        residual = frozen.outputs - targets
        error = (frozen.output_error + UNIT * np.abs(residual)) * SLACK
        #: Triples whose slope is free and whose switches the rate does not take from E.
        self.free = FreeTriples.of(frozen, MOST_NUMBERS // (2 * rounds.local_steps))
        self.path = Path(RoundModel(frozen.gram, rounds), residual, error, steps.views, self.free)
        rows = np.moveaxis(frozen.response, 2, 3)
        self.low, self.high = self._linear(rows)
        inverse = self.path.inverse
        self._response = [leverage(inverse, r, self.free) for r in rows]
        self._hidden = [leverage(inverse, r, self.free) for r in frozen.hidden_rows]
        self._kernel = leverage(inverse, frozen.kernel_rows, self.free)
        largest = [self.path.largest(r) for r in frozen.hidden_rows]
        self._hidden_path = np.array(largest).reshape(frozen.hidden_rows.shape[:3])
        self._kernel_path = self.path.largest(frozen.kernel_rows)
        self._moved_pushes = MovedPushes(frozen)

    def _linear(self, rows: Float[ndarray, "L n m n"]) -> tuple[Float[ndarray, "L n m"], Float[ndarray, "L n m"]]:
        """Extremes of −Σ_j a_j T_ij over the kept points of each sample's view."""
        low, high = np.empty(rows.shape[:3]), np.empty(rows.shape[:3])
        for i, client in enumerate(self.rounds.owner):
            values = -rows[:, i] @ self.path.points[client].T
            low[:, i], high[:, i] = values.min(axis=-1), values.max(axis=-1)
        return low, high

    def _start(self) -> State:
        """The predicted path alone."""
        predicted, n = self.path.predicted, len(self.rounds.owner)
        number = 0 if self.free is None else len(self.free.sample)
        nothing = Deviation.alike(0.0, n, number, spread=self.path.spread)
        averaged, local = predicted.up + predicted.down, predicted.local_up + predicted.local_down
        still = np.zeros_like(self.low)
        return self._state(nothing, still, still, np.zeros(self.low.shape[:2]), averaged, local)

    def _state(
        self,
        deviation: Deviation,
        entries: Float[ndarray, "L n m"],
        dense_entries: Float[ndarray, "L n m"],
        dense: Float[ndarray, "L n"],
        averaged: Float[ndarray, " n"],
        local: Float[ndarray, " n"],
    ) -> State:
        moved = np.stack([lever.bound(deviation) for lever in self._response])
        hidden = [lever.bound(deviation) for lever in self._hidden]
        return State(
            around=moved + entries + dense_entries,
            deviation=moved,
            remainder=entries,
            dense=dense,
            hidden_deviation=np.array(hidden).reshape(self._hidden_path.shape),
            kernel_deviation=self._kernel.bound(deviation),
            averaged=averaged,
            local=local,
        ).padded()

    def seen(self, averaged: Float[ndarray, " n"], local: Float[ndarray, " n"]) -> Float[ndarray, "n n"]:
        """A_ij ≥ Σ|weight of j| in the view of i's client."""
        return averaged + np.where(self.rounds.same_client, local, 0.0)

    def sweep(self, state: State) -> Sweep:
        """What follows if the state bounds all walks so far."""
        frozen, steps = self.frozen, self.steps
        seen = self.seen(state.averaged, state.local)
        uncertain = steps.uncertain(frozen, self.low - state.around, self.high + state.around)
        moved = moves(frozen, self.low, self.high, state, uncertain)
        hidden = steps.hidden(frozen, moved, state, seen, self._hidden_path)
        gradients = backward(frozen, moved, seen, steps.moved_rest, steps.cross)
        changes = kernel_changes(frozen, moved, state, seen, hidden, gradients, self._kernel_path)
        others = None if self.free is None else steps.rest(self.free, frozen, changes, hidden, gradients)
        weighing = steps.weigh(self.path, changes, others)
        if not math.isfinite(weighing.averaged.sum() + weighing.local.sum()):
            return Sweep(None, moved, gradients, weighing)
        seen = self.seen(weighing.averaged, weighing.local)
        pushes = steps.switch_pushes(frozen, gradients, seen) + self._moved_pushes(seen)
        rest = remainder(frozen, moved, hidden, gradients, seen, pushes)
        following = self._state(
            weighing.deviation, rest.entries, rest.dense_entries, rest.dense, weighing.averaged, weighing.local
        )
        return Sweep(following, moved, gradients, weighing)

    def close(self) -> Conclusion:
        """Enlarge the state until it implies itself."""
        if not self.path.least > 0:
            return no_proof("path", Obstacle.ARRIVED, "the residual is rounding noise: the run has arrived")
        state, rate = self._start(), math.inf
        for number in range(_SWEEPS):
            likely = self.steps.uncertain(self.frozen, self.low - state.around, self.high + state.around)
            if likely.sum() > max(_MANY, _HOPELESS * likely.size):
                self.latest = likely
                text = f"{int(likely.sum())} of {likely.size} patterns may switch"
                return no_proof("path", Obstacle.PATTERNS, text, rate=rate)
            with np.errstate(over="ignore", invalid="ignore"):  # bounds without limit certify nothing
                found = self.sweep(state)
            rate, self.latest = found.weighing.rate, found.moves.uncertain
            if number == 0 or rate < 1:
                self.promising = found.moves.uncertain
            if found.state is None:
                switching = int(found.moves.uncertain.sum())
                text = f"ρ = {rate:.4g}: the {switching} patterns that may switch explain more than the whole loss"
                return no_proof("path", Obstacle.PATTERNS, text, rate=rate)
            if found.state.holds_in(state):
                return self._conclude(found)
            state = state.enlarged(found.state, _ENLARGE)
        return no_proof("path", Obstacle.OPEN, "the set of patterns that may switch did not close", rate=rate)

    def _conclude(self, found: Sweep) -> Conclusion:
        weighing = found.weighing
        if weighing.constant >= math.exp(700.0):
            text = f"the rate {weighing.rate:.3g} of the tail says nothing about the rounds before it"
            return no_proof("path", Obstacle.TAIL, text, rate=weighing.rate)
        switching = np.argwhere(found.moves.uncertain)[:, [1, 0, 2]]
        return Conclusion("path", weighing.rate, weighing.constant, self._radius(found), switching=switching)

    def _radius(self, found: Sweep) -> float:
        """≥ ‖W' − W‖_F of all layers: ‖Jᵀa‖ along the path and of what a deviates by, and changes of gradients."""
        frozen, weighing, n = self.frozen, found.weighing, len(self.rounds.owner)
        size = weighing.averaged + weighing.local  # in the view of the sample's own client, which is the largest
        hidden, lower = frozen.hidden_norms, frozen.lower_norms
        changed, lengths = found.moves.lengths[:-1], found.gradients.lengths
        gradients = (lengths * (hidden[:-1] + changed) + lower * changed) @ size
        # ‖Jᵀv‖² = vᵀJJᵀv; the stored Θ and its root are off by little.
        values, vectors = np.linalg.eigh(frozen.gram)
        root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
        sizes = np.einsum("li,lj->ij", hidden[:-1] * lower, hidden[:-1] * lower)
        off = frozen.gram_error + 3 * frozen.product * sizes
        off = off + np.abs(root @ root - frozen.gram) + gamma(n + 2) * np.trace(frozen.gram)
        deviation = leverage(self.path.inverse, np.broadcast_to(root, (n, n, n)), self.free).bound(weighing.deviation)
        along = max(float(self.path.energy(points, frozen.gram).max()) for points in self.path.points)
        total = along + np.linalg.norm(deviation, axis=1).max() + np.linalg.norm(gradients)
        return float(total + 4 * np.sqrt(size @ off @ size)) * SLACK
