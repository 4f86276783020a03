"""The bounds of one time, lemma by lemma: against walks whose every step is known."""

import numpy as np
import pytest

from ntk_localsgd.certificate.deep.forward import MovedPushes, remainder, switch_pushes
from tests.certificate.deep.walks import at, bounds, kernel_between, network, stepped

_ROOM = 1 + 1e-9


def _walk(seed, *, planted, size, scale, depth=3, halves=False, number=2):
    x, weights = network(seed, planted=planted, size=size, depth=depth)
    rng = np.random.default_rng(seed)
    steps = scale * rng.standard_normal((number, len(x)))
    points = [at(x, weights, weights.hidden)]
    for a in steps:
        points.append(at(x, weights, stepped(points[-1], a)))
    half = None
    if halves:
        half = np.any([p.pre * points[0].pre <= 0 for p in points], axis=0)
    return points, steps, bounds(x, weights, points, steps, half)


_CASES = [
    {"planted": 0, "size": 1.0, "scale": 1e-5},  # smooth
    {"planted": 2, "size": 1e-7, "scale": 1e-6},  # switches of first order
    {"planted": 6, "size": 1e-3, "scale": 1e-3},
    {"planted": 6, "size": 1e-3, "scale": 1e-3, "halves": True},
    {"planted": 9, "size": 1e-3, "scale": 1e-2, "depth": 1},
]


@pytest.mark.parametrize("case", _CASES, ids=["smooth", "switches", "both", "halves", "one layer"])
@pytest.mark.parametrize("seed", range(4))
def test_no_walk_leaves_the_bounds(case, seed):
    points, _, found = _walk(seed, **case)
    frozen, gradients = found.frozen, found.gradients
    switched = np.any([(p.pre >= 0) != frozen.on for p in points], axis=0)
    assert not (switched & ~found.moves.uncertain).any()
    assert switched.any() or not case["planted"]
    for one in points:
        lower, upper = one.lower - frozen.lower, one.upper - frozen.upper
        for layer in range(frozen.depth):
            change = one.hidden[layer + 1] - frozen.hidden[layer + 1]
            assert (np.linalg.norm(change, axis=1) <= found.moves.lengths[layer + 1] * _ROOM).all()
            assert (np.abs(change) <= found.moves.hidden[layer] * _ROOM).all()
        assert (np.abs(upper) <= gradients.upper * _ROOM).all()
        assert (np.linalg.norm(lower, axis=2) <= gradients.lengths * _ROOM).all()
        assert (np.abs(np.einsum("lir,ljr->lij", lower, frozen.lower)) <= gradients.along * _ROOM).all()
        for other in points:
            for layer in range(frozen.depth):
                product = one.hidden[layer] @ other.hidden[layer].T
                assert (np.abs(product - frozen.hidden_products[layer]) <= found.hidden[layer] * _ROOM).all()
            products = np.einsum("lir,ljr->lij", lower, other.lower - frozen.lower)
            assert (np.abs(products) <= gradients.cross * _ROOM).all()
            assert (np.abs(kernel_between(one, other) - frozen.gram) <= found.kernel * _ROOM).all()


@pytest.mark.parametrize("case", _CASES, ids=["smooth", "switches", "both", "halves", "one layer"])
@pytest.mark.parametrize("seed", range(4))
def test_no_walk_leaves_the_remainder(case, seed):
    points, steps, found = _walk(seed, **case, number=3)
    frozen = found.frozen
    pushes = switch_pushes(frozen, found.gradients, found.seen) + MovedPushes(frozen)(found.seen)
    rest = remainder(frozen, found.moves, found.hidden, found.gradients, found.seen, pushes)
    for point, a in zip(points[1:], np.cumsum(steps, axis=0), strict=True):
        off = np.abs(point.pre - frozen.pre + np.einsum("lijr,j->lir", frozen.response, a))
        assert (off <= rest.entries + rest.dense_entries).all()


@pytest.mark.parametrize("seed", range(3))
def test_first_order_is_exact_where_nothing_switches(seed):
    """The bounds' share of what happens tends to one as the walk shrinks: no term is counted twice."""
    points, steps, found = _walk(seed, planted=0, size=1.0, scale=1e-7, number=1)
    exact = np.abs(kernel_between(points[-1], points[-1]) - found.frozen.gram)
    along = found.frozen.kernel_rows @ steps[0]
    first = np.abs(along) + np.abs(along).T
    for layer in range(1, found.frozen.depth):
        rows = np.abs(found.frozen.hidden_rows[layer - 1] @ steps[0])
        first += np.abs(found.frozen.back_products[layer]) * (rows + rows.T)
    assert (exact <= first * 1.001).all()
    assert (found.kernel <= first * 1.001 + 1e-10).all()


def test_what_moved_weights_push_is_kept_for_a_little_more():
    _, _, found = _walk(0, planted=0, size=1.0, scale=1e-3)
    kept, seen = MovedPushes(found.frozen), found.seen
    first, later = kept(seen), kept(1.05 * seen)
    assert np.allclose(later, 1.05**2 * first, rtol=1e-6)
    lopsided = seen * np.where(np.eye(len(seen)) > 0, 1.3, 1.0)
    assert (kept(lopsided) >= MovedPushes(found.frozen)(lopsided) * (1 - 1e-6)).all()
    assert kept(lopsided) == pytest.approx(MovedPushes(found.frozen)(lopsided), rel=1e-6)


def test_changed_inner_products_push_along_every_frozen_gradient():
    _, _, found = _walk(0, planted=0, size=1.0, scale=1e-5)
    frozen, n = found.frozen, len(found.seen)
    rest = remainder(frozen, found.moves, found.hidden, found.gradients, found.seen, np.zeros_like(frozen.pre))
    for layer in range(frozen.depth):
        own = np.broadcast_to(frozen.lower[layer], (n, *frozen.lower[layer].shape))
        exact = sum(
            np.einsum("ij,ijr->ir", found.seen * found.hidden[k], np.abs(vectors))
            for k, vectors in enumerate([*frozen.transported[layer], own])
        )
        assert rest.entries[layer] == pytest.approx(exact, rel=1e-3, abs=1e-13)
        assert (rest.entries[layer] >= exact).all()
