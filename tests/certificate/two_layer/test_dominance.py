"""Theorem C: kept by every order, however hostile; its matrix, its rates and what each of its steps is for."""

import dataclasses

import jax
import numpy as np
import pytest

from ntk_localsgd import certificate, clients, datasets, local_sgd
from ntk_localsgd.certificate.schedule import Schedule
from ntk_localsgd.certificate.two_layer import dominance
from ntk_localsgd.networks import TwoLayerReLU
from verification.jobs.certificates import certify
from verification.jobs.certified_cases import drawn_case, off_by
from verification.jobs.reference import CHOICES, Case, Order, follow
from verification.jobs.round_traps import (
    batches_by_chance,
    compared,
    corrected_case,
    parts_of,
    pushed_case,
    take_round,
)


def _kept(case, proof, order, rounds=25):
    """What the run did: no pair outside the named ones has changed, no neuron has gone farther than certified."""
    seen = follow(case, rounds, order)
    named = np.zeros_like(seen.switched)
    named[proof.switching[:, 1], proof.switching[:, 0]] = True
    assert not (seen.switched & ~named).any()
    assert seen.movement <= proof.radius * (1 + 1e-9)
    return seen


@pytest.mark.parametrize("seed", range(10))
def test_random_certificates_are_kept_in_every_order(seed):
    rng = np.random.default_rng([seed, 5])
    certified = 0
    for _ in range(6):
        case = drawn_case(rng)
        proof = certify(case, "dominance")
        if proof is None or not proof.certified:
            continue
        certified += 1
        for choice in CHOICES:
            seen = _kept(case, proof, Order(choice, rng))
            if choice == "drawn":
                bound = proof.constant * proof.rate ** np.arange(26) * seen.residual_norms[0]
                assert (seen.residual_norms <= bound * (1 + 1e-9) + proof.rounding_floor).all()
    assert certified


def _sphere(n, width, seed, **settings):
    """Sphere data in 4n dimensions on min(4, n) clients, at nine tenths of the step size 1/max_c λ_max(Θ_cc)."""
    data = datasets.sphere(jax.random.key(0), n, 4 * n)
    split = clients.iid(jax.random.key(1), data, min(4, n))
    net = TwoLayerReLU.init(jax.random.key(seed), width=width, input_dim=4 * n, dtype=np.float64)
    case = Case(data.inputs, data.targets, split, np.asarray(net.weights), np.asarray(net.signs), 0.0, 5, **settings)
    largest = max(np.linalg.eigvalsh(case.gram[np.ix_(s, s)])[-1] for s in split.indices)
    return case._replace(step_size=0.9 / float(largest))


@pytest.mark.parametrize(("n", "width"), [(2, 64), (4, 512), (8, 2048)])
def test_sphere_is_certified_from_initialization_for_every_order_of_single_samples(n, width):
    case = _sphere(n, width, 1, batch_size=1)
    proof = certify(case, "dominance")
    assert proof.certified
    assert proof.rate < 1
    for choice in CHOICES:
        _kept(case, proof, Order(choice, np.random.default_rng(0)), rounds=10)


def test_the_energy_falls_by_all_local_steps_where_the_weighted_sum_counts_the_first(monkeypatch):
    case = _sphere(8, 1024, 1, batch_size=1)
    case = off_by(case, 0.01 * (case.outputs - case.targets))
    proof = certify(case, "dominance")
    monkeypatch.setattr(dominance, "by_energy", lambda *arguments: arguments[-1])
    alone = certify(case, "dominance")
    assert proof.rate < alone.rate - 0.02
    assert (proof.radius, len(proof.switching)) == (alone.radius, len(alone.switching))
    for seed in range(3):
        seen = _kept(case, proof, Order("drawn", np.random.default_rng(seed)))
        bound = proof.constant * proof.rate ** np.arange(26) * seen.residual_norms[0]
        assert (seen.residual_norms <= bound * (1 + 1e-9)).all()


@pytest.mark.parametrize("batch_size", [None, 1])
def test_a_step_so_small_that_the_rate_rounds_to_1_is_not_certified(batch_size):
    case = _sphere(2, 256, 1, batch_size=batch_size)
    case = off_by(case, 1e-3 * (case.outputs - case.targets))
    assert certify(case, "dominance").rate < 1
    proof = certify(case._replace(step_size=1e-17), "dominance")
    assert not proof.certified
    assert proof.obstacle == certificate.Obstacle.TAIL


def test_full_batches_have_the_rate_of_the_frozen_round_and_what_may_change_adds():
    case = _sphere(4, 512, 1)
    proof = certify(case, "auto")
    assert (proof.method, proof.delta) == ("dominance", 0)
    seen = _kept(case, proof, None)
    assert (
        seen.residual_norms <= proof.constant * proof.rate ** np.arange(26) * seen.residual_norms[0] * (1 + 1e-9)
    ).all()
    # Θ's own round, and that of the energy's mean, which knows no better norm.
    assert proof.rate < certify(case._replace(server_step_size=1 - 1e-9), "dominance").rate


def test_counts_are_those_of_the_definition_whatever_is_uncertain():
    case = drawn_case(np.random.default_rng(3))
    b = case.weights @ case.inputs.T >= 0
    u = np.random.default_rng(0).random(b.shape) < 0.1
    _, counts = compared(case, "smaller", u)
    on, sure = (b | u).astype(float), (b & ~u).astype(float)
    np.testing.assert_array_equal(counts.possible, on.T @ on)
    np.testing.assert_array_equal(counts.certain, sure.T @ sure)
    sides = [(u & (case.signs == sign)[:, None]).astype(float).T @ on for sign in (1, -1)]
    np.testing.assert_array_equal(counts.uncertain, np.maximum(*sides))


@pytest.mark.parametrize("rule", ["smaller", "gap", "quotient"])
@pytest.mark.parametrize("seed", range(12))
def test_a_round_obeys_the_row_inequality_of_the_comparison_matrix(seed, rule):
    """r(t+1)^± ≤ r(t)^± − M₂ κ Σ y^± for one round in any order, with every pair that changes in it in U."""
    rng = np.random.default_rng([seed, 8])
    case = pushed_case(rng)
    _obeys(case, *take_round(case, batches_by_chance(case, rng)), rule)


@pytest.mark.parametrize("rule", ["smaller", "gap", "quotient"])
def test_a_correction_that_switches_neurons_locally_and_not_in_the_average_is_counted(rule):
    for seed in range(40):
        case = corrected_case(np.random.default_rng([seed, 9]))
        _obeys(case, *take_round(case, [(0, [0] if k == 0 else [1]) for k in range(case.local_steps)]), rule)


@pytest.mark.parametrize("rule", ["smaller", "gap", "quotient"])
def test_of_two_participants_each_counts_by_half(rule):
    """The correction above beside a client that sees another direction: κ = ½, with κ = 1 the average adds nothing."""
    for seed in range(40):
        case = corrected_case(np.random.default_rng([seed, 9]))
        case = case._replace(
            inputs=np.vstack([case.inputs, [0, 0, 1]]),
            targets=np.append(case.targets, 0.0),
            clients=clients.Clients((np.arange(2), np.array([2]))),
            server_step_size=1.0,
            participants=2,
        )
        steps = [(0, [0] if k == 0 else [1]) for k in range(case.local_steps)]
        _obeys(case, *take_round(case, [*steps, (1, [2])]), rule)


def _obeys(case, changed, gained, before, after, rule):
    comparison, _ = compared(case, rule, changed)
    parts = [np.concatenate([np.maximum(r, 0), np.maximum(-r, 0)]) for r in (before, after)]
    assert case.step_size * comparison.largest.max() <= 1
    assert (parts[1] <= parts[0] - comparison.signed @ gained.ravel() + 1e-12).all()
    assert (np.abs(after) <= np.abs(before) - comparison.unsigned @ gained.sum(axis=0) + 1e-12).all()


def test_solutions_are_verified_and_matrices_that_are_no_m_matrix_refused():
    rng = np.random.default_rng(0)
    matrix = 4 * np.eye(5) - rng.random((5, 5)) / 2
    right = rng.random(5)
    bound = dominance.solve(matrix, right)
    assert (matrix @ bound >= right).all()
    np.testing.assert_allclose(bound, np.linalg.solve(matrix, right), rtol=1e-9)
    assert dominance.solve(matrix - 4 * np.eye(5), right) is None
    assert dominance.solve(np.full((5, 5), np.nan), right) is None
    assert dominance.solve(np.eye(5) - np.ones((5, 5)) / 5, right) is None


def test_a_bound_that_is_no_number_marks_its_pair():
    case = drawn_case(np.random.default_rng(3))
    problem, found, near = parts_of(case)
    nothing = dominance.Gained(*np.full((2, len(case.inputs)), np.nan))
    marked = dominance.marked_pairs(problem, near, np.zeros_like(near.patterns), nothing, found.width)
    assert marked.all()


def test_too_large_a_step_and_samples_alike_are_said_in_words():
    case = _sphere(4, 512, 1, batch_size=None)
    case = case._replace(participants=2)
    proof = certify(case._replace(step_size=2.5), "dominance")
    assert proof.obstacle is certificate.Obstacle.UNSUITABLE
    assert "exceeds" in proof.explanation
    alike = case.inputs + 3 * case.inputs[0]
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    proof = certify(case._replace(inputs=alike), "dominance")
    assert proof.obstacle is certificate.Obstacle.PATTERNS
    assert "push each other more than themselves" in proof.explanation


def test_training_by_single_samples_stops_when_certified():
    case = _sphere(4, 32, 1, batch_size=1, participants=2)
    net = TwoLayerReLU.from_arrays(case.weights, case.signs)
    data = datasets.from_arrays(case.inputs, case.targets)
    stop = certificate.until_certified(every=50, delta=0.1)
    config = dataclasses.replace(case.config, num_rounds=400)
    run = local_sgd.run(net, data, case.clients, config, key=jax.random.key(0), stop=stop)
    assert 0 < run.stopped_at < 400
    assert stop.certificate.delta == 0.1
    assert "with probability ≥ 0.9" in str(stop.certificate)


def test_neurons_beyond_the_threshold_are_asked_for():
    case = _sphere(4, 512, 1)
    problem, found, near = parts_of(case, threshold=1e-3)
    schedule = Schedule.of(case.clients, case.config)
    end = dominance.certify_dominance(problem, schedule, found, near, delta=0.05)
    assert end.obstacle is certificate.Obstacle.BEYOND_KEPT


@pytest.mark.parametrize(
    ("parts", "settings", "shares"),
    [
        ((3,), {"batch_size": 1}, np.full(3, 1 / 3)),
        ((1, 1, 1), {"participants": 2, "server_step_size": 0.5, "batch_size": 1}, np.full(3, 0.5 / 3)),
        ((2, 1), {"batch_size": 1}, np.array([1 / 4, 1 / 4, 1 / 2])),
    ],
)
def test_orthogonal_samples_have_the_rate_of_the_slowest_one_s_mean(parts, settings, shares):
    rng = np.random.default_rng(0)
    split = clients.Clients(tuple(np.split(np.arange(3), np.cumsum(parts)[:-1])))
    weights, signs = rng.standard_normal((400, 3)), rng.choice([-1.0, 1.0], 400)
    case = off_by(Case(np.eye(3), np.zeros(3), split, weights, signs, 0.7, 1, **settings), np.full(3, 1e-9))
    proof = certify(case, "dominance")
    # E|r_i| falls by the factor 1 − (η_g/K)p₁ηΘ_ii; a sample of a small client is met more often.
    slowest = float((shares * np.diagonal(case.gram)).min())
    assert proof.rate == pytest.approx(1 - 0.7 * slowest, rel=0, abs=1e-8)


def test_a_sample_that_is_off_at_the_start_pushes_when_it_may_switch_on():
    case = drawn_case(np.random.default_rng(3))
    problem, found, near = parts_of(case)
    n = len(case.inputs)
    gained, everything = dominance.Gained(*np.full((2, n), 0.1)), np.ones_like(near.patterns)
    marked, fewer = (
        dominance.marked_pairs(problem, near, chosen, gained, found.width) for chosen in (everything, ~everything)
    )
    z = case.weights @ case.inputs.T
    # All samples on: the most that any pattern allows; a residual of either sign pushes either way.
    reach = 0.1 * np.abs(case.inputs @ case.inputs.T).sum(axis=1) / np.sqrt(found.width)
    close = np.abs(z) <= 10 * reach
    assert close.any()
    assert (marked[np.abs(z) <= 0.999 * reach]).all()
    assert not (fewer & ~marked).any()
    assert (marked & ~fewer).any()


def test_the_constant_of_the_energy_is_that_of_its_norm():
    case = _sphere(4, 1024, 1, batch_size=1, participants=2)
    case = off_by(case, 0.01 * (case.outputs - case.targets))
    proof = certify(case, "dominance")
    values, vectors = np.linalg.eigh(case.gram)
    start = vectors.T @ (case.outputs - case.targets) / proof.residual_norm
    # ‖r(t)‖² ≤ λ_max V(t) and V(t) ≤ ρ^t V(0)/δ; few pairs may change, so that Θ is nearly the reference's Gram matrix.
    assert proof.constant == pytest.approx(np.sqrt(values[-1] * (start**2 / values).sum() / 0.05), rel=0.05)
