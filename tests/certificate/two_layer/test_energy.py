"""Theorem B's energy: the mean of frozen rounds, Lemma 2's numbers, the envelope, certificates that are kept."""

import itertools
import math

import jax
import numpy as np
import pytest

from ntk_localsgd import certificate, clients, datasets
from ntk_localsgd.certificate.model import Problem
from ntk_localsgd.certificate.schedule import Schedule
from ntk_localsgd.certificate.two_layer import energy, likely
from ntk_localsgd.certificate.two_layer.counts import Counts
from ntk_localsgd.certificate.two_layer.envelope import envelope
from ntk_localsgd.certificate.two_layer.neurons import near_kinks, survey
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import TwoLayerReLU
from verification.jobs.certificates import certify
from verification.jobs.certified_cases import off_by
from verification.jobs.reference import Case, Order, follow


def _case(sizes, width, seed=0, share=1.0, **settings):
    """Sphere data, clients of these sizes, half of the step size that single samples allow, a share of the residual."""
    n = sum(sizes)
    data = datasets.sphere(jax.random.key(seed), n, 4 * n)
    split = clients.Clients(tuple(np.split(np.arange(n), np.cumsum(sizes)[:-1])))
    net = TwoLayerReLU.init(jax.random.key(seed), width=width, input_dim=4 * n, dtype=np.float64)
    case = Case(data.inputs, data.targets, split, np.asarray(net.weights), np.asarray(net.signs), 0.0, 1)
    largest = max(np.linalg.eigvalsh(case.gram[np.ix_(s, s)])[-1] for s in split.indices)
    case = case._replace(step_size=0.5 / float(largest), **settings)
    return off_by(case, share * (case.outputs - data.targets))


def _parts(case):
    neurons = lambda: iter([(case.weights, case.signs)])  # noqa: E731
    near = near_kinks(neurons, case.inputs, np.full(len(case.inputs), np.inf))
    problem = Problem.from_inputs(case.inputs, case.clients, case.config)
    return problem, Schedule.of(case.clients, case.config), survey(neurons, case.inputs, case.targets), near


def _reference(case, share):
    """The reference for a random set of pairs, and those pairs."""
    problem, schedule, found, near = _parts(case)
    pairs = np.random.default_rng(1).random(near.patterns.shape) < share
    secants = pairs.astype(float).T @ (near.patterns | pairs)
    made = energy.reference(problem, Counts.of(found, near, pairs), secants, found.width)
    return made, pairs, near.patterns, problem, schedule


def _rounds(case, gram):
    """𝒯 of every choice of participants and batches, all equally likely."""
    n, eta = len(gram), case.step_size
    maps = []
    for c, part in enumerate(case.clients.indices):
        batches = list(itertools.combinations(part, case.batch_size or len(part)))
        maps.append([])
        for chosen in itertools.product(batches, repeat=case.config.steps_of(case.clients)[c]):
            product = np.eye(n)
            for batch in chosen:
                mask = np.zeros(n)
                mask[list(batch)] = 1
                product = (np.eye(n) - eta * gram * mask) @ product
            maps[-1].append(product)
    taking_part = case.config.participants_of(case.clients)
    for chosen in itertools.combinations(range(len(maps)), taking_part):
        every = list(itertools.product(*(maps[c] for c in chosen)))
        for product in every:
            weight = 1 / len(every) / math.comb(len(maps), taking_part)
            yield weight, np.eye(n) + case.server_step_size / taking_part * sum(p - np.eye(n) for p in product)


@pytest.mark.parametrize(
    ("sizes", "settings"),
    [
        ((3, 2), {"batch_size": 1, "local_steps": (2, 3), "server_step_size": 0.7}),
        ((2, 1, 2), {"batch_size": 1, "local_steps": 2, "participants": 2}),
        ((3, 3), {"batch_size": 2, "local_steps": 2, "participants": 1}),
    ],
)
def test_the_mean_of_frozen_rounds_is_that_over_all_batches_and_participants(sizes, settings):
    case = _case(sizes, 400, **settings)
    made, *_, problem, schedule = _reference(case, 0.0)
    root, inverse = made.root, np.linalg.inv(made.root)
    moment = sum(w * (root @ t.T @ inverse) @ (inverse @ t @ root) for w, t in _rounds(case, root @ root))
    exact = np.linalg.eigvalsh(moment)[-1]
    bound = energy.frozen_mean(problem, schedule, made)
    assert exact <= bound <= exact + 1e-8


def test_the_reference_bounds_every_choice_of_secants_and_its_own_spectrum():
    case = _case((3, 2), 60, batch_size=1)
    made, pairs, b, problem, _ = _reference(case, 0.3)
    on, sure, rng = b | pairs, b & ~pairs, np.random.default_rng(0)
    theta = made.root @ made.root
    values = np.linalg.eigvalsh(theta)
    assert made.smallest <= values[0] <= values[-1] <= made.largest
    for _ in range(50):
        first, second, indicator = (np.where(rng.random(b.shape) < rng.random(), on, sure) + 0.0 for _ in range(3))
        inner = problem.inner / len(b)
        assert (np.abs(inner * (first.T @ indicator) - theta) <= made.changes).all()
        apart = np.abs(inner * ((first - second).T @ indicator))
        assert (apart <= made.secants)[problem.same_client].all()
    rows = rng.standard_normal((4, 5))
    exact = np.linalg.solve(theta, rows.T).T
    s, off = made.solve(rows)
    assert (np.linalg.norm(s - exact, axis=1) <= off + 1e-12).all()
    lengths = np.sqrt((rows * exact).sum(axis=1))
    np.testing.assert_allclose(made.length(rows), lengths, rtol=1e-8)


def test_lemma_2_s_numbers_are_those_of_its_formulas():
    case = _case((2, 2), 3000, batch_size=1, local_steps=3, participants=1)
    made, *_, problem, schedule = _reference(case, 1e-3)
    found = energy.fall(problem, schedule, made)
    eta, lam, norm = case.step_size, made.smallest, lambda a: np.linalg.norm(a, 2)
    for c, part in enumerate(case.clients.indices):
        block = np.ix_(part, part)
        worst = max(np.linalg.norm(made.changes[:, i]) for i in part)
        e_c = norm(made.secants[block]) + worst**2 / lam
        own = made.gram[block].diagonal().max() + 2 * made.changes[block].diagonal().max()
        kept = 2 - eta * (own + 2 * e_c + worst**2 / lam)
        assert found.kept[c] == pytest.approx(kept, rel=1e-6)
        assert found.growth[c] == pytest.approx(eta * worst**2 / lam / kept, rel=1e-6)
    assert energy.frozen_mean(problem, schedule, made) < found.mean < 1
    # η_g = 1 and one of two clients: its three steps.
    assert found.worst(schedule) == pytest.approx((1 + found.growth.max()) ** 3, rel=1e-8)


def test_where_rounding_outweighs_switching_secants_both_adapted_residuals_pay_for_it():
    case = _case((2, 2), 400, batch_size=1, local_steps=3)
    made, *_, problem, schedule = _reference(case, 0.0)
    blurred = made._replace(changes=made.changes + 1e-4, secants=0 * made.secants)
    found, eta, lam = energy.fall(problem, schedule, blurred), case.step_size, made.smallest
    for c, part in enumerate(case.clients.indices):
        block = np.ix_(part, part)
        own, squares = np.linalg.norm(blurred.changes[block], 2), np.square(blurred.changes[:, part]).sum(axis=0).max()
        spectrum = made.gram[block].diagonal().max() + 2 * blurred.changes[block].diagonal().max()
        assert found.kept[c] == pytest.approx(2 - eta * (spectrum + 2 * own + 3 * squares / lam), rel=1e-7)


@pytest.mark.parametrize(("mean", "worst"), [(0.9, 1.5), (0.99, 1.01), (0.5, 4.0)])
def test_the_envelope_holds_for_the_process_that_jumps_as_high_as_it_may_or_to_nothing(mean, worst):
    delta = 0.05
    held = envelope(mean, worst, delta)
    for k in range(1, 400):
        if (mean / worst) ** k <= delta:  # k jumps in a row are less likely than what may fail
            break
        assert held.factor * held.rate**k >= worst**k
        assert held.first >= worst**k * held.rate**-k or held.factor >= held.first


def test_the_envelope_of_a_run_in_which_nothing_is_drawn_is_the_geometric_series():
    held = envelope(0.81, 1.3, 0.0)
    assert held.first == pytest.approx(1)
    assert held.roots == pytest.approx(1 / (1 - 0.9), rel=1e-8)
    # ω_0 + Σ_{t≥1} (0.9^{-t} − 0.9^{-t+1}) 0.81^t = 1 + 0.9.
    assert held.weighted == pytest.approx(1.9, rel=1e-8)
    assert (held.factor, held.rate) == (pytest.approx(1), pytest.approx(0.81))
    assert envelope(0.9999, 1e9, 1e-9) is not None


@pytest.mark.parametrize(
    ("sizes", "width", "share", "settings"),
    [
        ((2, 2), 2000, 0.2, {"batch_size": 1, "local_steps": 3}),
        ((2, 1, 2), 4000, 0.05, {"batch_size": 1, "local_steps": (2, 4, 1), "participants": 2}),
        ((3, 3), 3000, 0.05, {"batch_size": 2, "local_steps": 2, "server_step_size": 0.5}),
        ((2, 2), 2000, 0.2, {"local_steps": 3}),
    ],
)
def test_certificates_are_kept_and_paths_are_no_longer_than_certified(sizes, width, share, settings):
    case = _case(sizes, width, share=share, **settings)
    proof = certify(case, "energy")
    assert proof.certified
    assert proof.delta == (0 if len(settings) == 1 else 0.05)
    named = np.zeros((width, sum(sizes)), bool)
    named[proof.switching[:, 1], proof.switching[:, 0]] = True
    for seed in range(8):
        seen = follow(case, 25, Order("drawn", np.random.default_rng(seed)))
        bound = proof.constant * proof.rate ** np.arange(26) * seen.residual_norms[0]
        assert (seen.residual_norms <= bound * (1 + 1e-9) + proof.rounding_floor).all()
        assert seen.movement <= proof.radius
        assert not (seen.switched & ~named).any()


def test_paths_bound_the_weights_that_samples_gain_in_the_frozen_recursion():
    case = _case((2, 2), 2000, share=0.2, batch_size=1, local_steps=2, participants=1)
    case = case._replace(step_size=case.step_size / 20)
    problem, schedule, found, _ = _parts(case)
    made, *_ = _reference(case, 0.0)
    paths = likely.paths_of(problem, schedule, found, made, 0.05)
    rng, weights = np.random.default_rng(0), np.abs(case.inputs @ case.inputs.T)
    bound, most = paths.of(weights, problem.owner), np.zeros(4)
    for _ in range(5):
        r, gained = case.outputs - case.targets, np.zeros(4)
        for _ in range(400):
            part, local, own = case.clients.indices[rng.integers(2)], r, np.zeros(4)
            for _ in range(2):
                i = rng.choice(part)
                own[i] += case.step_size * abs(local[i])
                local = local - case.step_size * made.gram[:, i] * local[i]
            same = problem.owner == problem.owner[part[0]]
            most = np.maximum(most, weights @ gained + np.where(same, weights @ own, 0))
            gained, r = gained + own, local
    assert (most <= bound).all()
    # One client's own steps alone are far less than what all rounds add up to.
    alone = paths._replace(held=paths.held._replace(roots=0.0)).of(weights, problem.owner)
    assert (most > alone).all()


def test_a_step_size_that_the_theorem_excludes_is_refused_with_the_largest_allowed():
    case = _case((2, 2), 2000, batch_size=1)
    data = datasets.from_arrays(case.inputs, case.targets)
    net = TwoLayerReLU.from_arrays(case.weights, case.signs)
    allowed = 2 / float(np.diagonal(case.gram).max())
    config = case._replace(step_size=1.01 * allowed).config
    with pytest.raises(InputError, match=rf"step_size is .* 2/λ_max of every batch: below {str(allowed)[:4]}"):
        certificate.certify(net, data, case.clients, config)


def test_a_bound_that_is_no_number_marks_its_pair():
    case = _case((2, 2), 200, batch_size=1)
    problem, schedule, found, near = _parts(case)
    made, *_ = _reference(case, 0.0)
    paths = likely.paths_of(problem, schedule, found, made, 0.05)._replace(start=np.nan)
    assert likely.marked_pairs(problem, found, near, np.zeros_like(near.patterns), made, paths).all()


def test_an_uncertain_sample_s_own_path_counts_by_half_of_its_inner_product():
    case = _case((2, 2), 200, batch_size=1)
    problem, schedule, found, near = _parts(case)
    made, *_ = _reference(case, 0.0)
    paths = likely.paths_of(problem, schedule, found, made, 0.05)
    # Θ without changes: what is left of the reach is the ellipsoid and the samples that may switch.
    still = made._replace(changes=np.zeros((4, 4)))
    z = case.weights @ case.inputs.T
    for share in (0.0, 0.5):
        pairs = np.random.default_rng(0).random(z.shape) < share
        middle = np.where(pairs, 0.5, near.patterns)
        marked = likely.marked_pairs(problem, found, near, pairs, still, paths)
        for j in range(4):
            u = middle * problem.inner[j]
            s = np.linalg.solve(made.gram, u.T).T
            centre = z[:, j] - case.signs * (s @ found.residual) / np.sqrt(200)
            own = paths.of(pairs / 2 * np.abs(problem.inner[j]) + 1e-15, np.full(200, problem.owner[j]))
            reach = (np.sqrt((u * s).sum(axis=1)) * paths.radius + own) / np.sqrt(200)
            clear = np.where(near.patterns[:, j], centre, -centre)
            assert (marked[:, j] == (clear <= reach))[np.abs(clear - reach) > 1e-9].all()
