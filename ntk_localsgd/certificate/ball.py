"""The one-radius certificate: while all neurons stay in one ball, patterns hardly change, so the loss contracts.

Cheap and blunt: one radius for all neurons, norms instead of vectors. ``docs/theory.md`` §5.1.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from ntk_localsgd.certificate.model import Problem, RoundModel, split_norms
from ntk_localsgd.certificate.neurons import NearKinks, Survey, gram_changes, pairs_of
from ntk_localsgd.certificate.outcome import Certificate, failure
from ntk_localsgd.rounding import SLACK

__all__ = ["certify_ball", "least_radius"]

# Radii tried, geometrically; any subset of radii is sound. Those below what frozen patterns need can only tell by how
# much a certificate is missed.
_RADII = 60


def certify_ball(problem: Problem, found: Survey, near: NearKinks, model: RoundModel) -> Certificate:
    """Look for a radius R with ρ(R) < 1 and needed radius ≤ R.

    ρ(R) = ‖DBD^{-1}‖₂ + growth(E(R)), E(R) bounding what the neurons within R of a kink can do to Θ, and
    R_need(R) = (‖Dr‖/√m)[(η/K) χ Σ_k a_k/(1 − ρ) + η max_c χ_c Σ_k a_k]: local step k of all clients together moves
    the average of a neuron by (η/K√m)‖Σ_i 1_ir r_i x_i‖ ≤ (η/K√m) χ‖r^k‖, ‖r^k‖ ≤ a_k‖Dr‖, and a round's ‖Dr‖ is at
    most ρ times the one before.

    Parameters
    ----------
    problem, found, near
        The run's constants, the residual, the neurons near a kink; radii up to the smallest threshold are tried.
    model
        The frozen round at the reference patterns, in the norm to use (M-norm or Euclidean).
    """
    length = model.length(found.residual, found.residual_error)
    unit = length / math.sqrt(found.width)
    largest = float((near.threshold / np.sqrt(np.diagonal(problem.inner))).min())
    if not math.isfinite(largest):
        largest = max(float(np.abs(values).max(initial=0)) for values in near.values)
    least = least_radius(problem, found, model)
    best = failure("ball", "radius: even with frozen patterns neurons may leave every ball")
    best_share = 0.0
    for radius in np.geomspace(1e-3 * least, largest, _RADII) if 0 < least < largest else ():
        uncertain = _within(problem, near, float(radius))
        changes = gram_changes(problem.inner, problem.inner_error, near.patterns, uncertain, found.width)
        errors = split_norms(changes, problem)
        rate, needed = _needed(problem, model, unit, *errors)
        if rate < 1 and needed <= radius:
            constant = model.inverse_norm * length / found.least_norm * SLACK
            return dataclasses.replace(
                best, certified=True, rate=rate, constant=constant, radius=needed,
                allowed_radius=float(radius), obstacle="", switching=pairs_of(near, uncertain),
            )  # fmt: skip
        if rate < 1 and radius / needed > best_share:
            best_share = float(radius / needed)
            text = (
                f"radius: neurons may move by {needed:.3g}, and the loss is proved to contract within {radius:.3g} only"
            )
            best = dataclasses.replace(failure("ball", text, rate=rate), allowed_radius=float(radius))
        elif best_share == 0:
            best = failure("ball", f"ρ = {rate:.4g} ≥ 1 within {radius:.3g} of here", rate=rate)
    # E(R) hardly depends on the width and the need falls like ‖r‖/√m: this share of the residual would do.
    return dataclasses.replace(best, residual_estimate=best_share)


def least_radius(problem: Problem, found: Survey, model: RoundModel) -> float:
    """R_need with frozen patterns: no smaller radius can do."""
    unit = model.length(found.residual, found.residual_error) / math.sqrt(found.width)
    return _needed(problem, model, unit, 0.0, 0.0)[1]


def _needed(problem: Problem, model: RoundModel, unit: float, error: float, client_error: float) -> tuple[float, float]:
    """ρ and R_need for ‖E‖₂ and max_c ‖E_cc‖₂; ``unit`` is ‖Dr‖/√m."""
    chain = model.chain(error, client_error)
    rate = (model.contraction + chain.growth) * SLACK
    if rate >= 1:
        return rate, math.inf
    local = problem.step_size * float(chain.steps.sum())
    rounds = problem.spectral / problem.clients.num_clients / (1 - rate)
    return rate, unit * local * (rounds + float(problem.client_spectral.max())) * SLACK


def _within(problem: Problem, near: NearKinks, radius: float) -> Bool[ndarray, "N n"]:
    """Pairs within R‖x_j‖ of the kink, which is what a pre-activation may move by, or within rounding of that."""
    uncertain = np.zeros_like(near.patterns)
    for j, (rows, values, errors) in enumerate(zip(near.rows, near.values, near.errors, strict=True)):
        reach = radius * math.sqrt(problem.inner[j, j] + problem.inner_error) * SLACK
        uncertain[rows[np.abs(values) <= reach + errors], j] = True
    return uncertain
