"""Kernels of clients at the start, and pairs of weights across a kink."""

import numpy as np
import pytest

from ntk_localsgd import kernels
from verification.data import Source
from verification.jobs.key_property import GAPS, AcrossKink, ClientNorms
from verification.jobs.training import Training


def test_across_a_kink_gradients_jump_while_distances_vanish():
    kink = AcrossKink(Source("digits", 6, 0), 32, 2, 1).compute()
    np.testing.assert_allclose(np.sqrt(kink.distances), GAPS, rtol=1e-6)  # 1e-8 beside weights of order 1
    assert float(kink.gradients[-1]) == pytest.approx(float(kink.gradients[-2]), rel=1e-3)
    assert float(kink.gradients[-1]) > 0
    assert float(kink.losses[-1]) == pytest.approx(float(kink.losses[-2]), rel=1e-5)


@pytest.mark.parametrize("source", [Source("digits", 6, 0), Source("digits10", 6, 0)])
def test_norms_of_clients_are_their_largest_singular_values_squared(source):
    training = Training(source, 2, 16, 0.01, 1, 1, seeds=(4, 5), depth=2, dtype="float64")
    norms = ClientNorms(training).compute().norm
    gram = np.asarray(kernels.empirical_gram(training.network(5), source.load().inputs))
    outputs = source.load().num_outputs
    gram = gram.reshape(6, 6, outputs, outputs).transpose(0, 2, 1, 3)
    blocks = [gram[part][:, :, part].reshape(len(part) * outputs, -1) for part in training.clients.indices]
    assert float(norms.sel(seed=5)) == pytest.approx(max(np.linalg.norm(b, 2) for b in blocks), rel=1e-12)  # float64
