"""The predicted path over a segment of rounds, and what bounds the true path's distance from it.

Proofs: ``docs/theory.md`` §5.2. In a segment the patterns that the prediction uses stay the same; E bounds what the
pairs that may switch do to Θ.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from ntk_localsgd.certificate.growth import EntrywiseGrowth
from ntk_localsgd.certificate.model import LocalChain, RoundModel, Unsuitable, split_norms
from ntk_localsgd.rounding import SLACK, UNIT

# Local residuals kept of a segment: 4 GiB.
_MOST = 2**29

__all__ = ["Flow", "Predicted", "flow", "predict"]


class Predicted(NamedTuple):
    """Residuals r̂(t+1) = B r̂(t) and the weights that samples accumulate on the way, relative to the segment's start.

    ``local_steps[k]`` = P^k r̂(t) [L n]; ``moved`` = Σ_t M r̂/K, what the averaged model's weights gain; ``first_local``
    and ``last_local`` = M r̂ at both ends, what a client's local steps add. Every point of the path, averaged or local,
    is within ``spread`` (averaged) or ``local_spread`` of the hull of {0, moved, first_local, moved + last_local}, with
    the hull's coordinates the same for all samples. ``up`` and ``down``: Σ_t (η/K) Σ_k (P^k r̂)^± and, ``local_up`` and
    ``local_down``, the largest ηΣ_k (P^k r̂)^± of a round. ``pad``: rounding error of each of these.
    """

    residuals: Float[ndarray, "L+1 n"]
    local_steps: list[Float[ndarray, "L n"]]
    moved: Float[ndarray, " n"]
    first_local: Float[ndarray, " n"]
    last_local: Float[ndarray, " n"]
    spread: Float[ndarray, " n"]
    local_spread: Float[ndarray, " n"]
    up: Float[ndarray, " n"]
    down: Float[ndarray, " n"]
    local_up: Float[ndarray, " n"]
    local_down: Float[ndarray, " n"]
    pad: float

    @property
    def rounds(self) -> int:
        """L; 0 stands for the infinite tail, in which nothing is predicted and all of r counts as error."""
        return len(self.residuals) - 1


def predict(model: RoundModel, start: Float[ndarray, " n"], rounds: int) -> Predicted:
    """The predicted path over ``rounds`` rounds; 0: the tail."""
    n, eta, tau = len(start), model.problem.step_size, model.problem.local_steps
    num_clients = model.problem.clients.num_clients
    if rounds == 0:
        zero = np.zeros(n)
        nothing = [np.zeros((0, n))] * tau
        return Predicted(np.zeros((1, n)), nothing, zero, zero, zero, zero, zero, zero, zero, zero, zero, 0.0)
    if rounds * tau * n > _MOST:
        raise Unsuitable(f"{rounds} rounds of {tau:,} local steps are more than the certificate holds in memory")
    residuals = np.empty((rounds + 1, n))
    residuals[0] = start
    for t in range(rounds):
        residuals[t + 1] = model.operator @ residuals[t]
    steps, local = [residuals[:-1]], [np.zeros((rounds, n))]
    for _ in range(tau - 1):
        steps.append(steps[-1] @ model.local_map)
    for step in steps:
        local.append(local[-1] + eta * step)
    path = np.concatenate([np.zeros((1, n)), np.cumsum(local[-1], axis=0) / num_clients])
    spread, local_spread = _spreads(path, local)
    sizes = np.linalg.norm(residuals[:-1], axis=1)
    # What M r̂ and its sum are off by; P^k r̂ and its sums likewise.
    share = model.pad + 2 * (rounds + tau) * UNIT
    pad = share * eta * tau * (float(sizes.sum()) / num_clients + float(sizes.max())) * SLACK
    up = eta * np.sum([np.maximum(s, 0) for s in steps], axis=0)
    down = eta * np.sum([np.maximum(-s, 0) for s in steps], axis=0)
    totals = (up.sum(axis=0) / num_clients, down.sum(axis=0) / num_clients, up.max(axis=0), down.max(axis=0))
    all_up, all_down, local_up, local_down = (total * SLACK + pad for total in totals)
    return Predicted(
        residuals,
        local_steps=steps,
        moved=path[-1],
        first_local=local[-1][0],
        last_local=local[-1][-1],
        spread=spread + pad,
        local_spread=local_spread + pad,
        up=all_up,
        down=all_down,
        local_up=local_up,
        local_down=local_down,
        pad=pad,
    )


def _spreads(
    path: Float[ndarray, "L+1 n"], local: list[Float[ndarray, "L n"]]
) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
    """Distance of every point from one of the hull; any choice of coordinates in [0, 1] is sound, these are near."""
    along = _coordinate(path, path[-1])
    spread = np.abs(path - along[:, None] * path[-1]).max(axis=0)
    first, last, worst = local[-1][0], local[-1][-1], spread
    theta = along[:-1, None]
    for points in local:
        kappa = _coordinate(points[:1], first)[0]
        hull = theta * path[-1] + kappa * ((1 - theta) * first + theta * last)
        worst = np.maximum(worst, np.abs(path[:-1] + points - hull).max(axis=0))
    return spread, worst


def _coordinate(points: Float[ndarray, "L n"], end: Float[ndarray, " n"]) -> Float[ndarray, " L"]:
    squared = float(end @ end)
    return np.clip(points @ end / squared, 0, 1) if squared > 0 else np.zeros(len(points))


class Separated(NamedTuple):
    """Changes of Θ of the form σ_q e_i t_qᵀ + σ'_q t_q e_iᵀ + σ_qσ'_q' G_qq' e_i e_i'ᵀ, |σ| ≤ ½, i = i(q), and a rest.

    ``ends`` ≥ ‖Dt_q‖, ``places`` ≥ ‖De_{i(q)}‖, ``moved`` ≥ ‖t_q M D^{-1}‖. ``rate``: of a round with all of them.
    """

    rest: Float[ndarray, "n n"]
    sample: Int[ndarray, " p"]
    effects: Float[ndarray, "p n"]
    products: Float[ndarray, "p p"]
    ends: Float[ndarray, " p"]
    places: Float[ndarray, " p"]
    moved: Float[ndarray, " p"]
    rate: Callable[[LocalChain], float]

    @property
    def sizes(self) -> Float[ndarray, " p"]:
        """≥ ‖t_q‖."""
        return np.linalg.norm(self.effects, axis=1) * SLACK


class Flow(NamedTuple):
    """How far the true run may be from the predicted one over a segment.

    ``errors[t]`` ≥ ‖D(r − r̂)(t)‖₂; ``rate`` = ‖DBD^{-1}‖ + growth. ``forcing`` ≥ Σ_t of the round's change that no
    weights explain, entrywise: g = (η/K)Σ_k|Θ̃ − Θ||r^k|. ``weights``: Σ_t of the deviation of |weights| of a round, and
    ``local_weights`` the largest of a client's local steps, both even if patterns switch at every step; ``local_bent``
    the part of the latter that the frozen patterns do not explain. ``weight_norm`` and ``local_weight_norm``: the same
    two as Euclidean norms over all samples, each at most √n times less than the entries would say. Where some changes
    are kept apart, ``forcing`` is the others' alone, and theirs is Σ_q (t_q·(≤ ``pushes``) + e_{i(q)}·(≤ ``gains``)).
    """

    errors: Float[ndarray, " L+1"]
    rate: float
    forcing: Float[ndarray, " n"]
    weights: Float[ndarray, " n"]
    local_weights: Float[ndarray, " n"]
    local_bent: Float[ndarray, " n"]
    weight_norm: float
    local_weight_norm: float
    pushes: Float[ndarray, " p"]
    gains: Float[ndarray, " p"]

    @property
    def largest_error(self) -> float:
        """sup_t ‖D(r − r̂)(t)‖₂."""
        return float(self.errors.max())


def flow(
    model: RoundModel,
    predicted: Predicted,
    changes: Float[ndarray, "n n"],
    start_error: float,
    growth: EntrywiseGrowth | None = None,
    separate: Separated | None = None,
) -> Flow:
    """Bounds for |Θ̃ − Θ| ≤ ``changes`` and ‖D(r − r̂)‖ ≤ ``start_error`` at the segment's start.

    With V_k = |P^k r̂|, a client's local step is off by at most y_k, y_{k+1} = y_k + η(‖E_cc V_k‖ + ‖E_cc‖ y_k), and
    ‖D(r − r̂)(t+1)‖ ≤ rate·‖D(r − r̂)(t)‖ + (η/K)[‖|D| E Σ_k V_k‖ + Σ_k (‖D‖‖E‖‖y_k‖ + s_k(‖E_cc V_k‖ + ‖E_cc‖‖y_k‖))],
    s_k = ‖DΘη Σ_{l ≤ τ−2−k} P^l‖. All rates are infinite where this says nothing. ``growth``: a sharper bound of the
    round's own perturbation, slower to compute. ``separate``: what is known of the changes beside their sizes.
    """
    problem, n = model.problem, len(changes)
    eta, num_clients = problem.step_size, problem.clients.num_clients
    error_norm, client_norm = split_norms(changes, problem)
    chain = model.chain(error_norm, client_norm)
    grown = chain.growth if growth is None else min(chain.growth, growth(changes, chain))
    rate = (model.contraction + grown) * SLACK
    if separate is not None:
        rate = min(rate, separate.rate(chain))
    inside = np.where(problem.same_client, changes, 0.0)
    members = np.eye(num_clients)[problem.owner]
    rounds = predicted.rounds
    y, y_sum, y_norms, second = np.zeros((rounds, num_clients)), np.zeros((rounds, n)), np.zeros(rounds), 0.0
    absolute, signed = np.zeros((rounds, n)), np.zeros((rounds, n))
    sizes = np.linalg.norm(predicted.residuals[:rounds], axis=1)
    for step, end_norm in zip(predicted.local_steps, model.end_norms, strict=True):
        v = np.abs(step) + model.pad * sizes[:, None]
        absolute, signed = absolute + v, signed + step
        pushed = v @ inside
        y_norm, pushed_norm = np.linalg.norm(y, axis=1), np.linalg.norm(pushed, axis=1)
        second = second + model.norm * error_norm * y_norm + end_norm * (pushed_norm + client_norm * y_norm)
        y_sum, y_norms = y_sum + y @ members.T, y_norms + y_norm
        y = y + eta * (np.sqrt(np.square(pushed) @ members) + client_norm * y)
    first = absolute @ changes
    push = np.minimum(np.linalg.norm(first @ np.abs(model.root), axis=1), model.norm * np.linalg.norm(first, axis=1))
    halves = gained = np.zeros((rounds, 0))
    if separate is not None:
        halves = absolute[:, separate.sample] / 2
        pads = model.pad * problem.local_steps * sizes[:, None] * separate.sizes
        gained = (np.abs(signed @ separate.effects.T) + pads + halves @ np.abs(separate.products)) / 2
        apart = halves @ separate.ends + gained @ separate.places
        others = absolute @ separate.rest
        by_rest = np.minimum(
            np.linalg.norm(others @ np.abs(model.root), axis=1), model.norm * np.linalg.norm(others, axis=1)
        )
        push = np.minimum(push, by_rest + apart)
    defect = 2 * model.operator_error * sizes
    added = (eta / num_clients * (push + second) + model.norm * defect) * SLACK
    errors = _errors(rate, added, start_error)
    total_error = _total(errors, rate, rounds)
    forced = changes if separate is None else separate.rest
    rows = np.linalg.norm(forced, axis=1)
    steps, largest = float(chain.steps.sum()), float(errors.max())
    norms = float(y_norms.sum()) + steps * total_error
    forcing = absolute.sum(axis=0) @ forced + rows * norms
    bent, reach = eta * float(chain.bent.sum()), model.row_reach
    local_bent = eta * y_sum.max(axis=0, initial=0.0) + bent * largest
    weights = (eta * y_sum.sum(axis=0) + (reach + bent) * total_error) / num_clients * SLACK
    pushes = gains = np.zeros(0)
    if separate is not None:
        deviating = weights[separate.sample] / 2
        pushes = (eta / num_clients * halves.sum(axis=0) + deviating) * SLACK
        crooked = eta * float(y_norms.sum()) + bent * total_error
        far = (separate.sizes * crooked + separate.moved * total_error) / num_clients
        gains = (eta / num_clients * gained.sum(axis=0) + (far + np.abs(separate.products) @ deviating) / 2) * SLACK
    return Flow(
        errors,
        rate,
        forcing=(eta / num_clients * forcing + float(defect.sum())) * SLACK,
        weights=weights,
        local_weights=(local_bent + reach * largest) * SLACK,
        local_bent=local_bent * SLACK,
        weight_norm=eta / num_clients * norms * SLACK,
        local_weight_norm=eta * (float(y_norms.max(initial=0.0)) + steps * largest) * SLACK,
        pushes=pushes,
        gains=gains,
    )


def _errors(rate: float, added: Float[ndarray, " L"], start: float) -> Float[ndarray, " L+1"]:
    errors = [start]
    for extra in added:
        errors.append(min(rate * errors[-1] + float(extra), 1e300))
    # A step is two roundings; L steps stay far below the slack.
    return np.array(errors) * SLACK


def _total(errors: Float[ndarray, " L+1"], rate: float, rounds: int) -> float:
    """Σ_t of the errors at the rounds' starts; over the tail, a geometric series."""
    if rounds:
        return float(errors[:-1].sum())
    return float(errors[0]) / (1 - rate) if rate < 1 else math.inf
