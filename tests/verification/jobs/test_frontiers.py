"""The smallest lazy scale with a certificate is one, and a little below it there is none."""

import dataclasses

import numpy as np
import pytest

from verification.data import Source
from verification.jobs.frontiers import Frontier


@pytest.mark.parametrize(("depth", "width"), [(None, 20), (2, 32)])
def test_it_is_certified_at_the_scale_found_and_not_at_the_one_below(depth, width):
    job = Frontier(Source("sphere", 3, 0), 3, 2, width, depth, (4,))
    found = job.compute()
    scale, below = found.scale.item(), found.below.item()
    own = job.certificates(scale, 4).proof(4)
    assert own.certified
    assert own.rate == pytest.approx(found.rate.item(), rel=1e-12)
    assert 0 < below < scale <= 2 * below * (1 + 1e-12)
    assert not job.certificates(below, 4).proof(4).certified
    assert (found.mebibytes > 0).all()
    assert (found.seconds > 0).all()


def test_a_network_without_a_theorem_has_no_scale():
    # One neuron, 40 points in 32 dimensions: Θ is singular at every scale.
    found = Frontier(Source("sphere", 40, 0), 3, 2, 1, None, (0,)).compute()
    assert np.isinf(found.scale).all()
    assert (found.rate == 1).all()


def test_the_residual_at_a_scale_is_the_target_over_it():
    job = Frontier(Source("digits", 4, 0), 2, 2, 32, None, (0,)).certificates(10.0, 0)
    norm = np.linalg.norm(job.data.load().dataset.targets)
    assert job.proof(0).residual_norm == pytest.approx(norm / 10, rel=1e-6)
    assert dataclasses.replace(job, scale=1000.0).proof(0).residual_norm == pytest.approx(norm / 1000, rel=1e-6)
