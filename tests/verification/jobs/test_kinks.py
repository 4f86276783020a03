"""Gradients on either side of a kink: the jump of the theory, and none where the residual is zero."""

import numpy as np
import pytest

from verification.data import Source
from verification.jobs.kinks import AcrossKink

JOB = AcrossKink(Source("sphere", 4, 0, input_dim=6), 20, (1e-1, 1e-5), 0, "kinks")


def test_the_gradient_jumps_by_the_residual_over_the_root_of_the_width():
    pairs = JOB.compute().sel(gap=1e-5)
    assert pairs.distance == pytest.approx(1e-5, rel=1e-8)  # weights of order 1 in float64
    assert pairs.flips == 1 / 20
    assert pairs.gradient_difference == pytest.approx(abs(float(pairs.crossed)) / np.sqrt(20), rel=1e-3)
    assert 0 < abs(pairs.crossed) <= pairs.residual


def test_without_a_residual_it_does_not():
    still = AcrossKink(JOB.data, JOB.width, JOB.gaps, 0, "kinks", zero_residual=True).compute().sel(gap=1e-5)
    assert still.crossed == 0
    assert still.gradient_difference < 1e-4
