"""The predicted path in the views of clients, and what weights may deviate from it by."""

import numpy as np
import pytest

from ntk_localsgd.certificate.deep.path import Path, leverage
from ntk_localsgd.certificate.model import RoundModel
from tests.certificate.test_model import _changed_round, _setting


@pytest.fixture(scope="module")
def prediction():
    problem, gram, rng = _setting(0)
    residual = rng.standard_normal(len(gram))
    return problem, Path(RoundModel(gram, problem), residual, 1e-12 * np.ones(len(gram))), residual, rng


def _distance(path, point, client):
    """How far a linear functional of a point can be beyond all kept points, over its energy: 0 inside the hull."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, len(point)))
    beyond = rows @ point - (rows @ path.points[client].T).max(axis=1)
    return float((beyond / np.sqrt(np.einsum("pi,ij,pj->p", rows, path.inverse.matrix, rows))).max())


def test_every_model_that_a_client_sees_is_within_the_spread_of_the_kept_points(prediction):
    problem, path, residual, _ = prediction
    weights, r = np.zeros_like(residual), residual
    for _ in range(60):
        gained = np.zeros_like(residual)
        for c, part in enumerate(problem.clients.indices):
            local = r[part]
            for _ in range(problem.local_steps):
                gained[part] += problem.step_size * local
                own = np.zeros_like(residual)
                own[part] = gained[part]
                assert _distance(path, weights + own, c) <= path.spread
                local = local - problem.step_size * path.model.gram[np.ix_(part, part)] @ local
        weights = weights + gained / problem.clients.num_clients
        r = residual - path.model.gram @ weights
        assert all(_distance(path, weights, c) <= path.spread for c in range(problem.clients.num_clients))


def test_changed_rounds_stay_within_what_is_weighed(prediction):
    problem, path, residual, rng = prediction
    gram, changes = path.model.gram, np.full((6, 6), 2e-3)
    found = path.weigh(changes)
    assert found.rate < 1
    rows = np.broadcast_to(rng.standard_normal((4, 6)), (6, 4, 6))
    bound = leverage(path.inverse, rows).bound(found.deviation)[0]
    r, weights, size, first = residual, np.zeros(6), np.zeros(6), np.linalg.norm(residual)
    straight, followed = residual, np.zeros(6)
    for t in range(1, 200):
        r, moved = _changed_round(
            problem, gram, changes, r, lambda rows, local: rng.uniform(-1, 1, (len(rows), len(local)))
        )
        weights, size = weights + moved, size + np.abs(moved)
        assert np.linalg.norm(r) <= found.constant * found.rate**t * first
        straight, predicted = _changed_round(
            problem, gram, 0 * changes, straight, lambda rows, _: np.ones((len(rows), 1))
        )
        followed = followed + predicted
        assert (np.abs(rows[0] @ (weights - followed)) <= bound).all()
    assert (size <= found.averaged).all()


def test_the_constant_counts_the_tail_in_its_own_norm(prediction):
    problem, path, _, _ = prediction
    # Along the slowest direction every round falls alike: what remains is the tail's change of norms.
    values, vectors = np.linalg.eig(path.model.operator)
    slow = Path(path.model, np.real(vectors[:, np.argmax(np.real(values))]), np.full(6, 1e-15))
    found, last = slow.weigh(np.full((6, 6), 1e-9)), slow.model.length(slow.predicted.residuals[-1])
    needed = slow.model.inverse_norm * last / (found.rate**slow.predicted.rounds * slow.least)
    assert 1.01 < needed <= found.constant
    assert problem.local_steps > 1


def test_changes_that_are_no_number_or_too_large_certify_nothing(prediction):
    _, path, _, _ = prediction
    for changes in (np.full((6, 6), np.nan), np.full((6, 6), 10.0)):
        found = path.weigh(changes)
        assert not found.rate < 1
        assert not np.isfinite(found.averaged).any()
