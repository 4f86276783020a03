"""The argument closes on itself or not at all."""

import numpy as np

from ntk_localsgd.certificate.deep.closing import Argument, certify_deep
from ntk_localsgd.certificate.deep.frozen import Frozen
from ntk_localsgd.certificate.model import Rounds
from ntk_localsgd.certificate.outcome import Obstacle
from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd import LocalSGD
from tests.certificate.deep.walks import network


def _argument(size, *, planted=3):
    x, weights = network(4, width=64, planted=planted, size=size / 10)
    frozen, split = Frozen(weights, x), Clients((np.array([0, 2]), np.array([1])))
    step = 0.9 / max(np.linalg.eigvalsh(frozen.gram[np.ix_(p, p)])[-1] for p in split.indices)
    rounds = Rounds.of(split, LocalSGD(float(step), 4, 0))
    return Argument(frozen, frozen.outputs - size * np.array([1.0, -1.0, 1.0]), rounds), rounds, x, weights


def test_a_certificate_s_bounds_imply_themselves_and_smaller_ones_do_not():
    argument, _, _, _ = _argument(1e-3)
    result = argument.close()
    assert result.certified
    start = argument._start()
    assert not argument.sweep(start).state.holds_in(start)
    # Every sweep was needed: the pairs named are those of the last, not of the first.
    first = argument.sweep(start).moves.uncertain.sum()
    assert len(result.switching) >= first
    state = start
    for _ in range(60):
        found = argument.sweep(state)
        if found.state.holds_in(state):
            break
        state = state.enlarged(found.state, 1.02)
    assert argument.sweep(state).weighing.rate == result.rate


def test_bounds_grow_with_what_is_assumed():
    argument, _, _, _ = _argument(1e-4)
    small = argument._start()
    large = small.enlarged(small, 1.5)
    one, other = argument.sweep(small), argument.sweep(large)
    assert one.weighing.rate <= other.weighing.rate
    assert one.state.holds_in(other.state)
    assert not (one.moves.uncertain & ~other.moves.uncertain).any()


def test_free_slopes_do_no_harm():
    argument, rounds, x, weights = _argument(3e-3)
    best = certify_deep(weights, x, argument.frozen.outputs - 3e-3 * np.array([1.0, -1.0, 1.0]), rounds)
    alone = argument.close()
    assert (not best.certified, best.rate) <= (not alone.certified, alone.rate)


def test_what_does_not_close_names_its_obstacle():
    argument, _, _, _ = _argument(1.0)
    result = argument.close()
    assert not result.certified
    assert result.obstacle in {Obstacle.PATTERNS, Obstacle.OPEN}
    assert "patterns that may switch" in result.explanation
