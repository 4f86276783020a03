"""A round with frozen patterns, and bounds on what changing patterns add: against random changes."""

import dataclasses
import itertools

import numpy as np
import pytest

from ntk_localsgd import prediction
from ntk_localsgd.certificate.flow import flow, predict
from ntk_localsgd.certificate.model import Problem, RoundModel, Unsuitable, split_norms
from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd import LocalSGD


def _setting(seed, *, n=6, steps=4, share=0.95):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 9))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    active = (rng.standard_normal((400, 9)) @ x.T >= 0).astype(float)
    gram = (x @ x.T) * (active.T @ active) / 400
    split = Clients((np.array([0, 3, 4]), np.array([1]), np.array([2, 5])))
    step = share / max(np.linalg.eigvalsh(gram[np.ix_(s, s)])[-1] for s in split.indices)
    return Problem.from_inputs(x, split, LocalSGD(step, steps, 0)), gram, rng


def _changed_round(problem, gram, changes, residual, shares):
    """One exact round whose Gram matrix differs at every step by at most ``changes``; returns r(t+1) and weights.

    ``shares(rows, local)`` in [−1, 1] says by how much of that, for the samples ``rows`` and a client's residual.
    """
    total = np.zeros((len(residual), len(residual)))  # column i: what sample i's weights did to the others
    weights = np.zeros_like(residual)
    for part in problem.clients.indices:
        local = residual[part]
        for _ in range(problem.local_steps):
            weights[part] += problem.step_size * local / problem.clients.num_clients
            off = changes[:, part] * shares(np.arange(len(residual)), local)
            total[:, part] += problem.step_size / problem.clients.num_clients * (gram[:, part] + off) * local
            inside = changes[np.ix_(part, part)] * shares(part, local)
            local = local - problem.step_size * (gram[np.ix_(part, part)] + inside) @ local
    return residual - total.sum(axis=1), weights


@pytest.mark.parametrize("scale", [1.0, 1e-3, 40.0])
def test_inner_products_are_off_by_less_than_they_say(scale):
    x = scale * np.random.default_rng(0).standard_normal((30, 9))
    problem, wide = Problem.from_inputs(x, Clients((np.arange(30),)), LocalSGD(0.1, 1, 0)), x.astype(np.longdouble)
    off = np.abs(problem.inner - wide @ wide.T).max()
    assert 0 < off <= problem.inner_error < 1e3 * off


def _at_random(rng):
    return lambda rows, local: rng.uniform(-1, 1, (len(rows), len(local)))


def _adversaries(n):
    """Every change at its bound, pushing each sample's residual one way from start to end: all choices of the ways."""
    for ways in itertools.product((-1, 1), repeat=n):
        signs = np.array(ways)
        yield lambda rows, local, signs=signs: np.outer(signs[rows], np.sign(local))


@pytest.mark.parametrize("seed", range(4))
def test_operator_and_contraction_are_those_of_the_prediction(seed):
    problem, gram, _ = _setting(seed)
    model = RoundModel(gram, problem)
    config = LocalSGD(problem.step_size, problem.local_steps, 0)
    expected = prediction.round_operator(gram, problem.clients, config)
    assert np.allclose(model.operator, expected, atol=1e-13)
    found = prediction.contraction(gram, problem.clients, config)
    assert found.norm * (1 - 1e-12) <= model.contraction <= found.norm + 1e-6
    plain = RoundModel(gram, problem, euclidean=True).contraction
    assert found.operator_norm * (1 - 1e-12) <= plain <= found.operator_norm + 1e-6


@pytest.mark.parametrize("steps", [1, 2, 3, 9])
def test_norms_of_the_chain_are_upper_bounds(steps):
    problem, gram, _ = _setting(1, steps=steps)
    model = RoundModel(gram, problem)
    inverse = np.linalg.inv(model.root)
    chain = model.chain(0.0, 0.0)
    for k in range(steps):
        power = np.linalg.matrix_power(model.local_map, k)
        assert chain.steps[k] >= np.linalg.norm(power @ inverse, 2) * (1 - 1e-12)
        later = problem.step_size * sum(
            (np.linalg.matrix_power(model.local_map, p) for p in range(steps - 1 - k)), np.zeros_like(gram)
        )
        assert model.end_norms[k] >= np.linalg.norm(model.root @ gram @ later, 2) * (1 - 1e-12)
    assert (chain.bent == 0).all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [1e-3, 3e-2])
def test_no_change_of_patterns_leaves_the_flow(seed, size):
    problem, gram, rng = _setting(seed)
    model = RoundModel(gram, problem)
    half = size * rng.random(gram.shape)
    changes = half + half.T
    rounds = 12
    start = rng.standard_normal(len(gram))
    predicted = predict(model, start, rounds)
    error = 1e-3 * rng.standard_normal(len(gram))
    bound = flow(model, predicted, changes, float(np.linalg.norm(model.root @ error)))
    residual, gained = start + error, np.zeros_like(start)
    for t in range(rounds + 1):
        off = float(np.linalg.norm(model.root @ (residual - predicted.residuals[t])))
        assert off <= bound.errors[t] * (1 + 1e-9)
        if t < rounds:
            residual, weights = _changed_round(problem, gram, changes, residual, _at_random(rng))
            gained += np.abs(weights)
    # Θ(a − â) = e(0) − e(T) − Σg: what no weights explain is bounded by the forcing.
    assert (gained <= predicted.up + predicted.down + bound.weights + 1e-12).all()
    assert bound.rate >= model.contraction


def test_the_tail_bounds_everything_for_ever():
    problem, gram, rng = _setting(2)
    model = RoundModel(gram, problem)
    changes = np.full_like(gram, 2e-3)
    start = rng.standard_normal(len(gram))
    bound = flow(model, predict(model, start, 0), changes, model.length(start))
    assert bound.rate < 1
    residual, gained = start, np.zeros_like(start)
    for t in range(300):
        assert np.linalg.norm(model.root @ residual) <= bound.rate**t * bound.errors[0] + 1e-14
        residual, weights = _changed_round(problem, gram, changes, residual, _at_random(rng))
        gained += np.abs(weights)
    assert (gained <= bound.weights).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rounds", [1, 4])
@pytest.mark.parametrize("size", [1e-3, 3e-2])
def test_no_adversary_leaves_the_flow(seed, rounds, size):
    problem, gram, rng = _setting(seed)
    model = RoundModel(gram, problem)
    changes, start = np.full_like(gram, size), rng.standard_normal(len(gram))
    predicted = predict(model, start, rounds)
    bound = flow(model, predicted, changes, 0.0)
    scale = problem.step_size / problem.clients.num_clients
    for adversary in _adversaries(len(gram)):
        residual, apart, largest = start, np.zeros_like(start), np.zeros_like(start)
        for t in range(rounds):
            residual, weights = _changed_round(problem, gram, changes, residual, adversary)
            off = np.abs(weights - scale * sum(step[t] for step in predicted.local_steps))
            apart, largest = apart + off, np.maximum(largest, problem.clients.num_clients * off)
            assert np.linalg.norm(model.root @ (residual - predicted.residuals[t + 1])) <= bound.errors[t + 1]
        assert (apart <= bound.weights + 1e-13).all()
        assert (largest <= bound.local_weights + 1e-13).all()
        assert np.linalg.norm(apart) <= bound.weight_norm + 1e-13
        assert np.linalg.norm(largest) <= bound.local_weight_norm + 1e-13


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("across_clients_only", [False, True])
def test_no_adversary_beats_the_rate(seed, across_clients_only):
    problem, gram, _ = _setting(seed)
    model = RoundModel(gram, problem)
    changes, nothing = np.full_like(gram, 1e-3), np.zeros(len(gram))
    if across_clients_only:
        changes = np.where(problem.same_client, 0.0, changes)
    bound = flow(model, predict(model, nothing, 1), changes, 1.0)
    # The direction in which a frozen round contracts least.
    slowest = np.linalg.solve(model.root, np.linalg.svd(model.root @ model.operator @ model.inverse_root)[2][0])
    ends = []
    for adversary in _adversaries(len(gram)):
        residual, weights = _changed_round(problem, gram, changes, slowest, adversary)
        ends.append(np.linalg.norm(model.root @ residual))
        assert (np.abs(weights) <= bound.weights).all()
    assert model.contraction < max(ends) <= bound.rate


@pytest.mark.parametrize("steps", [2, 5])
def test_the_chain_bounds_what_an_error_does_to_local_steps_whose_patterns_change(steps):
    problem, gram, _ = _setting(0, steps=steps)
    model, size = RoundModel(gram, problem), 0.05
    chain = model.chain(size, size)
    inside = np.where(problem.same_client, gram, 0.0)
    for error in np.linalg.eigh(inside)[1].T:
        local, frozen = error, error
        for k in range(steps):
            length = np.linalg.norm(model.root @ error) * (1 + 1e-12)
            assert np.linalg.norm(local) <= chain.steps[k] * length
            assert np.linalg.norm(local - frozen) <= chain.bent[k] * length + 1e-14
            # The change −size·1 slows every direction down.
            local = local - problem.step_size * (inside - size * np.eye(len(gram))) @ local
            frozen = model.local_map @ frozen


def test_the_predicted_path_stays_in_its_hull():
    problem, gram, rng = _setting(5)
    model = RoundModel(gram, problem)
    predicted = predict(model, rng.standard_normal(len(gram)), 15)
    assert np.allclose(predicted.moved, np.linalg.solve(gram, predicted.residuals[0] - predicted.residuals[-1]))
    # Along any direction, every averaged point is between the ends up to the spread.
    path, direction = np.zeros(len(gram)), rng.standard_normal((50, len(gram)))
    for residual in predicted.residuals[:-1]:
        path = path + model.weights @ residual / problem.clients.num_clients
        value, end = direction @ path, direction @ predicted.moved
        slack = np.abs(direction) @ predicted.spread + 1e-12
        assert (value <= np.maximum(end, 0) + slack).all()
        assert (value >= np.minimum(end, 0) - slack).all()


def test_unsuitable_rounds_are_refused():
    problem, gram, _ = _setting(0, share=1.01)
    with pytest.raises(Unsuitable, match="exceeds 1/λ_max"):
        RoundModel(gram, problem)
    problem, gram, _ = _setting(0)
    gram[0], gram[:, 0] = gram[3], gram[:, 3]
    gram[0, 0] = gram[3, 3]
    with pytest.raises(Unsuitable, match="singular"):
        RoundModel(gram, dataclasses.replace(problem, step_size=problem.step_size / 4))


def test_split_norms_see_every_client():
    problem, gram, _ = _setting(0)
    whole, client = split_norms(np.abs(gram), problem)
    assert client <= whole
    assert client >= np.abs(gram)[1, 1]
