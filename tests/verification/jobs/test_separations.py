"""λ0 beside the closest pair's bound."""

import math

import flint
import numpy as np
import pytest

from ntk_localsgd import kernels
from verification.jobs.separations import PlantedSeparation, Separation, pair_bound, thinned, unit_rows


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 0.3, math.pi / 2, 3.0, math.pi])
def test_the_pair_s_bound_is_half_minus_its_entry(angle):
    pair = np.array([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
    theta = flint.arb(angle)
    exact = flint.arb("0.5") - theta.cos() * (flint.arb.pi() - theta) / (2 * flint.arb.pi())
    assert pair_bound(pair) == pytest.approx(float(exact.mid()), rel=1e-6)
    assert pair_bound(pair) == pytest.approx(0.5 - float(kernels.infinite_gram(pair)[0, 1]), abs=1e-9)


@pytest.mark.parametrize("kind", ["iris", "digits", "sphere 4"])
def test_rows_are_of_norm_one_and_none_twice(kind):
    x = unit_rows(kind, 0)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-12)
    assert len(np.unique(x, axis=0)) == len(x)


def test_subsets_grow_within_one_order_and_bounds_are_above():
    found = Separation("wine", (8, 32), 0).compute()
    assert found.distance[0] >= found.distance[1]
    assert found.lower[0] >= found.lower[1]  # interlacing
    assert (found.lower <= found.upper).all()
    assert (found.lower <= found.bound).all()
    assert (found.spread > found.bound).all()


def test_a_planted_pair_decides_the_smallest_eigenvalue():
    found = PlantedSeparation(6, 8, (0.02, 0.01), 3).compute()
    assert float(found.lower[0] / found.lower[1]) == pytest.approx(2, rel=0.05)
    assert float(found.lower[1]) <= 0.01 / (2 * math.pi) * 1.02
    assert (found.alone > 5 * found.lower).all()


def test_thinned_rows_keep_their_distance():
    x = unit_rows("sphere 4", 0)[:60]
    kept = thinned(x, 0.5)
    gaps = np.linalg.norm(kept[:, None] - kept, axis=-1)[np.triu_indices(len(kept), 1)]
    assert gaps.min() >= 0.5
    assert all(np.linalg.norm(kept - row, axis=1).min() < 0.5 or (kept == row).all(axis=1).any() for row in x)
