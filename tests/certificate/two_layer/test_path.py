"""The path's parts: what they bound alone must hold alone."""

import dataclasses

import numpy as np
import pytest

from ntk_localsgd.certificate.two_layer.path import Path, certify_path
from ntk_localsgd.certificate.two_layer.steps import PROVED
from tests.certificate.two_layer.settings import parts_of
from verification.jobs.certified_cases import split_case
from verification.jobs.reference import follow


@pytest.mark.parametrize("seed", range(3))
def test_without_a_prediction_the_deviations_bound_the_movement(seed):
    case = split_case(seed, width=2000)
    case = case._replace(targets=case.outputs - 1e-3 * np.array([1, -1, 1, 1]))
    problem, found, near, model = parts_of(case)
    tail_alone = Path(problem, found, near, model)
    tail_alone.advance(0)
    tail_alone = tail_alone.conclude()
    predicted = certify_path(problem, found, near, model)
    seen = follow(case, 30)
    assert tail_alone.certified
    assert predicted.certified
    assert seen.movement <= predicted.radius <= tail_alone.radius
    bound = tail_alone.constant * tail_alone.rate ** np.arange(31) * seen.residual_norms[0]
    assert (seen.residual_norms <= bound * (1 + 1e-9)).all()


def test_an_error_is_carried_over_to_the_norm_of_other_patterns():
    rng = np.random.default_rng(0)
    fewer = lambda near, movements, patterns: patterns & (rng.random(len(patterns)) > 0.2)[:, None]  # noqa: E731, ARG005
    off = dataclasses.replace(PROVED, frozen_patterns=fewer)
    path = Path(*parts_of(split_case(0, width=500)), off)
    before = path.model.root
    # A fifth of the neurons turned off: Θ shrinks, a client's local steps add up to more, the norm grows.
    path.error = 1.0
    path.rebase()
    errors = np.linalg.solve(before, rng.standard_normal((4, 200)))
    grown = np.linalg.norm(path.model.root @ errors, axis=0) / np.linalg.norm(before @ errors, axis=0)
    assert 1 < grown.max() <= path.error
