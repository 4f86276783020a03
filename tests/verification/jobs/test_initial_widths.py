"""The smallest width at initialization, against a search by hand over the same neurons."""

import dataclasses

import numpy as np
import pytest

from ntk_localsgd import kernels
from verification.jobs.initial_widths import InitialWidths, smallest_width

JOB = InitialWidths((3, 4), (0.8,), 6, 0, 5, 0.05, 0, "widths")


def test_no_trial_fails_from_the_smallest_width_on():
    x = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 3)))[0].T  # λ0 = ½
    gram, limit, trials, least = kernels.infinite_gram(x), 300, 6, 0.4
    width = smallest_width(x, gram, limit, trials, np.random.default_rng(17), least=least)
    rng, failing = np.random.default_rng(17), set()
    grid = sorted({int(np.ceil(2 ** (k / 2))) for k in range(2, 100) if 2 ** (k / 2) < limit} | {limit})
    for _ in range(trials):
        weights = rng.standard_normal((limit, 6), dtype=np.float32)
        for m in grid:
            active = (weights[:m] @ x.T.astype(np.float32) >= 0).astype(float)
            if np.linalg.eigvalsh(x @ x.T * (active.T @ active) / m)[0] < least:
                failing.add(m)
    assert width == min(m for m in grid if m > max(failing))
    assert failing != set(grid[: len(failing)])  # a width below it has no failure, so that the first good one is not it


def test_a_width_that_no_grid_reaches_is_twice_the_limit():
    x = np.eye(3)
    assert smallest_width(x, np.eye(3) / 2, 50, 3, np.random.default_rng(0), least=1.0) == 100
    assert smallest_width(x, np.eye(3) / 2, 50, 3, np.random.default_rng(0), least=None, distance=0.0) == 100
    assert smallest_width(x, np.eye(3) / 2, 50, 3, np.random.default_rng(0), least=-1.0) == 2


def test_every_size_is_measured_with_every_distance_and_the_norm_asks_for_more():
    points, by_norm = JOB.compute(), dataclasses.replace(JOB, frobenius=True).compute()
    np.testing.assert_array_equal(points.num_samples, [3, 4])
    assert points.separation[0] == pytest.approx(0.8, rel=1e-9)  # the planted pair; with four points others are closer
    assert (points.measured <= points.asked).all()
    assert (by_norm.measured >= points.measured).all()
    assert by_norm.asked.values == pytest.approx(points.asked.values)
