"""A round with free slopes as a linear map with bounded feedback, averaged and local steps together: the S-procedure.

``docs/theory.md`` §5.5. What a free triple q adds to residuals is σ_q times a linear function of them, |σ_q| ≤ ½, for
each local step, each local secant and the averaged secant. One matrix of norm ≤ 1 bounds the round for all σ at once.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import minimize

from ntk_localsgd.certificate.deep.free import FreeTriples
from ntk_localsgd.certificate.deep.unrolled import unrolled_round
from ntk_localsgd.certificate.flow import Separated
from ntk_localsgd.certificate.growth import EntrywiseGrowth
from ntk_localsgd.certificate.model import LocalChain, RoundModel
from ntk_localsgd.certificate.rounding import spectral_norm
from ntk_localsgd.rounding import SLACK, gamma

__all__ = ["MOST_NUMBERS", "SectorRound", "Unrolled", "unrolled"]

#: σ's of a round, 2τ a triple, up to which the matrix is formed.
MOST_NUMBERS = 240

# Logarithms of the three scales that are tried first, and evaluations that improve the best of them.
_GRID, _EVALUATIONS = (0.0, 2.0, 4.0, 6.0, 8.0), 80

# Shares by which the rate exceeds what the scales allow in exact arithmetic, the smallest first.
_ROOM = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4)


class Unrolled(NamedTuple):
    """De(t+1) and the N = 2τp arguments z of the feedback y = σz as maps of (e, y), y = (y', y^loc, y^avg).

    y'_{q,k} = σ'r^k_{i(q)} (τ steps), y^loc_{q,k} (τ − 1 of them) and y^avg_q (1) multiply the secants' slopes.
    """

    end: Float[ndarray, "n n+N"]
    arguments: Float[ndarray, "N n+N"]


def unrolled(model: RoundModel, free: FreeTriples, *, majorant: bool = False) -> Unrolled:
    """The round of `unrolled_round` where y^loc and y^avg are all that is added to its steps, at their own samples.

    ``majorant``: with absolute values.
    """
    whole = unrolled_round(model, free, majorant=majorant)
    tau, n, p = model.problem.local_steps, len(model.gram), len(free.sample)
    steered, kicked = n + tau * p, n + tau * p + (tau - 1) * n
    kicks = steered + n * np.arange(tau - 1)[:, None] + free.sample
    columns = np.concatenate([np.arange(steered), kicks.ravel(), kicked + free.sample])
    arguments = np.concatenate([whole.residuals[:, free.sample], whole.local, whole.averaged[None]])[..., columns]
    root = np.abs(model.root) if majorant else model.root
    return Unrolled(root @ whole.end[:, columns], arguments.reshape(2 * tau * p, len(columns)))


class SectorRound:
    """The contraction of a round for every |σ| ≤ ½, and what the rest of E adds to it.

    Attributes
    ----------
    contraction
        ρ_0 with ‖De(t+1)‖ ≤ ρ_0‖De(t)‖ where E is made up by the free triples; infinite where none was found.
    """

    def __init__(self, model: RoundModel, growth: EntrywiseGrowth, free: FreeTriples) -> None:
        self.model, self.growth, self.free = model, growth, free
        self.contraction = math.inf
        effects, n = free.effects, len(model.gram)
        sizes, places = np.linalg.norm(effects, axis=1), np.eye(n)[free.sample]
        # D itself is stored; M and J are known up to the pads of `RoundModel`.
        scale = model.problem.step_size * model.problem.local_steps * model.inverse_norm
        moved = np.linalg.norm(effects @ model.weights @ model.inverse_root, axis=1)
        self._norms = (
            (np.linalg.norm(effects @ model.root, axis=1) + model.pad * model.norm * sizes) * SLACK,
            (np.linalg.norm(places @ model.root, axis=1) + model.pad * model.norm) * SLACK,
            (moved + 2 * (model.pad + model.root_gap) * scale * sizes) * SLACK,
        )
        stored = unrolled(model, free)
        started = Unrolled(*(x @ _with_start(model.inverse_root, x.shape[1]) for x in stored))
        scales = _scales(started, n, model.problem.local_steps, len(free.sample))
        if scales is None:
            return
        self._root = np.sqrt(scales)
        rate, matrix = _scaled(started, n, self._root)
        error = self._error(stored, n)
        # The matrix is the stored one: its true counterpart is within ``error`` in norm.
        for room in _ROOM:
            wider = rate * (1 + room)
            divided = matrix / np.where(np.arange(matrix.shape[1]) < n, wider, 1.0)
            if spectral_norm(divided) + error / min(wider, 1.0) <= 1:
                self.contraction = wider
                break
        self._feedback = spectral_norm(matrix[n:, n:]) + error
        self._argument = spectral_norm(matrix[n:, :n]) + error

    def _error(self, stored: Unrolled, n: int) -> float:
        """≥ ‖the scaled matrix − that of exact arithmetic‖, with D⁻¹ in place of J."""
        model, tau = self.model, self.model.problem.local_steps
        larger = unrolled(model, self.free, majorant=True)
        size = stored.end.shape[1]
        # Each of τ steps, and the two that follow, are sums of fewer than n + 2p + 8 products.
        share = gamma((tau + 4) * (n + 2 * len(self.free.sample) + 8))
        by_start = np.concatenate([larger.end, 0.5 * self._root[:, None] * larger.arguments])
        by_start = by_start * np.concatenate([np.ones(n), 1 / self._root])
        products = by_start @ np.abs(_with_start(model.inverse_root, size))
        inverse = float(np.linalg.norm(by_start[:, :n])) * model.root_gap * model.inverse_norm
        return (2 * share * float(np.linalg.norm(products)) + inverse) * SLACK

    def separated(self, changes: Float[ndarray, "n n"], rest: Float[ndarray, "n n"]) -> Separated:
        """What |Θ̃ − Θ| ≤ ``changes``, and ≤ ``rest`` but for the free triples, means for a run."""
        return Separated(
            rest,
            self.free.sample,
            self.free.effects,
            self.free.products,
            *self._norms,
            rate=functools.partial(self.rate, changes, rest),
        )

    def rate(self, changes: Float[ndarray, "n n"], rest: Float[ndarray, "n n"], chain: LocalChain) -> float:
        """≥ ‖De(t+1)‖/‖De(t)‖ where |Θ̃ − Θ| ≤ ``changes``, and ≤ ``rest`` but for the free triples.

        ``chain``: of ``changes``.
        """
        finite = bool(np.isfinite(changes).all() and np.isfinite(rest).all() and np.isfinite(chain.steps).all())
        if not (finite and self.contraction < math.inf and self._feedback < 1):
            return math.inf
        added = self.growth(rest, chain, changes)
        moved = self._moved(changes, rest)
        if not math.isfinite(added + moved):
            return math.inf
        argument = (self._argument + self._feedback * moved) / (1 - self._feedback) * SLACK
        return (math.sqrt(self.contraction**2 + 2 * argument * moved + moved**2) + added) * SLACK

    def _moved(self, changes: Float[ndarray, "n n"], rest: Float[ndarray, "n n"]) -> float:
        """≥ ‖½Λ^{1/2} of what the rest of E adds to z‖ for ‖De‖ = 1."""
        model, free = self.model, self.free
        problem, p, tau = model.problem, len(free.sample), self.model.problem.local_steps
        eta, inside = problem.step_size, np.where(problem.same_client, rest, 0.0)
        reached = self.growth.responses(changes)
        if len(reached) < tau:
            return math.inf
        pushes = [inside @ felt for felt in reached]
        pads = float(np.linalg.norm(inside)) * self.growth.start_pad
        place = (free.sample[:, None] == np.arange(len(rest))).astype(np.float64)
        own = np.where(problem.owner[free.sample][:, None] == problem.owner, free.effects, 0.0)
        # Rows of P^j, of t_in P^j and, summed over j, of t: what a change of step l does to steps after it.
        lengths = np.zeros((2 * tau, p))
        seen = [self._carried(place), self._carried(own)]
        for k in range(1, tau):
            for kind, rows in enumerate(seen):
                if kind and k + 1 == tau:
                    continue
                total = sum(np.abs(rows[k - 1 - step]) @ pushes[step] for step in range(k))
                norm = sum(np.linalg.norm(rows[j], axis=1) for j in range(k))
                lengths[kind * tau + k] = eta * (np.linalg.norm(total, axis=1) + self._padded(norm, pads, pushes))
        sums = list(itertools.accumulate(self._carried(free.effects)))
        total = sum((np.abs(sums[tau - 2 - step]) @ pushes[step] for step in range(tau - 1)), np.zeros((p, len(rest))))
        norm = sum((np.linalg.norm(rows, axis=1) for rows in sums[: tau - 1]), np.zeros(p))
        lengths[-1] = eta**2 * (np.linalg.norm(total, axis=1) + self._padded(norm, pads, pushes))
        return 0.5 * float(np.linalg.norm(self._root * lengths.ravel())) * SLACK

    def _padded(self, norms: Float[ndarray, " p"], pads: float, pushes: list[Float[ndarray, "n n"]]) -> ndarray:
        """Rounding: of the steps' starts and of rows times powers of P, τ steps of n products.

        Once more for every step: the pad speaks of the rows at the start, of which the norms hold one a step.
        """
        size = len(pushes) * max(float(np.linalg.norm(push)) for push in pushes)
        return norms * (pads + self.model.pad * math.sqrt(len(pushes[0])) * size)

    def _carried(self, rows: Float[ndarray, "p n"]) -> list[Float[ndarray, "p n"]]:
        """Rows times P^j for j < τ − 1, or one of them."""
        carried = [rows]
        for _ in range(self.model.problem.local_steps - 2):
            carried.append(carried[-1] @ self.model.local_map)
        return carried


def _with_start(inverse_root: Float[ndarray, "n n"], size: int) -> Float[ndarray, "s s"]:
    """diag(J, 1): from (De, y) to (e, y)."""
    n = len(inverse_root)
    whole = np.eye(size)
    whole[:n, :n] = inverse_root
    return whole


def _scaled(started: Unrolled, n: int, root: Float[ndarray, " N"]) -> tuple[float, Float[ndarray, "m m"]]:
    """The least ρ at which [[A/ρ, UΛ^{-1/2}], [½Λ^{1/2}C/ρ, ½Λ^{1/2}GΛ^{-1/2}]] has norm 1; the matrix for ρ = 1."""
    matrix = np.concatenate([started.end, 0.5 * root[:, None] * started.arguments])
    matrix[:, n:] /= root
    left, right = matrix[:, :n], matrix[:, n:]
    remaining = np.eye(len(root)) - right.T @ right
    values, vectors = np.linalg.eigh(remaining)
    if values[0] <= 1e-6:
        return 10.0 - float(values[0]), matrix
    mixed = (left.T @ right) @ (vectors / np.sqrt(values))
    return math.sqrt(max(float(np.linalg.eigvalsh(left.T @ left + mixed @ mixed.T)[-1]), 0.0)), matrix


def _scales(started: Unrolled, n: int, tau: int, p: int) -> Float[ndarray, " N"] | None:
    """Λ: for y', y^loc and y^avg one number each times ‖what y does‖/‖what it comes from‖; None if none contracts."""
    effect = np.linalg.norm(started.end[:, n:], axis=0)
    cause = np.linalg.norm(started.arguments[:, :n], axis=1)
    natural = np.maximum(effect, 1e-100) / np.maximum(cause, 1e-100)
    kind = np.repeat([0, 1, 2], [tau * p, (tau - 1) * p, p])

    def rate(logarithms: Float[ndarray, " 3"]) -> float:
        return _scaled(started, n, np.sqrt(natural * np.exp(logarithms)[kind]))[0]

    first = min((np.array(each) for each in itertools.product(_GRID, repeat=3)), key=rate)
    found = minimize(rate, first, method="Nelder-Mead", options={"maxfev": _EVALUATIONS, "xatol": 0.1, "fatol": 1e-7})
    return natural * np.exp(found.x)[kind] if found.fun < 1 else None
