"""Growth entry by entry: exact for one sample, never above norms, never below what changes do."""

import numpy as np
import pytest

from ntk_localsgd.certificate.flow import flow, predict
from ntk_localsgd.certificate.growth import EntrywiseGrowth
from ntk_localsgd.certificate.model import RoundModel, Rounds, split_norms
from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd import LocalSGD
from tests.certificate.test_model import _adversaries, _changed_round, _setting


@pytest.mark.parametrize("steps", [1, 4])
def test_one_sample_has_the_growth_that_its_changes_can_have(steps):
    model = RoundModel(np.array([[1.0]]), Rounds.of(Clients((np.array([0]),)), LocalSGD(0.3, steps, 0)))
    change = 0.2
    chain = model.chain(change, change)
    # r^{k+1} = (1 − ηΘ̃)r^k with Θ̃ = 0.8 throughout; the round's own change is measured against 0.7^τ.
    powers = [(0.7 + 0.3 * change) ** k for k in range(steps)]
    sums = [0.3 * sum(0.7**p for p in range(steps - 1 - k)) for k in range(steps)]
    exact = 0.3 * sum((1 + s) * change * p for s, p in zip(sums, powers, strict=True))
    assert EntrywiseGrowth(model)(np.array([[change]]), chain) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_no_adversary_beats_the_sharper_rate(seed):
    problem, gram, rng = _setting(seed)
    model, changes = RoundModel(gram, problem), 3e-2 * rng.random(gram.shape)
    changes = changes + changes.T
    growth = EntrywiseGrowth(model)
    assert growth(changes, model.chain(*split_norms(changes, problem))) > 0
    sharp = flow(model, predict(model, np.ones(len(gram)), 1), changes, 1.0, growth).rate
    blunt = flow(model, predict(model, np.ones(len(gram)), 1), changes, 1.0).rate
    assert sharp < blunt
    slowest = np.linalg.solve(model.root, np.linalg.svd(model.root @ model.operator @ model.inverse_root)[2][0])
    ends = [
        np.linalg.norm(model.root @ _changed_round(problem, gram, changes, slowest, adversary)[0])
        for adversary in _adversaries(len(gram))
    ]
    assert model.contraction < max(ends) <= sharp


def test_too_many_local_steps_are_left_to_norms():
    problem, gram, _ = _setting(0, steps=65)
    model = RoundModel(gram, problem)
    assert EntrywiseGrowth(model)(np.full_like(gram, 1e-3), model.chain(1e-2, 1e-2)) == np.inf
