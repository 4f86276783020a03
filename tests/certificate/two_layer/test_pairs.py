"""Bounds on pre-activations: they hold where the path begins, and where it goes."""

import numpy as np
import pytest

from ntk_localsgd.certificate.flow import flow, predict
from ntk_localsgd.certificate.two_layer.pairs import PairBounds
from ntk_localsgd.certificate.two_layer.reach import Reach
from ntk_localsgd.certificate.two_layer.steps import PROVED
from tests.certificate.two_layer.settings import parts_of
from verification.jobs.certified_cases import split_case
from verification.jobs.reference import follow


@pytest.mark.parametrize("seed", range(3))
def test_the_path_s_start_is_among_its_points(seed):
    problem, found, near, model = parts_of(split_case(seed, width=500), 0.5)
    bounds = PairBounds(problem, near, found.width, model, 0.0, PROVED)
    bounds.prepare(model, near.patterns, predict(model, found.residual, 3))
    for fixed in bounds._fixed:
        # Nothing has moved when the segment begins, and something has when it ends.
        assert (fixed.low <= 0).all()
        assert (fixed.high >= 0).all()
        assert (fixed.high - fixed.low > 1e-3).any()


@pytest.mark.parametrize("seed", range(3))
def test_without_a_prediction_the_deviations_bound_how_far_pre_activations_move(seed):
    case = split_case(seed, width=500)
    case = case._replace(targets=case.outputs - 1e-4 * np.array([1, -1, 1, 1]))  # too near for a pattern to change
    problem, found, _, model = parts_of(case)
    predicted, zero = predict(model, found.residual, 0), np.zeros(4)
    bound = flow(model, predicted, np.zeros_like(model.gram), model.length(found.residual))
    reach = Reach(predicted, bound, zero, zero, 0.0).coarse(problem, found.width)
    seen, z = follow(case, 60), case.weights @ case.inputs.T
    moved = np.maximum(seen.highest - z, z - seen.lowest).max(axis=0)
    assert not seen.switched.any()
    assert (moved > 0).all()
    assert (moved <= reach).all()
