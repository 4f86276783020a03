"""Theorem A: a certificate for every order, for every Θ ≻ 0, where no pattern may change at all.

While patterns stay, V = rᵀΘ⁻¹r = ‖W − W*‖² falls in every step of every batch, so that all models stay in one ellipsoid
about the interpolant W*: no pre-activation may cross its kink there. Proof: ``docs/theory.md`` §5.8.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.certificate.model import Problem
from ntk_localsgd.certificate.outcome import Conclusion, Obstacle, no_proof
from ntk_localsgd.certificate.rounding import spectral_norm
from ntk_localsgd.certificate.schedule import Schedule
from ntk_localsgd.certificate.two_layer.energy import NotFalling, Reference, fall, reference_of
from ntk_localsgd.certificate.two_layer.neurons import NearKinks, Survey
from ntk_localsgd.rounding import SLACK, UNIT

__all__ = ["Ellipsoid", "certify_frozen"]


class Ellipsoid(NamedTuple):
    """The models that a run with frozen patterns can reach: α* near Θ⁻¹r, what it is off by, V(0)^{1/2} from above.

    ``share``: 1/(1 − ‖E‖/λ), by which the true Θ⁻¹ exceeds the stored one's at most.
    """

    found: Reference
    target: Float[ndarray, " n"]
    blur: float
    root: float
    share: float

    @classmethod
    def of(cls, found: Reference, survey: Survey) -> "Ellipsoid | None":
        """From the residual; None where rounding alone makes Θ singular."""
        error = spectral_norm(found.changes) / found.smallest * SLACK
        if not error < 0.5:
            return None
        share = SLACK / (1 - error)
        solved, off = found.solve(survey.residual[None])
        norm = float(np.linalg.norm(solved[0])) + float(off[0])
        blur = float(off[0]) + (float(np.linalg.norm(survey.residual_error)) / found.smallest + error * norm) * share
        root = math.sqrt(found.start(survey.residual, survey.residual_error) * share) * SLACK
        return cls(found, solved[0], blur * SLACK, root, share)

    @property
    def weights(self) -> float:
        """≥ ‖α* − β‖₂ of every model: what samples have gained."""
        far = self.root * math.sqrt(self.share / self.found.smallest)
        return (float(np.linalg.norm(self.target)) + self.blur + far) * SLACK

    def reach(self, rows: Float[ndarray, "p n"], error: float) -> Float[ndarray, " p"]:
        """≥ |u·(α* − β) − u·(the stored α*)| over the ellipsoid, for rows u known up to ``error`` an entry."""
        n, size = rows.shape[1], np.linalg.norm(rows, axis=1)
        sums = (n + 2) * UNIT * (np.abs(rows) @ np.abs(self.target))
        inside = self.found.length(rows) * self.root * math.sqrt(self.share)
        return (inside + size * self.blur + math.sqrt(n) * error * self.weights + sums) * SLACK


def certify_frozen(
    problem: Problem, schedule: Schedule, survey: Survey, near: NearKinks, *, delta: float
) -> Conclusion:
    """Theorem A: every pair keeps its side over the ellipsoid.

    Parameters
    ----------
    problem, schedule, survey, near
        The run's constants, what a round draws, the residual, and the neurons near a kink.
    delta
        Where something is drawn, the rate holds with probability ≥ 1 − δ; convergence does not depend on what is.

    Returns
    -------
    Conclusion
        ``rate`` and ``constant`` from E V(t+1) ≤ μ V(t).
    """
    found = reference_of(problem, survey, near, np.zeros_like(near.patterns))
    ellipsoid = None if found is None else Ellipsoid.of(found, survey)
    if found is None or ellipsoid is None:
        return no_proof("frozen", Obstacle.PATTERNS, "the Gram matrix is singular as far as float64 can tell")
    energy = fall(problem, schedule, found)
    if isinstance(energy, NotFalling):
        return no_proof("frozen", Obstacle.UNSUITABLE, energy.text)
    scale = 1 / math.sqrt(survey.width)
    norms = np.linalg.norm(np.abs(problem.inner) + problem.inner_error, axis=1) * SLACK
    if not (norms * ellipsoid.weights * scale * SLACK <= near.threshold).all():
        return no_proof("frozen", Obstacle.BEYOND_KEPT, "neurons may move beyond those that were kept")
    crossing = sum(_crossing(problem, near, ellipsoid, j, scale) for j in range(len(problem.inner)))
    if crossing:
        text = f"{crossing} pairs of a sample and a neuron may change their pattern, and none must"
        return no_proof("frozen", Obstacle.PATTERNS, text)
    chance, rate = 1.0 if schedule.certain else delta, math.sqrt(energy.mean) * SLACK
    if not rate < 1:
        return no_proof("frozen", Obstacle.TAIL, "the energy falls by less than float64 can tell")
    constant = math.sqrt(found.largest / chance) * ellipsoid.root / survey.least_norm * SLACK
    # A neuron's share of W − W(0), both within V(0)^{1/2} of W*; or what all samples' weights can move it.
    radius = min(2 * ellipsoid.root, problem.spectral * ellipsoid.weights * scale) * SLACK
    return Conclusion("frozen", rate, constant, radius, delta=0.0 if schedule.certain else delta)


def _crossing(problem: Problem, near: NearKinks, ellipsoid: Ellipsoid, j: int, scale: float) -> int:
    """Neurons whose pre-activation on sample j may cross its kink; a bound that is no number counts."""
    rows, z = near.rows[j], near.values[j]
    u = near.patterns[rows] * problem.inner[j]
    middle = near.signs[rows] * (u @ ellipsoid.target) * scale
    pad = near.errors[j] + 8 * UNIT * (np.abs(z) + np.abs(middle))
    reach = ellipsoid.reach(u, problem.inner_error) * scale * SLACK + pad
    moved = z - middle
    return int((~np.where(near.patterns[rows, j], moved - reach > 0, moved + reach < 0)).sum())
