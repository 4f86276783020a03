"""Rows of unit norm, up to rounding."""

import types

import numpy as np
import pytest

from verification.claims.kernel.premises import unit_norms


@pytest.mark.parametrize(("scale", "met"), [(1.0, True), (1 + 1e-14, False), (1 - 1e-14, False)])
def test_one_row_that_is_off_by_more_than_rounding_breaks_the_premise(scale, met):
    x = np.random.default_rng(0).normal(size=(9, 16))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[3] *= scale
    assert unit_norms(types.SimpleNamespace(inputs=x, dataset=types.SimpleNamespace(input_dim=16))) is met
