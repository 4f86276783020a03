"""The one-radius certificate: while all neurons stay in one ball, patterns hardly change, so the loss contracts.

Cheap and blunt: one radius for all neurons, norms instead of vectors. ``docs/theory.md`` §5.1.
"""

import math

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from ntk_localsgd.certificate.model import Problem, RoundModel, split_norms
from ntk_localsgd.certificate.outcome import Conclusion, Obstacle, no_proof
from ntk_localsgd.certificate.two_layer.neurons import NearKinks, Survey, gram_changes, pairs_of
from ntk_localsgd.rounding import SLACK

__all__ = ["certify_ball", "least_radius", "needed_radius", "within"]

# Radii tried, geometrically; any subset of radii is sound. Those below what frozen patterns need can only tell by how
# much a certificate is missed.
_RADII = 60


def certify_ball(problem: Problem, survey: Survey, near: NearKinks, model: RoundModel) -> Conclusion:
    """Look for a radius R with ρ(R) < 1 and needed radius ≤ R.

    ρ(R) = ‖DBD^{-1}‖₂ + growth(E(R)), E(R) bounding what the neurons within R of a kink can do to Θ, and
    R_need(R) = (‖Dr‖/√m)[(η/K) χ Σ_k a_k/(1 − ρ) + η max_c χ_c Σ_k a_k]: local step k of all clients together moves
    the average of a neuron by (η/K√m)‖Σ_i 1_ir r_i x_i‖ ≤ (η/K√m) χ‖r^k‖, ‖r^k‖ ≤ a_k‖Dr‖, and a round's ‖Dr‖ is at
    most ρ times the one before.

    Parameters
    ----------
    problem, survey, near
        The run's constants, the residual, the neurons near a kink; radii up to the smallest threshold are tried.
    model
        The frozen round at the reference patterns, in the norm to use (M-norm or Euclidean).
    """
    length = model.length(survey.residual, survey.residual_error)
    unit = length / math.sqrt(survey.width)
    largest = float((near.threshold / np.sqrt(np.diagonal(problem.inner))).min())
    if not math.isfinite(largest):
        largest = max(float(np.abs(values).max(initial=0)) for values in near.values)
    least = least_radius(problem, survey, model)
    best = no_proof("ball", Obstacle.RADIUS, "radius: even with frozen patterns neurons may leave every ball")
    for radius in np.geomspace(1e-3 * least, largest, _RADII) if 0 < least < largest else ():
        uncertain = within(problem, near, float(radius))
        changes = gram_changes(problem.inner, problem.inner_error, near.patterns, uncertain, survey.width)
        errors = split_norms(changes, problem)
        rate, needed = needed_radius(problem, model, unit, *errors)
        if rate < 1 and needed <= radius:
            constant = model.inverse_norm * length / survey.least_norm * SLACK
            switching = pairs_of(near, uncertain)
            return Conclusion("ball", rate, constant, needed, float(radius), switching)
        # E(R) hardly depends on the width and the need falls like ‖r‖/√m: this share of the residual would do.
        share = float(radius / needed)
        if rate < 1 and share > best.residual_share:
            text = f"neurons may move by {needed:.3g}, and the loss is proved to contract within {radius:.3g} only"
            best = no_proof("ball", Obstacle.RADIUS, f"radius: {text}", rate=rate, share=share)
            best = best._replace(allowed_radius=float(radius))
        elif best.residual_share == 0:
            best = no_proof("ball", Obstacle.PATTERNS, f"ρ = {rate:.4g} ≥ 1 within {radius:.3g} of here", rate=rate)
        if rate >= 1:  # and within every larger radius, which leaves no more patterns certain
            break
    return best


def least_radius(problem: Problem, survey: Survey, model: RoundModel) -> float:
    """R_need with frozen patterns: no smaller radius can do."""
    unit = model.length(survey.residual, survey.residual_error) / math.sqrt(survey.width)
    return needed_radius(problem, model, unit, 0.0, 0.0)[1]


def needed_radius(
    problem: Problem, model: RoundModel, unit: float, error: float, client_error: float
) -> tuple[float, float]:
    """ρ and R_need for ‖E‖₂ and max_c ‖E_cc‖₂; ``unit`` is ‖Dr‖/√m."""
    chain = model.chain(error, client_error)
    rate = (model.contraction + chain.growth) * SLACK
    if rate >= 1:
        return rate, math.inf
    local = problem.step_size * float(chain.steps.sum())
    rounds = problem.spectral / problem.clients.num_clients / (1 - rate)
    return rate, unit * local * (rounds + float(problem.client_spectral.max())) * SLACK


def within(problem: Problem, near: NearKinks, radius: float) -> Bool[ndarray, "N n"]:
    """Pairs within R‖x_j‖ of the kink, which is what a pre-activation may move by, or within rounding of that."""
    uncertain = np.zeros_like(near.patterns)
    for j, (rows, values, errors) in enumerate(zip(near.rows, near.values, near.errors, strict=True)):
        reach = radius * math.sqrt(problem.inner[j, j] + problem.inner_error) * SLACK
        uncertain[rows[np.abs(values) <= reach + errors], j] = True
    return uncertain
