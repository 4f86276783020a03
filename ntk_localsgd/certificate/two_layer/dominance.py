"""Theorem C: a certificate for every order of batches, participants and local steps, where samples dominate.

Each sample's residual is pulled down by itself and pushed by the others. If the comparison matrix of these pulls and
pushes is an M-matrix, one linear system bounds what every sample can ever add to the weights, whatever is drawn when.
Proof: ``docs/theory.md`` §5.6.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.certificate.model import Problem, RoundModel, split_norms
from ntk_localsgd.certificate.outcome import Conclusion, Obstacle, no_proof
from ntk_localsgd.certificate.rounding import euclidean_norm
from ntk_localsgd.certificate.schedule import Schedule
from ntk_localsgd.certificate.two_layer.counts import Counts
from ntk_localsgd.certificate.two_layer.energy import NotFalling, fall, reference_of
from ntk_localsgd.certificate.two_layer.neurons import (
    NearKinks,
    Survey,
    gram_changes,
    pairs_of,
)
from ntk_localsgd.certificate.two_layer.reach import signed_parts
from ntk_localsgd.errors import rounded_down
from ntk_localsgd.rounding import SLACK, UNIT, gamma

__all__ = ["Comparison", "Gained", "by_energy", "certify_dominance", "compare", "marked_pairs", "reach_of", "solve"]

# How rows bound what averaging adds (`compare`), in the order tried.
_RULES = ("smaller", "gap", "quotient")

# Sets of pairs tried until one closes; each adds a pair at least, and a dozen is usual.
_SWEEPS = 200


class Comparison(NamedTuple):
    """What samples do to each other's residuals at most, and to their own at least.

    ``diagonal``: D; ``largest``: hi_jj; ``equal`` and ``opposite``: pushes among residuals of equal and of opposite
    sign, N⁻ + X⁺ + gap and N⁺ + X⁻ + gap; ``total``: N⁺ + N⁻ + X + gap.
    """

    diagonal: Float[ndarray, " n"]
    largest: Float[ndarray, " n"]
    equal: Float[ndarray, "n n"]
    opposite: Float[ndarray, "n n"]
    total: Float[ndarray, "n n"]

    @property
    def signed(self) -> Float[ndarray, "2n 2n"]:
        """M₂."""
        own, cross = np.diag(self.diagonal) - self.equal, -self.opposite
        return np.block([[own, cross], [cross, own]])

    @property
    def unsigned(self) -> Float[ndarray, "n n"]:
        """M."""
        return np.diag(self.diagonal) - self.total


class Gained(NamedTuple):
    """p̄^±: bounds on the absolute weights that each sample gains, with positive and with negative residual."""

    up: Float[ndarray, " n"]
    down: Float[ndarray, " n"]

    def pushes(self, inner: Float[ndarray, " n"], error: float) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
        """What each sample adds at most to g_jr, upwards and downwards, by its inner products with sample j."""
        plus, minus = signed_parts(inner, error)
        return plus * self.up + minus * self.down, plus * self.down + minus * self.up


def compare(problem: Problem, schedule: Schedule, counts: Counts, width: int, rule: str) -> Comparison:
    """The comparison matrices of a set of uncertain pairs.

    Row j bounds what the average adds beyond the client's own steps either by the gap,
    (1 − κ)|G_ji| max_s #{r : (j, r) ∈ U, a_r = s, i on}/m, or by the quotient X_ji = (hi_jj/lo_jj) hi_ji − lo_ji, which
    needs κ hi_jj/lo_jj ≤ 1. A client of one local step needs neither.

    Parameters
    ----------
    rule
        "gap", "quotient" wherever it is allowed, or the "smaller" of both.
    """
    size, same = np.abs(problem.inner), problem.same_client
    above, below = size + problem.inner_error, np.maximum(size - problem.inner_error, 0)
    high, low = above * (counts.possible / width) * SLACK, below * (counts.certain / width) / SLACK
    diagonal, largest, off = np.diagonal(low).copy(), np.diagonal(high).copy(), ~np.eye(len(size), dtype=bool)
    kappa, local = schedule.weight, (schedule.steps > 1)[problem.owner]
    # 1 − κ is off by one rounding of κ and its own.
    gap = max(1 - kappa + 4 * UNIT, 0) * above * (counts.uncertain / width) * SLACK
    gap = np.where(same & local[:, None] & (kappa < 1), gap, 0)
    quotient = np.divide(largest, diagonal, out=np.full_like(largest, np.inf), where=diagonal > 0) * SLACK
    allowed = local & (kappa * quotient <= 1 - 1e-12)
    crossing = np.where(allowed[:, None] & off & same, np.where(allowed, quotient, 0)[:, None] * high - low, 0)
    crossing = np.maximum(crossing, 0) * SLACK
    if rule == "smaller":
        allowed &= crossing.sum(axis=1) < gap.sum(axis=1)
    elif rule == "gap":
        allowed[:] = False
    gap, crossing = np.where(allowed[:, None], 0, gap), np.where(allowed[:, None], crossing, 0)
    # Both where rounding leaves the sign of an inner product open.
    positive, negative = (off & (side >= -problem.inner_error) for side in (problem.inner, -problem.inner))
    equal = np.where(negative, high, 0) + np.where(positive, crossing, 0) + gap
    opposite = np.where(positive, high, 0) + np.where(negative, crossing, 0) + gap
    total = np.where(off, high, 0) + crossing + gap
    return Comparison(diagonal, largest, equal * SLACK, opposite * SLACK, total * SLACK)


def solve(matrix: Float[ndarray, "k k"], right: Float[ndarray, " k"]) -> Float[ndarray, " k"] | None:
    """p ≥ 0 with M p ≥ ``right``, for a matrix without positive entries off the diagonal that is an M-matrix.

    None if that cannot be shown: M v ≥ ½ for some v > 0 makes it one, so that M x ≤ ``right`` implies x ≤ p. Both are
    checked with the rounding of the products, γ_{k+2}|M||p|; how p was found does not matter.
    """
    try:
        guess, ones = np.linalg.solve(matrix, np.stack([right, np.ones_like(right)], axis=1)).T
    except np.linalg.LinAlgError:
        return None
    size, rounding = np.abs(matrix), gamma(len(matrix) + 2) * SLACK
    if not ((ones > 0).all() and (matrix @ ones - rounding * (size @ ones) >= 0.5).all()):
        return None
    bound = np.maximum(guess, 0)
    for _ in range(3):
        short = float((right - (matrix @ bound - rounding * (size @ bound))).max())
        if short < 0:
            return bound
        bound = bound + 4 * (short + UNIT * float(right.max())) * ones
    return None


def _gained(comparison: Comparison, survey: Survey) -> Gained | None:
    parts = [np.maximum(side, 0) + survey.residual_error for side in (survey.residual, -survey.residual)]
    bound = solve(comparison.signed, np.concatenate(parts) * SLACK)
    return None if bound is None else Gained(*np.split(bound, 2))


def reach_of(problem: Problem, schedule: Schedule, survey: Survey) -> Float[ndarray, " n"] | None:
    """How far pre-activations may go while no pattern changes, by sample; None where no bound exists even then."""
    nothing = np.zeros_like(problem.inner)
    counts = Counts(survey.counts.astype(np.float64), survey.counts.astype(np.float64), nothing)
    gained = _gained(compare(problem, schedule, counts, survey.width, "gap"), survey)
    return None if gained is None else _coarse(problem, gained, survey.width)


def _coarse(problem: Problem, gained: Gained, width: int) -> Float[ndarray, " n"]:
    """≥ what a pre-activation of any neuron moves by."""
    moves = [np.sum(gained.pushes(row, problem.inner_error), axis=1).max() for row in problem.inner]
    return np.array(moves) / math.sqrt(width) * SLACK


def certify_dominance(
    problem: Problem,
    schedule: Schedule,
    survey: Survey,
    near: NearKinks,
    *,
    delta: float,
    model: RoundModel | None = None,
) -> Conclusion:
    """Theorem C with the first rule that closes: no pair outside the set named ever changes sides, in any order.

    Parameters
    ----------
    problem, schedule, survey, near
        The run's constants, what a round draws, the residual, and the neurons near a kink.
    delta
        Where something is drawn, the rate holds with probability ≥ 1 − δ; convergence does not depend on what is.
    model
        Of a run in which nothing is drawn: its rate ‖DBD⁻¹‖₂ + growth for the set found, if that is the better one.

    Returns
    -------
    Conclusion
        ``rate`` and ``constant`` from N_w(t) = Σ w_i|r_i(t)|, which falls by 1 − (η_g η/K) min_i p₁γ_i/w_i a round, or
        from V = rᵀΘ⁻¹r, where its mean rate is the smaller one.
    """
    ends = []
    for rule in _RULES:
        ends.append(_close(problem, schedule, survey, near, rule, delta, model))
        if ends[-1].certified or ends[-1].obstacle is not Obstacle.PATTERNS:
            break
    return ends[-1] if ends[-1].certified else ends[0]


def _close(
    problem: Problem, schedule: Schedule, survey: Survey, near: NearKinks, rule: str, delta: float,
    model: RoundModel | None,
) -> Conclusion:  # fmt: skip
    """Enlarge the set of pairs that may change until nothing is added."""
    uncertain = np.zeros_like(near.patterns)
    for _ in range(_SWEEPS):
        comparison = compare(problem, schedule, Counts.of(survey, near, uncertain), survey.width, rule)
        largest = float(comparison.largest.max())
        if not schedule.step_size * largest * SLACK <= 1:
            allowed = rounded_down(1 / largest / SLACK)
            text = f"step size {schedule.step_size:.6g} exceeds {allowed}, the inverse of the largest Θ_ii with U"
            return no_proof("dominance", Obstacle.UNSUITABLE, text)
        gained = _gained(comparison, survey)
        if gained is None:
            return no_proof("dominance", Obstacle.PATTERNS, _not_dominant(comparison, int(uncertain.sum())))
        if not (_coarse(problem, gained, survey.width) <= near.threshold).all():
            return no_proof("dominance", Obstacle.BEYOND_KEPT, "neurons may move beyond those that were kept")
        marked = uncertain | marked_pairs(problem, near, uncertain, gained, survey.width)
        if (marked == uncertain).all():
            end = _rates(problem, schedule, survey, comparison, gained, delta)
            end = by_energy(problem, schedule, survey, near, uncertain, end)
            if model is not None and end.certified:
                end = _contracting(problem, survey, near, uncertain, model, end)
            return end._replace(switching=pairs_of(near, uncertain))
        uncertain = marked
    return no_proof("dominance", Obstacle.OPEN, "the set of pairs that may switch did not close")


def _not_dominant(comparison: Comparison, pairs: int) -> str:
    """In words: where the others push most, beside what the sample does itself."""
    pushes = comparison.total.sum(axis=1) / np.maximum(comparison.diagonal, np.finfo(float).tiny)
    row = int(np.argmax(pushes))
    return (
        f"samples may push each other more than themselves ({pushes[row]:.3g} times for row {row + 1}, counted from 1, "
        f"with {pairs} pairs that may switch)"
    )


def marked_pairs(
    problem: Problem, near: NearKinks, uncertain: Bool[ndarray, "N n"], gained: Gained, width: int
) -> Bool[ndarray, "N n"]:
    """Pairs whose pre-activation z − (a/√m) g may cross the kink, or whose sign rounding leaves open."""
    possible, marked = near.patterns | uncertain, np.zeros_like(uncertain)
    for j, (rows, z, error) in enumerate(zip(near.rows, near.values, near.errors, strict=True)):
        up, down = (possible[rows] @ push for push in gained.pushes(problem.inner[j], problem.inner_error))
        signs, pad = near.signs[rows], error + 8 * UNIT * np.abs(z)
        fall, rise = (np.where(signs > 0, *pair) / math.sqrt(width) * SLACK for pair in ((up, down), (down, up)))
        # In this form a bound that is no number marks its pair.
        marked[rows, j] = ~np.where(near.patterns[rows, j], z - pad - fall > 0, z + pad + rise < 0)
    return marked


def _rates(
    problem: Problem, schedule: Schedule, survey: Survey, comparison: Comparison, gained: Gained, delta: float
) -> Conclusion:
    """The rate of N_w; any w > 0 with Mᵀw > 0 is sound, M's left Perron vector weighted by 1/p₁ is best."""
    matrix, shares = comparison.unsigned.T, schedule.shares[problem.owner]
    factors, w = scipy.linalg.lu_factor(matrix, check_finite=False), np.ones(len(matrix))
    for _ in range(100):
        w = scipy.linalg.lu_solve(factors, w / shares, check_finite=False)
        w /= w.max()
    falls = (matrix @ w - gamma(len(w) + 2) * (np.abs(matrix) @ np.abs(w)) * SLACK) / SLACK
    if not ((w > 0).all() and (falls > 0).all()):
        return no_proof("dominance", Obstacle.TAIL, "no weights of the samples make the loss fall in every round")
    step = schedule.server_step_size * schedule.step_size / schedule.num_clients
    rate = 1 - step * float((shares * falls / w).min()) / SLACK + 4 * UNIT
    if not rate < 1:
        return no_proof("dominance", Obstacle.TAIL, "the loss falls by less than float64 can tell in a round")
    size = w @ (np.abs(survey.residual) + survey.residual_error) / w.min() / survey.least_norm * SLACK
    chance = 1.0 if schedule.certain else delta
    total = np.maximum(gained.up, gained.down)
    moved = min(
        problem.spectral * euclidean_norm(total),
        float(total @ np.sqrt(np.diagonal(problem.inner) + problem.inner_error)),
    )
    radius = moved / math.sqrt(survey.width) * SLACK
    return Conclusion("dominance", rate, float(size) / chance * SLACK, radius, delta=0.0 if schedule.certain else delta)


def by_energy(
    problem: Problem, schedule: Schedule, survey: Survey, near: NearKinks, uncertain: Bool[ndarray, "N n"],
    end: Conclusion,
) -> Conclusion:  # fmt: skip
    """The same conclusion at the mean rate of V = rᵀΘ⁻¹r (§5.7) for the set found, if that is smaller."""
    if not end.certified:
        return end
    found = reference_of(problem, survey, near, uncertain)
    energy = None if found is None else fall(problem, schedule, found)
    if found is None or energy is None or isinstance(energy, NotFalling):
        return end
    rate = math.sqrt(energy.mean) * SLACK
    if not rate < min(end.rate, 1):
        return end
    start = found.start(survey.residual, survey.residual_error)
    constant = math.sqrt(found.largest * start / (end.delta or 1)) / survey.least_norm * SLACK
    return end._replace(rate=rate, constant=constant)


def _contracting(
    problem: Problem, survey: Survey, near: NearKinks, uncertain: Bool[ndarray, "N n"], model: RoundModel,
    end: Conclusion,
) -> Conclusion:  # fmt: skip
    """The same conclusion at the rate of the frozen round and what pairs of the set add to it, if that is smaller."""
    changes = gram_changes(problem.inner, problem.inner_error, near.patterns, uncertain, survey.width)
    rate = (model.contraction + model.chain(*split_norms(changes, problem)).growth) * SLACK
    if not rate < min(end.rate, 1):
        return end
    length = model.length(survey.residual, survey.residual_error)
    constant = model.inverse_norm * length / survey.least_norm * SLACK
    return end._replace(rate=rate, constant=constant)
