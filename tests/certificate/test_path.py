"""The path's parts: what they bound alone must hold alone."""

import numpy as np
import pytest

from ntk_localsgd.certificate.path import _certify, _Path, _segment_ends
from tests.certificate.settings import parts_of
from verification.jobs.certified_cases import split_case
from verification.jobs.reference import follow


@pytest.mark.parametrize("seed", range(3))
def test_without_a_prediction_the_deviations_bound_the_movement(seed):
    case = split_case(seed, width=2000)
    case = case._replace(targets=case.outputs - 1e-3 * np.array([1, -1, 1, 1]))
    problem, found, near, model = parts_of(case)
    tail_alone = _certify(problem, found, near, model, [0])
    predicted = _certify(problem, found, near, model, _segment_ends(model, found.residual, 4))
    seen = follow(case, 30)
    assert tail_alone.certified
    assert predicted.certified
    assert seen.movement <= predicted.radius <= tail_alone.radius
    bound = tail_alone.constant * tail_alone.rate ** np.arange(31) * seen.residual_norms[0]
    assert (seen.residual_norms <= bound * (1 + 1e-9)).all()


def test_an_error_is_carried_over_to_the_norm_of_other_patterns():
    path = _Path(*parts_of(split_case(0, width=500)))
    before, rng = path.model.root, np.random.default_rng(0)
    # A fifth of the neurons turned off: Θ shrinks, a client's local steps add up to more, the norm grows.
    path.pairs.predicted_patterns = lambda patterns: patterns & (rng.random(len(patterns)) > 0.2)[:, None]
    path.error = 1.0
    path.rebase()
    errors = np.linalg.solve(before, rng.standard_normal((4, 200)))
    grown = np.linalg.norm(path.model.root @ errors, axis=0) / np.linalg.norm(before @ errors, axis=0)
    assert 1 < grown.max() <= path.error
