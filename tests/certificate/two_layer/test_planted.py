"""Each step of the proof on a planted case that needs it: the bound holds there, and without the step it is false.

Lemmas are tried alone, on linear recursions whose Gram matrix changes by all that is allowed; the mutations beside
(`tests/mutations/cases/certificate.py`) leave the steps out.
"""

import numpy as np
import pytest

from ntk_localsgd.certificate.flow import flow, predict
from ntk_localsgd.certificate.model import Problem, RoundModel
from ntk_localsgd.certificate.two_layer.neurons import NearKinks
from ntk_localsgd.certificate.two_layer.pairs import PairBounds
from ntk_localsgd.certificate.two_layer.path import Path
from ntk_localsgd.certificate.two_layer.reach import Reach, chord_ends, switching_shares
from ntk_localsgd.certificate.two_layer.steps import PROVED
from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd import LocalSGD
from tests.certificate.two_layer.settings import parts_of
from verification.jobs.certified_cases import off_by, split_case
from verification.jobs.reference import follow

# Bounds are computed with slack 1e-9 and pads of a few units of rounding; planted differences are above a percent.
CLOSE = 1e-6


def _alone(steps, *, share=0.5):
    """One sample, one client, Θ = ½."""
    problem = Problem.from_inputs(np.array([[1.0]]), Clients((np.array([0]),)), LocalSGD(2 * share, steps, 0))
    return problem, RoundModel(np.array([[0.5]]), problem)


def _slowed(model, change, residual, rounds):
    """The run of one sample whose Θ is smaller by ``change`` throughout: residuals, and weights of every round."""
    eta, factor = model.problem.step_size, 1 - model.problem.step_size * (0.5 - change)
    residuals = residual * factor ** (model.problem.local_steps * np.arange(rounds + 1))
    steps = factor ** np.arange(model.problem.local_steps)
    return residuals, eta * steps.sum() * residuals[:-1]


def _flow(model, change, start, rounds, error):
    return flow(model, predict(model, np.array([start]), rounds), np.array([[change]]), error * float(model.root[0, 0]))


def test_an_error_s_local_steps_bend_too():
    _, model = _alone(6)
    bound = _flow(model, 0.2, 0.0, 1, 1.0)
    _, (weight,) = _slowed(model, 0.2, 1.0, 1)
    frozen = float(model.weights[0, 0])
    assert weight > 1.2 * frozen
    assert weight <= bound.weights[0]
    assert weight <= bound.local_weights[0]
    assert weight - frozen <= bound.local_bent[0]


def test_errors_force_the_round_as_the_prediction_does():
    _, model = _alone(6)
    bound = _flow(model, 0.2, 0.0, 1, 1.0)
    _, (weight,) = _slowed(model, 0.2, 1.0, 1)
    assert 0.1 < 0.2 * weight <= bound.forcing[0]


def test_changes_of_a_round_act_on_one_another():
    _, model = _alone(6, share=0.1)
    bound = _flow(model, 0.9, 1.0, 1, 0.0)  # Θ̃ < 0: the run grows
    residuals, _ = _slowed(model, 0.9, 1.0, 1)
    off = float(model.root[0, 0]) * (residuals[1] - bound_free(model))
    assert 0 < off <= bound.errors[1]


def bound_free(model):
    """The predicted residual after a round from 1."""
    return float(model.operator[0, 0])


def _one_neuron(problem, model, patterns, sample, value, sign=1.0, error=0.0):
    """`PairBounds` of one neuron (of one in all) that has a pre-activation near its kink on one sample."""
    n = len(problem.inner)
    nobody, nothing = np.zeros(0, np.int64), np.zeros(0)
    near = NearKinks(
        np.full(n, np.inf), np.array([0]), np.array([patterns], bool), np.array([sign]),
        [np.array([0]) if j == sample else nobody for j in range(n)],
        [np.array([value]) if j == sample else nothing for j in range(n)],
        [np.zeros(1) if j == sample else nothing for j in range(n)],
    )  # fmt: skip
    return near, PairBounds(problem, near, 1, model, error, PROVED)


def _may_switch(pairs, near, model, predicted, bound, sample, *, switching=(), ahead=0.0):
    """Whether the neuron is marked on the sample, ``switching`` samples being so already."""
    zero = np.zeros(len(model.gram))
    pairs.prepare(model, near.patterns, predicted)
    uncertain = np.zeros_like(near.patterns)
    uncertain[0, list(switching)] = True
    pairs.mark(uncertain, bound, Reach(predicted, bound, zero, zero, 0.0), ahead)
    return bool(uncertain[0, sample])


def _alike(num_clients, steps):
    """A sample a client, all but parallel, Θ near G/2: what all do together is soon done, and one alone does much."""
    x = np.concatenate([np.full((num_clients, 1), np.sqrt(0.98)), np.sqrt(0.02) * np.eye(num_clients)], axis=1)
    split = Clients(tuple(np.array([c]) for c in range(num_clients)))
    problem = Problem.from_inputs(x, split, LocalSGD(1.8, steps, 0))
    shared = np.where(np.eye(num_clients) > 0, 0.5, 0.45)  # of the neurons, by pairs
    return problem, RoundModel(problem.inner * shared, problem)


def test_an_error_moves_one_client_s_own_local_models_further():
    problem, model = _alike(16, 40)
    error = np.zeros(16)
    error[0] = 1.0
    predicted = predict(model, np.zeros(16), 1)
    bound = flow(model, predicted, np.zeros((16, 16)), float(np.linalg.norm(model.root @ error)))
    own = float(model.weights[0, 0])  # by its last local step
    for share, marked in ((0.98, True), (2.0, False)):
        near, pairs = _one_neuron(problem, model, np.ones(16), 0, share * own)
        assert _may_switch(pairs, near, model, predicted, bound, 0) is marked


def test_one_client_s_own_local_steps_bend():
    problem = Problem.from_inputs(np.eye(16), Clients(tuple(np.array([c]) for c in range(16))), LocalSGD(1.8, 3, 0))
    model, change, start = RoundModel(np.eye(16) / 2, problem), 0.25, np.eye(16)[0]
    predicted = predict(model, start, 1)
    bound = flow(model, predicted, change * np.eye(16), 0.0)
    own = 1.8 * float(np.sum((1 - 1.8 * (0.5 - change)) ** np.arange(3)))
    assert own > 1.5 * float(model.weights[0, 0])
    for share, marked in ((0.98, True), (2.0, False)):
        near, pairs = _one_neuron(problem, model, np.ones(16), 0, share * own)
        assert _may_switch(pairs, near, model, predicted, bound, 0) is marked


def test_a_switching_sample_s_own_local_steps_push():
    x = np.eye(5)
    x[1, :2] = 0.9, np.sqrt(0.19)
    split = Clients((np.array([0, 1]), np.array([2]), np.array([3]), np.array([4])))
    problem = Problem.from_inputs(x, split, LocalSGD(1.0, 6, 0))
    model = RoundModel(problem.inner / 2, problem)
    residual = np.array([1.0, 1, 0, 0, 0])
    predicted = predict(model, residual, 1)
    bound = flow(model, predicted, np.zeros((5, 5)), 0.0)
    zero = np.zeros(5)
    reach = Reach(predicted, bound, zero, zero, 0.0)
    off, on = np.array([[True, False, False, False, False]]), np.ones((1, 5), bool)
    below, _ = switching_shares(problem, reach, 1, off, on, local=True)
    lost = 0.9 * float((model.weights @ residual)[0])  # by sample 0, off on all of its client's steps
    assert lost <= below[0] < 1.3 * lost


def _past(problem, model, patterns, residual, changes, sample, value, switched=(), sign=1.0):
    """Whether a neuron is marked in the tail, when all has happened before it, in 40 predicted rounds."""
    near, pairs = _one_neuron(problem, model, patterns, sample, value, sign)
    zero = np.zeros(len(residual))
    predicted = predict(model, residual, 40)
    bound = flow(model, predicted, changes, 0.0)
    uncertain = np.zeros_like(near.patterns)
    uncertain[0, list(switched)] = True
    pairs.prepare(model, near.patterns, predicted)
    pairs.carry(uncertain, bound, Reach(predicted, bound, zero, zero, 0.0))
    rest = predicted.residuals[-1]
    ahead = model.length(rest)
    tail = predict(model, rest, 0)
    return _may_switch(
        pairs, near, model, tail, flow(model, tail, changes, bound.errors[-1] + ahead), sample, ahead=ahead
    )


def test_what_changes_have_forced_in_the_past_counts():
    problem, model = _alone(1, share=0.5)
    change = np.array([[0.2]])
    residuals, weights = _slowed(model, 0.2, 1.0, 200)
    assert abs(residuals[-1]) < 1e-9
    assert weights.sum() == pytest.approx(1 / 0.3)  # where 1/0.5 is predicted
    assert _past(problem, model, [True], np.ones(1), change, 0, 0.98 * weights.sum())
    assert not _past(problem, model, [True], np.ones(1), change, 0, 4 * weights.sum())


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_samples_that_have_switched_in_the_past_count(sign):
    x = np.array([[1.0, 0.0], [-0.8, 0.6]])
    problem = Problem.from_inputs(x, Clients((np.array([0, 1]),)), LocalSGD(1.0, 5, 0))
    model = RoundModel(problem.inner / 2, problem)
    residual, nothing = sign * np.ones(2), np.zeros((2, 2))
    assert np.linalg.solve(model.gram, residual) == pytest.approx(10 * residual)
    # On both samples the neuron is moved by 10 − 8; off on sample 0 all along, by 10.
    assert _past(problem, model, [True, True], residual, nothing, 1, 9.5, switched=[0], sign=sign)
    assert not _past(problem, model, [True, True], residual, nothing, 1, 25.0, switched=[0], sign=sign)


@pytest.mark.parametrize("later", [False, True])
def test_an_error_before_the_prediction_s_way_moves_what_the_way_has_moved(later):
    # What is not predicted of the residual, half as much as what is, moves the neuron half as far as predicted.
    problem, model = _alone(1)
    error, zero, start = 0.5 * float(model.root[0, 0]), np.zeros(1), np.ones(1)
    near, pairs = _one_neuron(problem, model, [not later], 0, 2.9, error=0.0 if later else error)
    on = np.array([[True]])
    if later:  # off in the segment before, in which nothing is predicted and the error stays
        pairs.prepare(model, near.patterns, predict(model, zero, 1))
        pairs.rebase(model, on, near.patterns, error)
    predicted = predict(model, start, 60)
    bound = flow(model, predicted, np.zeros((1, 1)), error)
    pairs.prepare(model, on, predicted)
    pairs.carry(np.zeros((1, 1), bool), bound, Reach(predicted, bound, zero, zero, 0.0))
    tail = predict(model, predicted.residuals[-1], 0)
    near = near._replace(patterns=on)
    assert float(np.linalg.solve(model.gram, 1.5 * start)[0]) == pytest.approx(3.0)
    assert bound.errors[-1] < 1e-9
    assert _may_switch(pairs, near, model, tail, flow(model, tail, np.zeros((1, 1)), bound.errors[-1]), 0)


def test_neurons_beyond_those_kept_are_reached_by_the_past_too():
    problem, model = _alone(3)
    tail, past = predict(model, np.zeros(1), 0), np.ones(1)
    bound = flow(model, tail, np.zeros((1, 1)), 1e-6)
    for up, down, norm in ((past, 0 * past, 0.0), (0 * past, past, 0.0), (0 * past, 0 * past, 1.0)):
        assert 1 <= Reach(tail, bound, up, down, norm).coarse(problem, 1)[0] < 1.1


def _single(steps, step_size):
    """A network with one sample and one client, its neurons far from every kink."""
    rng = np.random.default_rng(0)
    weights = np.concatenate([np.ones((40, 1)), -np.ones((40, 1))]) * np.array([[3.0, 0.0]]) + rng.normal(size=(80, 2))
    case = split_case(0, width=4)._replace(
        inputs=np.array([[1.0, 0.0]]), targets=np.zeros(1), clients=Clients((np.array([0]),)), weights=weights,
        signs=rng.choice([-1.0, 1.0], 80), step_size=step_size, local_steps=steps,
    )  # fmt: skip
    return off_by(case, np.array([1e-3]))


def test_the_tail_begins_with_the_error_so_far_and_all_that_is_left_to_predict():
    case = _single(1, 0.1)
    problem, survey, near, model = parts_of(case)
    # Two fifths of the residual are not known: they are error from the start.
    residual = survey.residual
    path = Path(problem, survey._replace(residual=0.6 * residual, residual_error=0.4 * residual), near, model)
    path.advance(0)
    radius, seen = path.conclude().radius, follow(case, 400)
    assert 0.9 * radius < seen.movement <= radius


def test_what_is_left_to_predict_counts_twice_in_the_tail():
    # Samples 1, 2, 3 of one client; the error turns what 1 gives to 2 into 3 and back against 1. Sample 0 is another
    # client's, its neuron off on it: no local steps of its own are counted beside.
    turned, own = 0.1796, np.diag([1.0, 1.0, 1 - 0.816])
    own[:2, :2] -= 0.82 * np.outer(*2 * [[np.sin(0.714), np.cos(0.714)]])
    theta = np.diag([0.5, 0, 0, 0])
    theta[1:, 1:] = own
    inner = np.diag([0.5] * 4)
    inner[0, 1:], inner[1, 2], inner[2, 3] = own[0] / 2, own[0, 1] / 0.9, 0.2
    split, eta = Clients((np.array([0]), np.arange(1, 4))), 0.9999
    problem = Problem.from_inputs(np.linalg.cholesky(inner + inner.T), split, LocalSGD(eta, 1, 0))
    model, start = RoundModel(theta, problem), np.array([0.0, 1, 0, 0])
    changes = np.zeros((4, 4))
    changes[2, 3], changes[3, 2] = turned, -turned
    residual, weights = start, np.zeros(4)
    for _ in range(35):
        weights = weights + eta / 2 * residual
        residual = residual - eta / 2 * (theta + changes) @ residual
    moved, ahead = float(own[0] @ weights[1:]) / 2, model.length(start)
    tail = predict(model, start, 0)
    bound = flow(model, tail, np.abs(changes), ahead)
    assert bound.rate < 1
    near, pairs = _one_neuron(problem, model, [0, 1, 1, 0], 0, -0.999 * moved, -1.0)
    for counted, marked in ((0.0, False), (ahead, True)):  # it does switch
        assert _may_switch(pairs, near, model, tail, bound, 0, ahead=counted) is marked


@pytest.mark.parametrize("seed", range(3))
def test_local_paths_beside_the_hull_are_within_their_spread(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((5, 9))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    split = Clients((np.array([0, 3, 4]), np.array([1, 2])))
    problem = Problem.from_inputs(x, split, LocalSGD(1.0, 6, 0))
    model = RoundModel(problem.inner / 2, problem)
    predicted = predict(model, rng.standard_normal(5), 8)
    directions, path = rng.standard_normal((200, 5)), np.zeros(5)
    corners = np.stack([np.zeros(5), predicted.moved, predicted.first_local, predicted.moved + predicted.last_local])
    for t in range(8):
        points = path + np.cumsum([problem.step_size * step[t] for step in predicted.local_steps], axis=0)
        values, ends = directions @ points.T, directions @ corners.T
        slack = np.abs(directions) @ predicted.local_spread + 1e-12
        assert (values.max(axis=1) <= ends.max(axis=1) + slack).all()
        assert (values.min(axis=1) >= ends.min(axis=1) - slack).all()
        for j in range(5):  # a sample sees its own client's local models only
            patterns = rng.random((50, 5)) < 0.5
            own = points - path
            seen = patterns @ ((path + own * problem.same_client[j]) * problem.inner[j]).T
            reach = patterns @ chord_ends(problem, predicted, j).T
            slack = patterns @ (np.abs(problem.inner[j]) * predicted.local_spread) + 1e-12
            assert (seen.max(axis=1) <= np.maximum(reach.max(axis=1), 0) + slack).all()
            assert (seen.min(axis=1) >= np.minimum(reach.min(axis=1), 0) - slack).all()
        path = path + model.weights @ predicted.residuals[t] / 2


def test_pairs_pushed_by_a_sample_that_itself_must_be_pushed_are_found_by_a_second_sweep():
    # Sample 2 pushes 0 over its kink, 0 then pushes 1, which 2 does not see.
    rng = np.random.default_rng(0)
    x = np.array([[1.0, 0.0, 0.0], [0.7, np.sqrt(0.51), 0.0], [0.6, -0.6 * 0.7 / np.sqrt(0.51), 0.0]])
    x[2, 2] = np.sqrt(1 - x[2] @ x[2])
    width = 4000
    case = split_case(0, width=4)._replace(
        inputs=x, targets=np.zeros(3), clients=Clients((np.arange(3),)), weights=rng.standard_normal((width, 3)),
        signs=rng.choice([-1.0, 1.0], width), step_size=1.0, local_steps=2,
    )  # fmt: skip
    case = case._replace(step_size=0.1 / float(np.linalg.eigvalsh(case.gram)[-1]))
    size = 0.05
    scale = size / np.sqrt(width)
    case.signs[0] = -1.0
    case.weights[0] = np.linalg.solve(x, scale * np.array([-0.02, -0.4, 3.0]))
    case = off_by(case, case.gram @ np.array([size, 0.0, size]))
    seen = follow(case, 200)
    assert seen.switched[0, :2].all()
    path = Path(*parts_of(case))
    path.advance(200)
    # Of these rounds, before the tail, which knows what has switched in the past.
    assert path.switching[0, :2].all()
    assert not (seen.switched & ~path.switching).any()
    assert path.switching.mean() < 0.01
    path.advance(0)
    assert path.conclude().certified
