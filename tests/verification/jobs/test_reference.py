"""The run that certificates are held against is Local GD, as the tests' own reference runs it."""

import numpy as np
import pytest

from ntk_localsgd.local_sgd import LocalSGD
from tests import helpers
from verification.jobs.reference import Case, follow


@pytest.mark.parametrize("local_steps", [1, 3])
def test_weights_norms_and_extremes_are_the_reference_s(local_steps):
    net, data, split = helpers.problem(seed=4)
    weights, signs, config = np.asarray(net.weights), np.asarray(net.signs), LocalSGD(0.6, local_steps, 5)
    seen = follow(Case(data.inputs, data.targets, split, weights, signs, 0.6, local_steps), 5)
    paths, averages = helpers.local_sgd(net, data, split, config)
    # A dozen steps of float64 sums in another order.
    np.testing.assert_allclose(seen.weights, averages[-1], rtol=0, atol=1e-11)
    left = [np.linalg.norm(helpers.outputs(w, signs, data.inputs) - data.targets) for w in averages]
    np.testing.assert_allclose(seen.residual_norms, left, rtol=1e-11)
    models = [*averages, *(w for path in paths for own in path for w in own)]
    moved = max(np.linalg.norm(w - weights, axis=1).max() for w in models)
    assert seen.movement == pytest.approx(moved, rel=1e-11)
    for c, part in enumerate(split.indices):
        z = np.array([w @ data.inputs[part].T for w in [*averages, *(w for path in paths for w in path[c])]])
        np.testing.assert_allclose(seen.lowest[:, part], z.min(axis=0), rtol=0, atol=1e-11)
        np.testing.assert_allclose(seen.highest[:, part], z.max(axis=0), rtol=0, atol=1e-11)
