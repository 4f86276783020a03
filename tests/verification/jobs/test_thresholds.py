"""Measured thresholds: bisection, what counts as failing, and what a deep run is asked for."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_localsgd import kernels, local_sgd, prediction
from ntk_localsgd.local_sgd import LocalSGD
from verification.data import Source
from verification.jobs import thresholds
from verification.jobs.thresholds import TRIALS, StepThreshold, Threshold, WidthThreshold, first_to_hold, holds_up_to
from verification.jobs.training import Training

TRAINING = Training(Source("sphere", 4, 0), 2, 16, 0.5, 2, 3, seeds=tuple(range(20)), dtype="float64")


@given(st.integers(0, 12))
def test_bisection_gives_the_first_value_that_holds_and_the_last_that_fails(first):
    threshold = first_to_hold(range(12), lambda value, enough: 0 if value >= first else enough)
    assert threshold.value == (first if first < 12 else math.inf)
    assert threshold.fails == (first - 1 if first else math.inf)


def test_one_failure_among_forty_seeds_is_no_failure_rate_of_a_tenth_and_no_proof_of_one():
    # Clopper–Pearson at 95%: one of 40 leaves rates up to 13% possible, so that the value does not hold …
    threshold = first_to_hold([1, 2], lambda value, _: 1 if value == 1 else 0)
    assert threshold == Threshold(2, math.inf)  # … but it does not fail either
    assert first_to_hold([1], lambda *_: 1) == Threshold(math.inf, math.inf)


def test_holding_up_to_a_value_takes_nothing_between_for_granted():
    fails = {3, 5}
    threshold = holds_up_to([1, 2, 3, 4, 5, 6], lambda value, enough: enough if value in fails else 0)
    assert threshold == Threshold(2, 3)
    assert holds_up_to([1, 2], lambda *_: 0) == Threshold(2, math.inf)
    assert holds_up_to([1, 2], lambda *_: 40) == Threshold(math.inf, 1)


def test_as_many_seeds_as_the_level_needs():
    # 1 − 0.025^{1/40} = 8.8% ≤ δ = 10%; with 35 seeds it would be 10.01%.
    assert 1 - 0.025 ** (1 / TRIALS) <= thresholds.DELTA < 1 - 0.025 ** (1 / 34)


def test_no_seed_is_trained_once_enough_have_failed():
    seen = []

    def never(losses):
        seen.append(losses)
        return False

    assert thresholds.failing_seeds(TRAINING, never, 3) >= 3
    assert len(seen) == 10 < len(TRAINING.seeds)  # a group
    assert thresholds.failing_seeds(TRAINING, lambda _: True, 3) == 0
    alone = local_sgd.run(TRAINING.network(7), TRAINING.dataset, TRAINING.clients, TRAINING.config)
    np.testing.assert_allclose(seen[7], alone.trajectory.loss, rtol=1e-12)  # the same sums in another order


def test_a_diverged_run_ends_with_an_infinite_loss():
    seen = []
    # Steps 10⁶ times what is stable: either everything dies at once or the loss is beyond all bounds.
    too_large = dataclasses.replace(TRAINING, step_size=1e6, seeds=tuple(range(10)))
    thresholds.failing_seeds(too_large, lambda losses: seen.append(losses[-1]), 10)
    assert math.inf in seen


def _no_seed(*_):
    return TRIALS


def test_no_stable_step_size_is_none_and_not_an_infinite_one(monkeypatch):
    monkeypatch.setattr(thresholds, "failing_seeds", _no_seed)
    for job in (StepThreshold(TRAINING, "stable"), StepThreshold(TRAINING, "rate", 10.0)):
        assert job.compute().threshold == 0


@pytest.mark.parametrize("stable_below", [0.9, 3.0])
def test_the_largest_stable_step_size_is_the_kernel_s_where_patterns_cannot_change(stable_below, monkeypatch):
    def failing(training, holds, enough):
        # One direction of the linear recursion with η λ = factor: |1 − factor| a step.
        losses = (1 - training.step_size * 2 / stable_below) ** (2 * np.arange(training.num_rounds + 1))
        return 0 if holds(losses) else enough

    monkeypatch.setattr(thresholds, "failing_seeds", failing)
    job = StepThreshold(dataclasses.replace(TRAINING, step_size=1.0, num_rounds=40), "stable")
    threshold, fails = (float(job.compute()[name]) for name in ("threshold", "fails"))
    assert threshold < stable_below <= fails <= 1.5 * threshold


def test_the_smallest_width_bisects_a_grid_and_divides_a_deep_step_size_by_it(monkeypatch):
    seen = {}

    def failing(training, holds, enough):
        seen[training.width] = training.step_size
        return 0 if training.width >= 48 else enough

    monkeypatch.setattr(thresholds, "failing_seeds", failing)
    for depth in (None, 2):
        training = dataclasses.replace(TRAINING, depth=depth, num_rounds=128)
        job = WidthThreshold(training, 1024, factor=2.0)
        assert (job.compute().threshold, job.compute().fails) == (64, 46)
        assert all(step == pytest.approx(1.0 / (width if depth else 1)) for width, step in seen.items())


@pytest.mark.parametrize(("distance", "reached"), [(0.8, True), (0.2, False)])
def test_a_deep_run_is_asked_for_what_the_kernel_regime_reaches_in_half_its_rounds(distance, reached):
    source = Source("planted", 4, 0, distance=distance)
    problem = source.load()
    step = 0.5 / problem.largest_deep_eigenvalue(4, 2)
    training = Training(source, 4, 1, step, 5, 128, (0,), depth=2)
    asked, share = thresholds.patience(training)
    gram = kernels.infinite_deep_gram(problem.inputs, 2)
    config = LocalSGD(step, 5, asked // 2)
    path = prediction.local_gd(gram, problem.split(4), -problem.dataset.targets, config)
    shares = (path**2).sum(axis=1) / (path[0] ** 2).sum()
    assert shares[-1] <= share < shares[-2]
    assert (share == 0.01) is reached
    assert (asked < training.num_rounds) is reached
    assert asked <= training.num_rounds
    assert thresholds.patience(dataclasses.replace(training, batch_size=1))[0] <= training.num_rounds
