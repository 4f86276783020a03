"""Bound and test loss on digits, against the formulas written out."""

import jax
import numpy as np
import pytest

from ntk_localsgd import datasets, kernels
from verification.jobs.generalization import LABELS, Generalization


def test_forms_and_losses_are_those_of_the_infinite_kernel_on_disjoint_images():
    found = Generalization((8, 12), (3,)).compute().isel(seed=0)
    data = datasets.digits(1797, key=jax.random.key(3))
    x, y = data.inputs, np.where(data.labels % 2 == 0, 1.0, -1.0)
    for n in (8, 12):
        gram = kernels.infinite_gram(x[:n])
        z = np.linalg.solve(gram, y[:n])
        one = found.sel(n=n, labels="true")
        assert float(one.form) == pytest.approx(y[:n] @ z, rel=1e-9)
        expected = np.mean(np.minimum(1, np.abs(kernels.infinite_gram(x[n:], x[:n]) @ z - y[n:])))
        assert float(one.loss) == pytest.approx(expected, rel=1e-12)
        assert float(found.smallest.sel(n=n)) <= np.linalg.eigvalsh(gram)[0]
    assert len({float(found.form.sel(n=12, labels=labels)) for labels in LABELS}) == 3


def test_a_network_that_is_trained_long_enough_does_as_the_infinitely_wide_one():
    wide, own = (Generalization((8,), (3,), *trained).compute().loss.values.ravel() for trained in ((), (4096, 200)))
    np.testing.assert_allclose(own, wide, atol=0.03)
    (untrained,) = Generalization((8,), (3,), 4096, 0).compute().loss.sel(labels="true").values
    assert abs(float(untrained[0]) - wide[0]) > 0.05
