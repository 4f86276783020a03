"""Sums of |residuals| over all rounds, entry by entry: the rounds as one linear map, its feedback as a small gain.

``docs/theory.md`` §5.5, *Sums over rounds*. A bound on ‖De(t)‖ that falls by a rate just below 1 adds up to many times
what errors do, which is spread over few directions; here no rate occurs.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.certificate.deep.free import FreeTriples
from ntk_localsgd.certificate.deep.unrolled import unrolled_round
from ntk_localsgd.certificate.flow import Predicted
from ntk_localsgd.certificate.model import RoundModel
from ntk_localsgd.rounding import SLACK, TINY, gamma

__all__ = ["SmallGain", "Summed", "fixed_bound"]

# Rounds are added up one by one until those that follow are this share of them, or until the work is this many entries.
# No more rounds than the last: rounds that contract slowly would take hours one by one, and `SLACK` covers sums of 2²².
_SMALL, _WORK, _LONGEST = 0.1, 2**30, 2**15

# Matrices with more entries are not formed.
_MOST = 2**20

# Share by which a solution exceeds what it must, so that rounding leaves it one.
_ROOM = 1e-7


class Summed(NamedTuple):
    """Bounds over all rounds: ``weights`` ≥ Σ|weight| of every sample in the averaged steps; the rest as in `Flow`."""

    weights: Float[ndarray, " n"]
    forcing: Float[ndarray, " n"]
    pushes: Float[ndarray, " p"]
    gains: Float[ndarray, " p"]


class SmallGain:
    """The response of all rounds to what changes of the kernel add to them: N ≥ Σ_j|C B^j Q| + |F|.

    C, F and Q belong to `unrolled_round`: o = Cr + Fp, r(t+1) = Br + Qp. ``start`` ≥ Σ_t of |o| without any p.
    """

    def __init__(
        self,
        model: RoundModel,
        predicted: Predicted,
        residual_error: Float[ndarray, " n"],
        free: FreeTriples | None,
    ) -> None:
        self.model, self.free = model, free
        self.response = self.start = None
        problem, n = model.problem, len(model.gram)
        p = 0 if free is None else len(free.sample)
        numbers = problem.local_steps * (n + p)
        if numbers * (numbers + n) > _MOST or not model.contraction < 1:
            return
        exact, larger = unrolled_round(model, free), unrolled_round(model, free, majorant=True)
        reads, direct = exact.outputs[:, :n], exact.outputs[:, n:]
        # Rounding of the unrolled round, of its products with V and of V's own start.
        share = 3 * gamma((problem.local_steps + 4) * (n + 2 * p + 8))
        sizes = np.linalg.norm(larger.outputs[:, :n], axis=1) * SLACK
        vectors = np.concatenate([exact.end[:, n:], np.eye(n)], axis=1)
        off = np.concatenate([share * np.linalg.norm(larger.end[:, n:], axis=0), np.zeros(n)])
        total, lengths = np.zeros((len(reads), vectors.shape[1])), np.zeros(vectors.shape[1])
        one = np.empty_like(total)
        for _ in range(min(max(1, _WORK // total.size), _LONGEST)):
            total += np.abs(np.matmul(reads, vectors, out=one), out=one)
            lengths += np.linalg.norm(vectors, axis=0)
            vectors = model.operator @ vectors
            if np.abs(vectors[:, -n:]).sum(axis=1).max() <= _SMALL:
                break
        # ‖D(V_j − B^jQ)‖ falls by the contraction, and every product adds to it: the sum over j, in the 2-norm.
        off = model.norm * (off + 2 * model.operator_error * lengths) / (1 - model.contraction) * SLACK
        off = model.inverse_norm * off
        total = (total + np.outer(sizes, share * lengths + off)) * SLACK
        left = (np.abs(vectors) + off) * SLACK
        # Σ_j|CB^j| ≤ R where R ≥ (the first J of them) + R|B^J|.
        reach = fixed_bound(left[:, -n:].T, total[:, -n:].T)
        if reach is None:
            return
        reach = reach.T
        known = np.abs(direct) + share * larger.outputs[:, n:]
        self.response = (known + total[:, :-n] + reach @ left[:, :-n]) * SLACK
        path = predicted.residuals
        length = float(np.linalg.norm(path[:-1], axis=1).sum()) * SLACK
        self._defect = 2 * model.operator_error * length * SLACK
        along = np.abs(path[:-1] @ reads.T).sum(axis=0) + sizes * share * length
        self.start = (along + reach @ (np.abs(path[-1]) + residual_error + self._defect)) * SLACK + TINY

    def __call__(self, rest: Float[ndarray, "n n"]) -> Summed | None:
        """Where |Θ̃ − Θ| ≤ ``rest`` but for the free triples; None where the gain is not small."""
        if self.response is None or self.start is None or not np.isfinite(rest).all():
            return None
        problem, n = self.model.problem, len(rest)
        eta, tau, num_clients = problem.step_size, problem.local_steps, problem.clients.num_clients
        found = fixed_bound(self.response @ self._feedback(rest) * SLACK, self.start[:, None])
        if found is None:
            return None
        residuals = found[: tau * n, 0].reshape(tau, n).sum(axis=0)
        weights = eta / num_clients * residuals * SLACK
        sample = np.zeros(0, np.int64) if self.free is None else self.free.sample
        averaged = found[len(found) - len(sample) :, 0]
        return Summed(
            weights,
            forcing=(rest @ weights + self._defect) * SLACK,
            pushes=weights[sample] / 2 * SLACK,
            gains=averaged / (2 * num_clients) * SLACK,
        )

    def _feedback(self, rest: Float[ndarray, "n n"]) -> Float[ndarray, "i o"]:
        """Π with |p| ≤ Π|o|: y' ≤ ½|r_{i(q)}|, u ≤ E_in|r| + ½Σ_q|local|, w ≤ ηEΣ|r| + ½Σ_q|averaged|."""
        problem, n = self.model.problem, len(rest)
        tau, sample = problem.local_steps, np.zeros(0, np.int64) if self.free is None else self.free.sample
        p, inside = len(sample), np.where(problem.same_client, rest, 0.0)
        half = (sample[:, None] == np.arange(n)) / 2
        shape = (tau * p + tau * n, tau * n + tau * p)
        feedback, steered, seen = np.zeros(shape), tau * p, tau * n
        for k in range(tau):
            own = slice(k * n, (k + 1) * n)
            feedback[k * p : (k + 1) * p, own] = half
            feedback[shape[0] - n :, own] = problem.step_size * rest
            if k + 1 < tau:
                kicked = slice(steered + k * n, steered + (k + 1) * n)
                feedback[kicked, own] = inside
                feedback[kicked, seen + k * p : seen + (k + 1) * p] = half.T
        feedback[shape[0] - n :, shape[1] - p :] = half.T
        return feedback


def fixed_bound(matrix: Float[ndarray, "s s"], start: Float[ndarray, "s c"]) -> Float[ndarray, "s c"] | None:
    """X ≥ 0 with AX + S ≤ X, rounding included, for A ≥ 0 and S ≥ 0; None where none was found.

    All X' ≥ 0 with X' ≤ AX' + S are then ≤ X where S > 0, and Σ_j A^jS ≤ X in any case.
    """
    wider = 1 + _ROOM
    try:
        found = np.linalg.solve(np.eye(len(matrix)) - wider * matrix, wider * start)
    except np.linalg.LinAlgError:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        holds = (found >= 0) & ((matrix @ found + start) * SLACK <= found) & np.isfinite(found)
    return found if holds.all() else None
