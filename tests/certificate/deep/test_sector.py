"""Free triples: what they leave of E, and the round that holds for every choice of their slopes, in plain NumPy."""

import dataclasses

import numpy as np
import pytest

from ntk_localsgd.certificate.deep.closing import certify_deep
from ntk_localsgd.certificate.deep.free import FreeTriples
from ntk_localsgd.certificate.deep.frozen import Weights
from ntk_localsgd.certificate.deep.path import Deviation, Path, leverage
from ntk_localsgd.certificate.deep.sector import SectorRound, unrolled
from ntk_localsgd.certificate.deep.steps import PROVED
from ntk_localsgd.certificate.growth import EntrywiseGrowth
from ntk_localsgd.certificate.model import RoundModel, Rounds, split_norms
from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd import LocalSGD
from tests.certificate.deep.walks import at, bounds, kernel_between, network, stepped


class Plain:
    """Rows J and v_q as vectors, and rounds with slopes given for every local step and for the average."""

    def __init__(self, seed, *, free=3, steps=4, n=5):
        rng = np.random.default_rng(seed)
        self.rng, self.n, self.p = rng, n, free
        self.jacobian = rng.standard_normal((n, 2 * n)) + np.ones(2 * n)
        self.vectors = 0.3 * rng.standard_normal((free, 2 * n))
        self.sample = rng.integers(0, n, free)
        gram = self.jacobian @ self.jacobian.T
        split = Clients((np.array([0, 2]), np.arange(n)[~np.isin(np.arange(n), [0, 2])]))
        step = 0.8 / max(np.linalg.eigvalsh(gram[np.ix_(p, p)])[-1] for p in split.indices)
        self.model = RoundModel(gram, Rounds.of(split, LocalSGD(float(step), steps, 0)))
        products, none = self.vectors @ self.vectors.T, np.zeros((n, n))
        self.free = FreeTriples(self.sample, self.vectors @ self.jacobian.T, products, none, none[None], none)

    def at(self, slopes):
        """J with σ_q v_q added to the rows of their samples."""
        jacobian = self.jacobian.copy()
        np.add.at(jacobian, self.sample, slopes[:, None] * self.vectors)
        return jacobian

    def round(self, residual, slopes, rest):
        """One round: ``slopes(kind, k)`` [p] and ``rest(kind, k)`` [n n]."""
        problem = self.model.problem
        r, total, average = residual.copy(), np.zeros(self.n), self.at(slopes("average", 0))
        for k in range(problem.local_steps):
            ends = self.at(slopes("gradient", k))
            total = total + (average @ ends.T + rest("average", k)) @ r
            kernel = np.where(problem.same_client, self.at(slopes("secant", k)) @ ends.T + rest("secant", k), 0.0)
            r = r - problem.step_size * kernel @ r
        return residual - problem.step_size / problem.clients.num_clients * total


def _worst(case, rest_size, tries=300):
    """The largest ‖D(round of x)‖/‖Dx‖ over slopes of ±½ and rests of that size."""
    rng, model, worst = case.rng, case.model, 0.0
    slow = np.linalg.eigh(model.gram)[1][:, 0]
    for number in range(tries):
        one = rng.choice([-0.5, 0.5], case.p)
        drawn = {
            (kind, k): (one if number % 2 else rng.choice([-0.5, 0.5], case.p)) * (-1 if kind == "gradient" else 1)
            for kind in ("average", "secant", "gradient")
            for k in range(model.problem.local_steps)
        }
        signs = rng.choice([-1.0, 1.0], (case.n, case.n)) if number % 3 else -np.sign(np.outer(slow, slow))
        columns = [
            model.root @ case.round(x, lambda *key, drawn=drawn: drawn[key], lambda *_, s=signs: s * rest_size)
            for x in model.inverse_root.T
        ]
        worst = max(worst, float(np.linalg.norm(np.stack(columns, axis=1), 2)))
    return worst


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_unrolled_round_is_the_round(steps):
    case = Plain(0, steps=steps)
    flat, rng = unrolled(case.model, case.free), np.random.default_rng(1)
    drawn = {
        (kind, k): rng.uniform(-0.5, 0.5, case.p) for kind in ("average", "secant", "gradient") for k in range(steps)
    }
    slopes = np.concatenate(
        [drawn["gradient", k] for k in range(steps)]
        + [drawn["secant", k] for k in range(steps - 1)]
        + [drawn["average", 0]]
    )
    x, n = rng.standard_normal(case.n), case.n
    # y = σ(Cx + Gy)
    y = np.linalg.solve(
        np.eye(len(slopes)) - slopes[:, None] * flat.arguments[:, n:], slopes * (flat.arguments[:, :n] @ x)
    )
    expected = case.round(x, lambda kind, k: drawn[kind, 0 if kind == "average" else k], lambda *_: 0.0)
    assert flat.end @ np.concatenate([x, y]) == pytest.approx(case.model.root @ expected, rel=1e-10)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("steps", [1, 4])
def test_no_slopes_beat_the_contraction(seed, steps):
    case = Plain(seed, steps=steps)
    sector = SectorRound(case.model, EntrywiseGrowth(case.model), case.free)
    worst = _worst(case, 0.0)
    assert worst <= sector.contraction < 1
    assert case.model.contraction < sector.contraction
    assert worst > case.model.contraction - 1e-6  # the free triples do something
    # E of the same triples says far more.
    changes = np.zeros((case.n, case.n))
    for q, i in enumerate(case.sample):
        changes[i] += np.abs(case.free.effects[q]) / 2
    changes = changes + changes.T
    entrywise = case.model.contraction + EntrywiseGrowth(case.model)(
        changes, case.model.chain(*split_norms(changes, case.model.problem))
    )
    assert sector.contraction - case.model.contraction < 0.7 * (entrywise - case.model.contraction)


@pytest.mark.parametrize("seed", range(3))
def test_no_slopes_and_no_rest_beat_the_rate(seed):
    case = Plain(seed)
    growth, size = EntrywiseGrowth(case.model), 0.3
    sector, rest = SectorRound(case.model, growth, case.free), np.full((case.n, case.n), size)
    changes = rest.copy()
    for q, i in enumerate(case.sample):
        changes[i] += np.abs(case.free.effects[q]) / 2
        changes[:, i] += np.abs(case.free.effects[q]) / 2
    changes[np.ix_(case.sample, case.sample)] += np.abs(case.free.products).sum() / 4
    rate = sector.rate(changes, rest, case.model.chain(*split_norms(changes, case.model.problem)))
    worst = _worst(case, size)
    assert sector.contraction < worst <= rate


def test_no_rate_follows_where_numbers_are_none():
    case = Plain(0)
    sector = SectorRound(case.model, EntrywiseGrowth(case.model), case.free)
    rest = np.full((case.n, case.n), np.nan)
    assert not sector.rate(rest, rest, case.model.chain(1.0, 1.0)) < 1
    assert not sector.rate(changes := np.full_like(rest, 0.1), rest, case.model.chain(0.1, 0.1)) < 1
    assert not sector.rate(rest, changes, case.model.chain(np.nan, np.nan)) < 1
    large = case.free._replace(effects=100 * case.free.effects, products=1e4 * case.free.products)
    assert SectorRound(case.model, EntrywiseGrowth(case.model), large).contraction == np.inf


@pytest.mark.parametrize("seed", range(3))
def test_what_is_kept_apart_bounds_weights_and_their_deviations(seed):
    """Runs with slopes at random: |t·(a − â)| ≤ its leverage for every t, at every round."""
    case, rng = Plain(seed, steps=3), np.random.default_rng(seed)
    residual, rest = rng.standard_normal(case.n), np.full((case.n, case.n), 1e-3)
    path = Path(case.model, residual, np.full(case.n, 1e-12), free=case.free)
    changes = rest.copy()
    for q, i in enumerate(case.sample):
        changes[i] += np.abs(case.free.effects[q]) / 2
        changes[:, i] += np.abs(case.free.effects[q]) / 2
    changes[np.ix_(case.sample, case.sample)] += np.abs(case.free.products).sum() / 4
    found = path.weigh(changes, rest)
    assert found.rate < 1
    problem, rows = case.model.problem, rng.standard_normal((case.n, 8, case.n))
    lever, tried = leverage(path.inverse, rows, case.free), 0
    for _ in range(10):
        r, gained, size = residual.copy(), np.zeros(case.n), np.zeros(case.n)
        steered = np.zeros(case.p)
        predicted, expected = residual.copy(), np.zeros(case.n)
        for _ in range(60):
            start = r.copy()
            average, total = case.at(rng.choice([-0.5, 0.5], case.p)), np.zeros(case.n)
            local, moved, turned = r.copy(), np.zeros(case.n), np.zeros(2 * case.n)
            for _ in range(problem.local_steps):
                ends = case.at(rng.choice([-0.5, 0.5], case.p))
                total += (average @ ends.T) @ local
                turned += problem.step_size * ends.T @ local
                moved += problem.step_size * local
                size += problem.step_size * np.abs(local) / 2
                local = (
                    local
                    - problem.step_size
                    * np.where(problem.same_client, case.at(rng.choice([-0.5, 0.5], case.p)) @ ends.T, 0.0)
                    @ local
                )
            r = start - problem.step_size / 2 * total
            gained = gained + moved / 2
            steered += np.abs(case.vectors @ turned) / 4
            expected = expected + case.model.weights @ predicted / 2
            predicted = case.model.operator @ predicted
            off = np.abs(rows @ (gained - expected))
            assert (off <= lever.bound(found.deviation)).all()
            tried += 1
        pushed = size[case.sample] / 2
        assert (size <= found.averaged * (1 + 1e-9)).all()
        assert (pushed <= found.deviation.pushes).all()
        assert (steered <= found.deviation.gains).all()
    assert tried == 600


def test_a_weight_that_a_free_triple_pushes_moves_every_row():
    case, rng = Plain(0), np.random.default_rng(0)
    path = Path(case.model, np.ones(case.n), np.full(case.n, 1e-12), free=case.free)
    rows = rng.standard_normal((case.n, 8, case.n))
    lever, none = leverage(path.inverse, rows, case.free), Deviation.alike(0.0, case.n, case.p, spread=0.0)
    inverse = np.linalg.inv(case.model.gram)
    for q, one in enumerate(np.eye(case.p)):
        pushed, gained = lever.bound(none._replace(pushes=one)), lever.bound(none._replace(gains=one))
        exact = np.abs(rows @ inverse @ case.free.effects[q])
        assert (pushed >= exact).all()
        assert pushed == pytest.approx(exact, rel=1e-6)
        assert gained == pytest.approx(np.abs((rows @ inverse)[..., case.sample[q]]), rel=1e-6)


_WALKS = [{"planted": 6, "size": 1e-3, "scale": 1e-3}, {"planted": 9, "size": 1e-3, "scale": 1e-2, "depth": 1}]


@pytest.mark.parametrize("case", _WALKS, ids=["three layers", "one layer"])
@pytest.mark.parametrize("seed", range(4))
def test_gradients_change_by_free_triples_and_what_is_left(case, seed):
    x, weights = network(seed, planted=case["planted"], size=case["size"], depth=case.get("depth", 3))
    steps = case["scale"] * np.random.default_rng(seed).standard_normal((2, len(x)))
    points = [at(x, weights, weights.hidden)]
    for a in steps:
        points.append(at(x, weights, stepped(points[-1], a)))
    half = np.any([p.pre * points[0].pre <= 0 for p in points], axis=0)
    found = bounds(x, weights, points, steps, half)
    frozen = found.frozen
    free = FreeTriples.of(frozen, 1000)
    assert len(free.sample) == half.sum() > 0
    rest = free.rest(frozen, found.kernel, found.hidden, found.gradients)
    assert (rest <= found.kernel * (1 + 1e-6)).all()
    places = np.nonzero(half)
    slopes = [(p.pre >= 0)[places] - 0.5 for p in points]
    place = (np.arange(len(x))[:, None] == free.sample).astype(float)
    for one, own in zip(points, slopes, strict=True):
        for other, theirs in zip(points, slopes, strict=True):
            first = (place * own) @ free.effects + free.effects.T @ (place * theirs).T
            known = frozen.gram + first + (place * own) @ free.products @ (place * theirs).T
            assert (np.abs(kernel_between(one, other) - known) <= rest * (1 + 1e-9)).all()


def test_only_the_largest_effects_are_kept():
    x, weights = network(0, planted=6, size=1e-3)
    points = [at(x, weights, weights.hidden)]
    half = np.abs(points[0].pre) < 1e-2
    found = bounds(x, weights, [*points, points[0]], np.zeros((1, len(x))), half)
    everything, few = FreeTriples.of(found.frozen, 1000), FreeTriples.of(found.frozen, 2)
    sizes = np.sort(np.linalg.norm(everything.effects, axis=1))
    assert np.sort(np.linalg.norm(few.effects, axis=1)) == pytest.approx(sizes[-2:])
    assert (few.first <= everything.first).all()
    assert FreeTriples.of(found.frozen, 0) is None


def _free_triples_do_nothing(path, changes, rest=None):
    """What is left of E as if it were all of E."""
    found = Path.weigh(path, changes if rest is None else rest)
    none = np.zeros(0 if path.sector is None else len(path.sector.free.sample))
    return found._replace(deviation=found.deviation._replace(pushes=none, gains=none))


@pytest.mark.parametrize(("size", "provable"), [(1.0, True), (1.5, True), (3.0, False)])
def test_a_neuron_that_turns_off_is_planted(size, provable):
    # One sample; the second neuron, which makes up size² of Θ = 1 + size², turns off in the first round and stays off.
    last, start, step = np.r_[1.0, size, np.zeros(10)], np.r_[1.0, 1e-3, np.ones(10)], 0.05
    weights, x = Weights.of(None, (start[:, None],), last[None]), np.ones((1, 1))
    target = np.maximum(start, 0) @ last - 0.01
    rounds = Rounds.of(Clients((np.array([0]),)), LocalSGD(step, 2, 0))
    wrong = dataclasses.replace(PROVED, weigh=_free_triples_do_nothing)
    proof, planted = (certify_deep(weights, x, np.array([target]), rounds, steps) for steps in (PROVED, wrong))
    assert (proof.certified, planted.certified) == (provable, True)
    residuals, w = [], start.copy()
    for _ in range(150):
        residuals.append(np.maximum(w, 0) @ last - target)
        for _ in range(2):
            w -= step * (np.maximum(w, 0) @ last - target) * last * (w >= 0)
    assert (w >= 0).tolist() == [True, False] + 10 * [True]
    shares = np.array(residuals) / residuals[0]
    bounds = [each.constant * each.rate ** np.arange(150) for each in (proof, planted)]
    assert (shares <= bounds[0]).all()  # infinite where nothing is proved
    assert (shares > 2 * bounds[1]).any()
