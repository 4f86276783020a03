"""Sums over all rounds: no run exceeds them, some reach them, and without one step they are false."""

import dataclasses
import itertools
import time

import numpy as np
import pytest

from ntk_localsgd.certificate.deep import small_gain
from ntk_localsgd.certificate.deep.free import FreeTriples
from ntk_localsgd.certificate.deep.small_gain import SmallGain, fixed_bound
from ntk_localsgd.certificate.deep.steps import PROVED
from ntk_localsgd.certificate.deep.unrolled import unrolled_round
from ntk_localsgd.certificate.flow import predict
from ntk_localsgd.certificate.model import RoundModel, Rounds
from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd import LocalSGD
from verification.jobs import deep_cases


class Rows:
    """Rows J of a few samples, vectors v_q of free triples, and rounds with slopes and rests that stay the same."""

    def __init__(self, jacobian, vectors, sample, clients, *, share=0.9, steps=3):
        self.jacobian, self.vectors = np.asarray(jacobian, float), np.asarray(vectors, float)
        self.sample, gram = np.asarray(sample, int), self.jacobian @ self.jacobian.T
        split = Clients(tuple(np.asarray(c) for c in clients))
        step = share / max(np.linalg.eigvalsh(gram[np.ix_(c, c)])[-1] for c in split.indices)
        self.model = RoundModel(gram, Rounds.of(split, LocalSGD(float(step), steps, 0)))
        products, none = self.vectors @ self.vectors.T, np.zeros_like(gram)
        self.free = FreeTriples(self.sample, self.vectors @ self.jacobian.T, products, none, none[None], none)

    def bound(self, residual, rest, *, rounds=40, error=0.0, kind=SmallGain):
        """Σ|weight| of every sample, or infinity."""
        free = self.free if len(self.sample) else None
        path = predict(self.model, np.asarray(residual, float), rounds)
        found = kind(self.model, path, np.full(len(residual), error), free)(rest)
        return np.full(len(residual), np.inf) if found is None else found.weights

    def run(self, residual, slopes, rests, *, rounds=400):
        """Σ|weight|: slopes [2τ p] of gradients, local secants and the average; rests of local and of averaged ones."""
        problem = self.model.problem
        tau, eta = problem.local_steps, problem.step_size
        rows = np.repeat(self.jacobian[None], 2 * tau, axis=0)
        for one, slope in zip(rows, slopes, strict=True):
            np.add.at(one, self.sample, slope[:, None] * self.vectors)
        ends, secants, average = rows[:tau], rows[tau:-1], rows[-1]
        inside = [np.where(problem.same_client, s @ e.T + rests[0], 0) for s, e in zip(secants, ends[:-1], strict=True)]
        across = [average @ e.T + rests[1] for e in ends]
        r, total = np.asarray(residual, float), np.zeros(len(residual))
        for _ in range(rounds):
            local, moved = r, np.zeros_like(r)
            for k in range(tau):
                total = total + eta / problem.clients.num_clients * np.abs(local)
                moved = moved + across[k] @ local
                local = local - eta * inside[k] @ local if k + 1 < tau else local
            r = r - eta / problem.clients.num_clients * moved
        return total

    def worst(self, residual, rest, **options):
        """The largest of all sums over slopes of ±½ and over both signs of the rests, sample by sample."""
        tau, p = self.model.problem.local_steps, len(self.sample)
        sums = [
            self.run(residual, np.reshape(slopes, (2 * tau, p)) / 2, (inner * rest, outer * rest), **options)
            for slopes in itertools.product((-1, 1), repeat=2 * tau * p)
            for inner, outer in itertools.product((-1, 1), repeat=2)
        ]
        return np.max(sums, axis=0)


def _random(seed, *, n=3, p=1, steps=2, size=0.3, share=0.9):
    rng = np.random.default_rng(seed)
    jacobian = rng.standard_normal((n, n + 2)) + rng.choice([0.0, 1.0])
    parts = [[0], list(range(1, n))] if n > 1 else [[0]]
    vectors = size * rng.standard_normal((p, n + 2))
    case = Rows(jacobian, vectors, rng.integers(0, n, p), parts, steps=steps, share=share)
    return case, rng.standard_normal(n), 0.05 * np.abs(rng.standard_normal((n, n)))


class _NoSteering(SmallGain):
    """Gradients do not change: y' = 0."""

    def _feedback(self, rest):
        found = super()._feedback(rest)
        found[: self.model.problem.local_steps * len(self.free.sample)] = 0
        return found


class _NoLocalSecants(SmallGain):
    """Free triples do not change local steps."""

    def _feedback(self, rest):
        found, tau, p = super()._feedback(rest), self.model.problem.local_steps, len(self.free.sample)
        found[:, tau * len(rest) : tau * len(rest) + (tau - 1) * p] = 0
        return found


class _NoAveragedSecants(SmallGain):
    """Free triples do not change the averaged step."""

    def _feedback(self, rest):
        found = super()._feedback(rest)
        found[:, found.shape[1] - len(self.free.sample) :] = 0
        return found


class _NoLocalRest(SmallGain):
    """The rest of E does not change local steps."""

    def _feedback(self, rest):
        found, tau, n = super()._feedback(rest), self.model.problem.local_steps, len(rest)
        p = 0 if self.free is None else len(self.free.sample)
        found[tau * p : tau * p + (tau - 1) * n, : tau * n] = 0
        return found


class _NoAveragedRest(SmallGain):
    """The rest of E does not change the averaged step."""

    def _feedback(self, rest):
        found, n = super()._feedback(rest), len(rest)
        found[-n:, : self.model.problem.local_steps * n] = 0
        return found


class _NothingInTheRound(SmallGain):
    """Changes are felt from the next round on."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        own = np.abs(unrolled_round(self.model, self.free).outputs[:, len(self.model.gram) :])
        self.response = np.maximum(self.response - own, 0)


class _NothingLater(SmallGain):
    """Changes are felt in their own round alone."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.response = np.abs(unrolled_round(self.model, self.free).outputs[:, len(self.model.gram) :])


# One sample: a triple that is half of its gradient; or anything, up to 0.3 of Θ.
_TRIPLE = Rows([[1.0]], [[0.5]], [0], [[0]], steps=2), np.ones(1), np.zeros((1, 1))
_ANYTHING = Rows([[1.0]], np.zeros((0, 1)), [], [[0]], steps=2, share=0.999), np.ones(1), np.full((1, 1), 0.3)


@pytest.mark.parametrize(
    ("case", "kind", "excess"),
    [
        (_TRIPLE, _NoSteering, 1.15),
        (_TRIPLE, _NoLocalSecants, 1.4),
        (_TRIPLE, _NoAveragedSecants, 1.1),
        (_TRIPLE, _NothingInTheRound, 1.4),
        (_TRIPLE, _NothingLater, 1.9),
        (_ANYTHING, _NoLocalRest, 2.8),
        (_ANYTHING, _NoAveragedRest, 2.2),
        (_ANYTHING, _NothingInTheRound, 1.6),
        (_ANYTHING, _NothingLater, 3.1),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_step_left_out_is_planted(case, kind, excess):
    rows, residual, rest = case
    worst = rows.worst(residual, rest, rounds=200)
    assert (worst <= rows.bound(residual, rest)).all()
    assert (worst > excess * rows.bound(residual, rest, kind=kind)).all()


def test_a_run_reaches_the_sums_of_one_sample():
    rows, residual, rest = _ANYTHING
    assert rows.bound(residual, rest) == pytest.approx(rows.worst(residual, rest, rounds=200), rel=1e-4)


def test_nothing_changed_is_the_frozen_run():
    case, residual, rest = _random(0, p=0)
    still = case.run(residual, np.zeros((4, 0)), (0 * rest, 0 * rest), rounds=4000)
    for rounds in (1, 40, 400):  # what the prediction does not reach counts in absolute value
        bound = case.bound(residual, 0 * rest, rounds=rounds)
        assert (still <= bound).all()
        assert rounds == 1 or bound == pytest.approx(still, rel=1e-2)
    assert (case.bound(residual, 0 * rest, error=0.1) >= still + 0.1 * case.model.problem.step_size / 2).all()


@pytest.mark.parametrize("longest", [1, 3])
@pytest.mark.parametrize("seed", [0, 3])
def test_few_rounds_are_enough_for_a_bound(seed, longest, monkeypatch):
    """All but the first of them are bounded at once, never below what they are one by one."""
    case, residual, rest = _random(seed, n=1 + seed // 2)
    whole = case.bound(residual, rest / 4)
    monkeypatch.setattr(small_gain, "_LONGEST", longest)
    bound = case.bound(residual, rest / 4)
    assert (whole <= bound * (1 + 1e-6)).all()  # a solution exceeds what it must by 1e-7 times a gain
    assert np.isfinite(bound).all()


def test_rounds_that_contract_slowly_end():
    """One by one they would be 10⁶ (and for a step of 10⁻⁹, where nothing is bounded, hours)."""
    slow = Rows([[1.0]], np.zeros((0, 1)), [], [[0]], steps=1, share=2e-6)
    began = time.process_time()
    bound = slow.bound(np.ones(1), np.zeros((1, 1)))
    assert 1 <= bound <= 1.1  # the weights of a run to the end are r(0)/Θ
    assert time.process_time() - began < 10  # 20 s and more one by one; 1 s
    none = Rows([[1.0]], np.zeros((0, 1)), [], [[0]], steps=1, share=1e-9)
    assert none.bound(np.ones(1), np.zeros((1, 1))) == np.inf


def test_what_comes_after_the_prediction_is_not_left_out():
    case, residual, rest = _random(0, p=0)
    path = predict(case.model, residual, 2)
    cut = path._replace(residuals=np.concatenate([path.residuals[:-1], np.zeros((1, 3))]))
    still = case.run(residual, np.zeros((4, 0)), (0 * rest, 0 * rest), rounds=4000)
    assert (still > SmallGain(case.model, cut, np.zeros(3), None)(0 * rest).weights).any()


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_no_slopes_and_no_rest_beat_the_sums(seed, steps):
    """Unequal clients, one sample or more, steps up to the largest; one slope each for all rounds, or any."""
    case, residual, rest = _random(seed, n=1 + seed // 2, steps=steps, share=(0.5, 0.999)[seed % 2])
    bound = case.bound(residual, rest)
    worst = case.worst(residual, np.minimum(rest, rest.T), rounds=120)
    assert (worst <= bound).all()
    assert np.isfinite(bound).all()
    assert (bound < 6 * worst).all()


@pytest.mark.parametrize("scale", [1e-90, 1e90])
def test_sums_scale_with_the_residual(scale):
    case, residual, rest = _random(3)
    assert case.bound(scale * residual, rest) == pytest.approx(scale * case.bound(residual, rest), rel=1e-6)


def test_a_gain_that_is_not_small_bounds_nothing():
    case, residual, rest = _random(3)
    assert not np.isfinite(case.bound(residual, 50 + rest)).any()
    assert not np.isfinite(case.bound(residual, np.full_like(rest, np.nan))).any()
    free = case.free._replace(effects=50 * case.free.effects, products=2500 * case.free.products)
    assert SmallGain(case.model, predict(case.model, residual, 9), np.zeros(3), free)(rest) is None


def test_a_fixed_bound_is_one_or_none():
    matrix, start = np.array([[0.5, 0.2], [0.0, 0.3]]), np.array([[1.0], [2.0]])
    found = fixed_bound(matrix, start)
    assert (matrix @ found + start <= found).all()
    assert found == pytest.approx(np.linalg.solve(np.eye(2) - matrix, start), rel=1e-5)
    assert fixed_bound(np.array([[2.0]]), np.ones((1, 1))) is None  # −1 = 2·(−1) + 1 bounds nothing
    assert fixed_bound(np.diag([2.0, 0.5]), np.ones((2, 1))) is None  # one row is enough
    assert fixed_bound(np.array([[1.0]]), np.ones((1, 1))) is None
    assert fixed_bound(np.array([[np.nan]]), np.ones((1, 1))) is None


def _followed(case, rounds):
    """Σ|weight| of every (sample, output) over averaged steps: the independent run, its residuals written down."""
    weights, sums, everything = case.hidden, np.zeros_like(case.targets), case.clients.indices
    for _ in range(rounds):
        moves = [np.zeros_like(w) for w in weights]
        for part in everything:
            local, x = weights, case.inputs[part]
            for _ in range(case.local_steps):
                residual = deep_cases._layers(case, local, x)[0][-1] @ case.last.T - case.targets[part]
                sums[part] += case.step_size / len(everything) * np.abs(residual)
                steps = deep_cases._gradient(case, local, x, residual)
                local = tuple(w - case.step_size * g for w, g in zip(local, steps, strict=True))
            moves = [m + (a - w) / len(everything) for m, a, w in zip(moves, local, weights, strict=True)]
        weights = tuple(w + m for w, m in zip(weights, moves, strict=True))
    return sums.ravel()


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_weights_of_a_network_s_run_stay_within_what_is_summed(seed):
    rng, kept, used = np.random.default_rng(seed), [], 0

    def weigh(path, changes, rest=None):
        kept.append((PROVED.weigh(path, changes, rest), path.sums(changes if rest is None else rest)))
        return kept[-1][0]

    while used < 2:
        kept.clear()
        case = deep_cases.random_deep_case(rng)
        proof = deep_cases.certify_deep(case, dataclasses.replace(PROVED, weigh=weigh))
        if proof is None or not proof.certified:
            continue
        found = next(pair for pair in kept if pair[0].rate == proof.rate)
        ran = _followed(case, 300)
        assert (ran <= found[0].averaged).all()
        if found[1] is not None:
            used += 1
            assert (ran <= found[1].weights).all()
            assert (found[0].averaged <= found[1].weights).all()
