"""Theorem B's energy V(r) = rᵀΘ⁻¹r of a set of pairs that may change: how it falls in the mean, and grows at worst.

Θ is the square of a stored matrix R, exactly; what it misses of the middle between certainly and possibly active
neurons belongs to E. Proofs: ``docs/theory.md`` §5.7.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd import kernels
from ntk_localsgd.certificate.model import Problem
from ntk_localsgd.certificate.rounding import largest_eigenvalue, spectral_norm
from ntk_localsgd.certificate.schedule import Schedule
from ntk_localsgd.certificate.two_layer.counts import Counts
from ntk_localsgd.certificate.two_layer.neurons import NearKinks, Survey
from ntk_localsgd.rounding import SLACK, UNIT, gamma

__all__ = ["Energy", "NotFalling", "Reference", "fall", "frozen_mean", "heaviest", "reference", "reference_of"]

# A mean rate is a handful of sums and products of numbers up to a few: off by far less.
_PAD = 1e-12


class Reference(NamedTuple):
    """Θ = R², the bounds on what it is off by, and bounds on its spectrum.

    ``changes``: E ≥ |Θ̃ − Θ| for every secant form; ``secants``: E″ ≥ what two secants with one indicator differ by,
    within a client.
    """

    root: Float[ndarray, "n n"]
    inverse_root: Float[ndarray, "n n"]  # near R⁻¹
    gram: Float[ndarray, "n n"]  # fl(R²)
    changes: Float[ndarray, "n n"]
    secants: Float[ndarray, "n n"]
    smallest: float  # λ ≤ λ_min(Θ)
    largest: float  # ≥ λ_max(Θ)

    @property
    def blur(self) -> float:
        """≥ ‖fl(R²) − R²‖₂, entrywise γ_n|R||R|, with room for sums made of it."""
        return 2 * len(self.root) * gamma(len(self.root) + 2) * self.largest

    def solve(self, rows: Float[ndarray, "p n"]) -> tuple[Float[ndarray, "p n"], Float[ndarray, " p"]]:
        """s near Θ⁻¹u for every row u, and ‖s − Θ⁻¹u‖ ≤ ‖u − Θs‖/λ at most."""
        s = rows @ self.inverse_root @ self.inverse_root
        root, n = np.abs(self.root), len(self.root)
        rounding = gamma(2 * n + 2) * (np.abs(s) @ root @ root + np.abs(rows))
        defect = np.abs(rows - s @ self.root @ self.root) + rounding
        return s, np.linalg.norm(defect, axis=1) / self.smallest * SLACK

    def length(self, rows: Float[ndarray, "p n"]) -> Float[ndarray, " p"]:
        """≥ ‖u‖_* = (uᵀΘ⁻¹u)^{1/2} = ‖R⁻¹u‖ for every row u."""
        v, n = rows @ self.inverse_root, len(self.root)
        defect = np.abs(rows - v @ self.root) + gamma(n + 2) * (np.abs(v) @ np.abs(self.root) + np.abs(rows))
        return (np.linalg.norm(v, axis=1) + np.linalg.norm(defect, axis=1) / math.sqrt(self.smallest)) * SLACK

    def start(self, residual: Float[ndarray, " n"], error: Float[ndarray, " n"]) -> float:
        """≥ V(r) for every r within ``error`` of ``residual``."""
        length = float(self.length(residual[None])[0]) + float(np.linalg.norm(error)) / math.sqrt(self.smallest)
        return length**2 * SLACK


class Energy(NamedTuple):
    """What a participant does to V at worst, client by client, and to all of them in the mean.

    ``kept``: a_c, V falls by at least ηa_c‖r_B‖² a step but for ``growth``: g_c, by which it grows at most; ``mean``:
    E V(t+1) ≤ μ V(t).
    """

    kept: Float[ndarray, " K"]
    growth: Float[ndarray, " K"]
    mean: float

    def worst(self, schedule: Schedule) -> float:
        """≥ V(t+1)/V(t) whatever is drawn: 1 − η_g + η_g·(mean of the q largest (1 + g_c)^τ_c)."""
        grown = np.sort((1 + self.growth) ** schedule.steps)[-schedule.participants :]
        return 1 + schedule.server_step_size * (float(grown.mean()) * SLACK - 1)


class NotFalling(NamedTuple):
    """Why no energy is proved to fall, and the largest step size where that is the reason."""

    text: str
    allowed: float | None = None


def reference(problem: Problem, counts: Counts, secants: Float[ndarray, "n n"], width: int) -> Reference | None:
    """Θ, E and E″ of a set of pairs; None where Θ is singular as far as float64 can tell.

    Parameters
    ----------
    counts
        Of certainly and possibly active neurons.
    secants
        #{r : (j, r) ∈ U, i possibly on}.
    """
    size = np.abs(problem.inner)
    middle = problem.inner * ((counts.possible + counts.certain) / (2 * width))
    values, vectors = scipy.linalg.eigh((middle + middle.T) / 2)
    if not values[0] > 0:
        return None
    root, inverse = (vectors * np.sqrt(values) @ vectors.T, vectors / np.sqrt(values) @ vectors.T)
    root, inverse = (root + root.T) / 2, (inverse + inverse.T) / 2
    least = kernels.smallest_eigenvalue(root).lower
    if not least > 0:
        return None
    gram, n = root @ root, len(root)
    rounding = np.abs(gram - middle) + gamma(n + 2) * (np.abs(root) @ np.abs(root)) + 4 * UNIT * size
    rounding = rounding + problem.inner_error
    above = size + problem.inner_error
    changes = above * ((counts.possible - counts.certain) / (2 * width)) + rounding
    apart = np.where(problem.same_client, above * (secants / width), 0)
    changes = np.maximum(changes, changes.T) * SLACK
    largest = largest_eigenvalue(root) ** 2 * SLACK
    return Reference(root, inverse, (gram + gram.T) / 2, changes, apart * SLACK, least**2 / SLACK, largest)


def reference_of(
    problem: Problem, survey: Survey, near: NearKinks, uncertain: Bool[ndarray, "N n"]
) -> Reference | None:
    """`reference` of the pairs that may change."""
    touched = uncertain.any(axis=1)
    on = (near.patterns | uncertain)[touched].astype(np.float64)
    secants = uncertain[touched].astype(np.float64).T @ on
    return reference(problem, Counts.of(survey, near, uncertain), secants, survey.width)


def heaviest(weights: Float[ndarray, "... n_c"], number: int) -> Float[ndarray, "..."]:
    """The sum of the ``number`` largest, along the last axis."""
    return np.sort(weights, axis=-1)[..., -number:].sum(axis=-1)


def _drawn(matrix: Float[ndarray, "k k"], size: int) -> Float[ndarray, "k k"]:
    """𝓟₁(A) = E P_B A P_B/p₁ = (p₂/p₁) A + (1 − p₂/p₁) diag A, p₂/p₁ = (b − 1)/(n_c − 1)."""
    pair = (size - 1) / (len(matrix) - 1) if len(matrix) > 1 else 1.0
    return pair * matrix + (1 - pair) * np.diag(np.diagonal(matrix))


def _largest_of_batches(matrix: Float[ndarray, "k k"], size: int) -> float:
    """≥ λ_max(A_BB) of every batch: of all samples, or of the rows' largest sums over b samples (Gershgorin)."""
    others = np.abs(matrix) - np.diag(np.diagonal(np.abs(matrix)))
    rows = np.diagonal(matrix) + (heaviest(others, size - 1) if size > 1 else 0)
    return min(largest_eigenvalue(matrix), float(rows.max()) * SLACK)


def fall(problem: Problem, schedule: Schedule, found: Reference) -> Energy | NotFalling:
    """Lemma 2 and the mean rate, the better of both bounds on it.

    Returns
    -------
    What falls, or why nothing does.
    """
    eta, lam, taus = schedule.step_size, found.smallest, schedule.steps
    kept, kept_mean, batch, whole, drift, bent, spectrum = np.empty((7, schedule.num_clients))
    for c, part in enumerate(problem.clients.indices):
        size, block = int(schedule.batches[c]), np.ix_(part, part)
        own, squares = found.changes[block], np.square(found.changes[:, part]).sum(axis=0)
        drift[c], bent[c], whole[c] = (spectral_norm(e) for e in (found.secants[block], own, found.changes[:, part]))
        drift[c] = max(drift[c], bent[c])  # ‖E_cc‖ ≤ ‖E″_cc‖ but for E's share of rounding, which V(r̂) meets too
        batch[c] = min(whole[c], math.sqrt(float(heaviest(squares, size))) * SLACK)
        later = (taus[c] - 1) * (drift[c] + batch[c] ** 2 / lam)
        spectrum[c] = _largest_of_batches(found.gram[block], size) + found.blur
        kept[c] = 2 - eta * (spectrum[c] + 2 * _largest_of_batches(own, size) + later + batch[c] ** 2 / lam) * SLACK
        # Two largest eigenvalues, and not that of the sum: the vectors that Θ and E meet are r_B and |r_B|.
        mean = largest_eigenvalue(_drawn(found.gram[block], size)) + 2 * largest_eigenvalue(_drawn(own, size))
        square = float(squares.max()) if size == 1 else whole[c] ** 2
        kept_mean[c] = 2 - eta * (mean + found.blur + later + square / lam) * SLACK
    if not (kept > 0).all() or not (kept_mean > 0).all():
        c = int(np.argmin(kept))
        if eta * spectrum[c] >= 2:
            return NotFalling(f"step size {eta:.6g} is not below 2/λ_max of every batch", 2 / spectrum.max())
        return NotFalling(f"patterns that may change undo what a step of client {c + 1} (counted from 1) achieves")
    growth = eta * batch**2 / (lam * kept) * SLACK
    first = _first_step(problem, schedule, found, kept_mean, whole)
    second = _frozen_rounds(problem, schedule, found, (batch, drift, bent, spectrum))
    rate = min(first, second) + _PAD
    if not rate < 1:
        return NotFalling(f"patterns that may change let the energy grow in the mean, by {rate:.4g} a round")
    return Energy(kept, growth, max(rate, _PAD))


def _first_step(
    problem: Problem, schedule: Schedule, found: Reference, kept: Float[ndarray, " K"], columns: Float[ndarray, " K"]
) -> float:
    """1 − η_g + (η_g/K)(Σ s_c − λ·net): the first local step's fall, all others' growth."""
    step = schedule.step_size * schedule.shares
    grown = (1 + step * columns**2 / (found.smallest * kept) * SLACK) ** (schedule.steps - 1) * SLACK
    weights = grown * step
    crossed = spectral_norm(found.changes * weights[problem.owner]) * SLACK
    net = float((weights * kept).min()) / SLACK - 2 * crossed / found.smallest * SLACK
    share = schedule.server_step_size / schedule.num_clients
    return 1 + share * (float((grown - 1).sum()) * SLACK - found.smallest * net) if net >= 0 else math.inf


def _frozen_rounds(
    problem: Problem, schedule: Schedule, found: Reference, bounds: tuple[Float[ndarray, " K"], ...]
) -> float:
    """(λ_max(E 𝒯ᵀ𝒯)^{1/2} + η_g F (λ_max(Θ)/K)^{1/2})²: frozen rounds exactly, what changes by norms."""
    eta, worst = schedule.step_size, 0.0
    for c, (part, batch, drift, bent, spectrum) in enumerate(zip(problem.clients.indices, *bounds, strict=True)):
        size, own, p1 = int(schedule.batches[c]), found.gram[np.ix_(part, part)], schedule.shares[c]
        tau = int(schedule.steps[c])
        mean = np.eye(len(own)) - 2 * eta * p1 * own + eta**2 * p1 * _drawn(own @ own, size)
        # Each product's rounding is below n·γ_n times its factors' norms.
        pad = 8 * len(own) * gamma(len(own) + 4) * (1 + eta * found.largest) ** 2
        shrink = math.sqrt(max(largest_eigenvalue((mean + mean.T) / 2) + pad, 0)) + eta * math.sqrt(p1) * bent
        felt = batch / math.sqrt(found.smallest) + (tau - 1) * eta * math.sqrt(spectrum) * drift
        total = sum((shrink * SLACK) ** k for k in range(tau))
        worst = max(worst, eta * felt * math.sqrt(p1) * total * SLACK)
    frozen = math.sqrt(max(frozen_mean(problem, schedule, found), 0))
    added = schedule.server_step_size * worst * math.sqrt(found.largest / schedule.num_clients)
    return float((frozen + added) ** 2 * SLACK)


def frozen_mean(problem: Problem, schedule: Schedule, found: Reference) -> float:
    """≥ λ_max(E 𝒯ᵀ𝒯) of a round in which Θ stays, in the coordinates Θ^{-1/2}r: what E V(t+1)/V(t) is at most.

    A step is I − ηRP_BR, which expands nothing where η λ_max(Θ_BB) ≤ 2: rounding errors of a step are not enlarged by
    the later ones, and τ of them add up.
    """
    eta, num_clients, g, q = schedule.step_size, schedule.num_clients, schedule.server_step_size, schedule.participants
    root, n = found.root, len(found.root)
    identity, seconds, means = np.eye(n), np.zeros((n, n)), []
    for c, part in enumerate(problem.clients.indices):
        p1, size = float(schedule.shares[c]), int(schedule.batches[c])
        own = root[:, part] @ root[part]
        second, mean = identity, identity
        for _ in range(int(schedule.steps[c])):
            inner = _drawn(root[part] @ second @ root[:, part], size)
            cross = own @ second
            second = second - eta * p1 * (cross + cross.T) + eta**2 * p1 * root[:, part] @ inner @ root[part]
            mean = mean - eta * p1 * own @ mean
        seconds += second
        means.append(mean)
    total = sum(means[1:], means[0])
    moment = (
        (1 - g) ** 2 * identity + (1 - g) * g / num_clients * (total + total.T) + g**2 / (q * num_clients) * seconds
    )
    if q > 1:
        pairs = total.T @ total - sum((m.T @ m for m in means), np.zeros((n, n)))
        moment = moment + g**2 * (q - 1) / (q * num_clients * (num_clients - 1)) * pairs
    rounding = 64 * n * gamma(n + 4) * (1 + eta * found.largest) ** 2 * (int(schedule.steps.max()) + num_clients + 1)
    return largest_eigenvalue((moment + moment.T) / 2) + rounding
