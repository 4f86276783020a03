"""The adversary of K6: inside the ball, across kinks, and stronger than chance."""

import numpy as np
import pytest

from verification.kernel_stability import union_counts, worst_in_ball


@pytest.mark.parametrize("on", [True, False])
def test_adversary_stays_in_the_ball_and_flips_every_neuron_that_can_reach_its_nearest_kink(on):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 7))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weights, radius = rng.standard_normal((2000, 7)), 0.2
    moved = worst_in_ball(weights, x, radius, on=on)
    assert np.linalg.norm(moved - weights, axis=1).max() <= radius * (1 + 1e-12)  # rounding of a norm
    z, after = weights @ x.T, moved @ x.T
    reachable = ((z < 0) == on) & (np.abs(z) < 0.99 * radius)
    nearest = np.where(reachable, np.abs(z), np.inf).argmin(axis=1)
    rows = np.flatnonzero(reachable.any(axis=1))
    assert ((after >= 0) == on)[rows, nearest[rows]].all()


def test_adversary_flips_more_than_random_moves_of_the_same_size():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4, 16))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weights, radius = rng.standard_normal((4000, 16)), 0.1
    random = rng.standard_normal(weights.shape)
    random *= radius / np.linalg.norm(random, axis=1, keepdims=True)
    flips = [
        ((w @ x.T >= 0) != (weights @ x.T >= 0)).sum()
        for w in (worst_in_ball(weights, x, radius, on=True), weights + random)
    ]
    assert flips[0] > 1.5 * flips[1]


def test_neurons_uncertain_on_either_sample_are_counted_once():
    uncertain = np.random.default_rng(0).random((5, 60)) < 0.3
    sets = [set(np.flatnonzero(row)) for row in uncertain]
    np.testing.assert_array_equal(union_counts(uncertain), [[len(a | b) for b in sets] for a in sets])
