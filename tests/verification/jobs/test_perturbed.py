"""The adversary of K6: inside the ball, across kinks, and stronger than chance; and what is counted."""

import dataclasses

import numpy as np
import pytest

from verification.data import Source
from verification.jobs.perturbed import Attacked, Uncertain, union_counts, worst_in_ball

DATA = Source("sphere", 4, 0, input_dim=6)
PROBLEM = DATA.load()
ATTACKED = Attacked(DATA, 300, 2, 0.1, 0, "ball", 0.1)


def _unit(rng, *shape):
    x = rng.standard_normal(shape)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("on", [True, False])
def test_adversary_stays_in_the_ball_and_flips_every_neuron_that_can_reach_its_nearest_kink(on):
    rng, radius = np.random.default_rng(0), 0.2
    x, weights = _unit(rng, 5, 7), rng.standard_normal((2000, 7))
    moved = worst_in_ball(weights, x, radius, on=on)
    assert np.linalg.norm(moved - weights, axis=1).max() <= radius * (1 + 1e-12)  # rounding of a norm
    z, after = weights @ x.T, moved @ x.T
    reachable = ((z < 0) == on) & (np.abs(z) < 0.99 * radius)
    nearest = np.where(reachable, np.abs(z), np.inf).argmin(axis=1)
    rows = np.flatnonzero(reachable.any(axis=1))
    assert len(rows) > 100
    assert ((after >= 0) == on)[rows, nearest[rows]].all()


def test_adversary_flips_more_than_random_moves_of_the_same_size():
    rng, radius = np.random.default_rng(1), 0.1
    x, weights = _unit(rng, 4, 16), rng.standard_normal((4000, 16))
    random = weights + radius * _unit(rng, 4000, 16)
    worst = worst_in_ball(weights, x, radius, on=True)
    flips = [((w @ x.T >= 0) != (weights @ x.T >= 0)).sum() for w in (worst, random)]
    assert flips[0] > 1.5 * flips[1]


def test_neurons_uncertain_on_either_sample_are_counted_once():
    uncertain = np.random.default_rng(0).random((60, 5)) < 0.3
    sets = [set(np.flatnonzero(column)) for column in uncertain.T]
    np.testing.assert_array_equal(union_counts(uncertain), [[len(a | b) for b in sets] for a in sets])


def _gram(weights):
    active = (weights @ PROBLEM.inputs.T >= 0).astype(float)
    return PROBLEM.inner * (active.T @ active) / len(weights)


def test_what_can_change_is_counted_over_the_ball():
    job = Uncertain(DATA, 300, 2, 0.1, 0, "ball")
    measured = job.compute()
    for trial, (weights, rng) in enumerate(job.draws()):
        near = np.abs(weights @ PROBLEM.inputs.T) <= 0.1
        union = (near[:, :, None] | near[:, None, :]).sum(axis=0)
        possible = np.abs(PROBLEM.inner) * union / 300
        assert measured.total[trial] == pytest.approx(possible.sum(), rel=1e-12)
        # Below λ_min wherever the weights go in the ball.
        for _ in range(5):
            inside = weights + 0.1 * _unit(rng, 300, 6)
            assert measured.smallest[trial] <= np.linalg.eigvalsh(_gram(inside))[0]
        exact = np.linalg.eigvalsh(_gram(weights))[0] - np.linalg.norm(possible)
        assert measured.smallest[trial] == pytest.approx(exact, abs=1e-12)


def test_what_does_change_is_the_worst_of_four_attacks():
    measured = ATTACKED.compute()
    x, weights = PROBLEM.inputs, next(ATTACKED.draws())[0]
    moves = [worst_in_ball(weights, aim, 0.1, on=on) for aim, on in ((x, True), (x, False), (x[:1], False))]
    changes = [np.linalg.norm(_gram(moved) - _gram(weights)) for moved in moves]
    assert measured.change[0] >= max(changes) * (1 - 1e-12)
    assert measured.smallest[0] <= min(np.linalg.eigvalsh(_gram(moved))[0] for moved in moves) + 1e-14
    assert 0.09 < float(measured.movement.max()) <= 0.1
    assert 0 < float(measured.ratio.max()) <= 1


def test_outside_the_ball_more_changes_than_can_inside():
    outside = dataclasses.replace(ATTACKED, attack_radius=2.0).compute()
    assert float(outside.ratio.max()) > 1
    assert float(outside.movement.max()) > 0.1
    assert (outside.change > ATTACKED.compute().change).all()


def test_data_sets_share_no_stream():
    draws = [next(Uncertain(DATA, 5, 1, 0.1, 0, f"K6 {kind}").draws())[0] for kind in ("digits", "sphere")]
    assert not np.array_equal(*draws)
