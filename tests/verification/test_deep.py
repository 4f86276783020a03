"""Scripts about deep networks: implied constants, perturbations, controls that only scale, fits of the key property."""

import dataclasses
import pathlib

import jax
import numpy as np
import pytest

from ntk_localsgd import datasets, local_sgd
from ntk_localsgd.evidence import Condition, Verdict
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.networks import DeepReLU
from verification import deep_convergence, deep_initialization, deep_perturbation, key_property, width_exponents
from verification.context import PRESETS, Context, problem, with_close_pair
from verification.deep_training import spec_of
from verification.growth import stays_bounded
from verification.runs import RunSpec

POINTS = (10.0, 20.0, 40.0)


@pytest.fixture
def context(tmp_path):
    return Context(PRESETS["smoke"], 0, tmp_path)


def _row(exponent, control, *, at_least=False):
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal((8, 3)))
    values, broken = (noise * np.array(POINTS) ** (1 + p) for p in (exponent, control))
    return stays_bounded("X", "s", Condition("p", True), "q", "m", POINTS, values, np.array(POINTS), control=broken,
                         control_setting="c", at_least=at_least)  # fmt: skip


@pytest.mark.parametrize(
    ("exponent", "at_least", "verdict"),
    [
        (0.0, False, Verdict.VERIFIED),
        (-0.5, False, Verdict.VERIFIED),
        (0.3, False, Verdict.REFUTED),
        (0.1, False, Verdict.INCONCLUSIVE),
        (0.5, True, Verdict.VERIFIED),
        (-0.3, True, Verdict.REFUTED),
        (-0.1, True, Verdict.INCONCLUSIVE),
    ],
)
def test_a_constant_that_grows_beyond_the_tolerance_refutes(exponent, at_least, verdict):
    row = _row(exponent, -1.0 if at_least else 1.0, at_least=at_least)
    assert row.verdict is verdict
    assert row.control.broke
    assert row.measured == pytest.approx(exponent, abs=0.02)
    assert not _row(exponent, exponent / 10, at_least=at_least).control.broke


def test_planted_pair_is_the_closest_one_at_the_distance_asked_for_with_opposite_targets():
    for phi in (0.1, 0.4):
        data = problem(f"planted {phi}", 16, 0).dataset
        assert data.separation == pytest.approx(phi, rel=1e-12)  # a sine and a cosine of rounding error 1e-16
        assert data.targets[0] == -data.targets[1]
    x = datasets.sphere(jax.random.key(0), 5, 7).inputs
    np.testing.assert_array_equal(with_close_pair(x, 0.3)[[0, 2, 3, 4]], x[[0, 2, 3, 4]])


def _scaled(net, weights, last):
    return DeepReLU(
        net.input_weights * weights, tuple(w * weights for w in net.hidden_weights), net.output_weights * last
    )


def test_controls_at_initialization_are_those_of_networks_drawn_larger():
    made = problem("planted 0.4", 8, 0)
    start = deep_initialization.start_of("planted 0.4", 8, 0, 64, 3, 5)
    net = DeepReLU.init(jax.random.key(5), width=64, depth=3, input_dim=64, dtype=np.float32)
    hidden, _ = _scaled(net, 2**0.5, 1.0).layers(made.inputs)
    norms = np.stack([np.linalg.norm(h, axis=1) for h in hidden])
    assert start.grown_norms == pytest.approx(np.abs(norms - 1).max(), rel=1e-5)  # float32
    jacobian = lambda n: np.concatenate(  # noqa: E731
        [np.asarray(j).reshape(8, -1) for j in jax.jacobian(lambda t: n.with_trained(t)(made.inputs))(n.trained)],
        axis=1,
    )
    for weights, last in ((1.0, 1.0), (2**0.5, 3.0)):
        largest = np.linalg.norm(jacobian(_scaled(net, weights, last)), 2) ** 2
        assert largest == pytest.approx(start.largest * weights**6 * last**2, rel=1e-4)


def test_louder_output_leaves_the_weights_of_a_run_and_multiplies_gradients():
    made, s = problem("planted 0.4", 8, 0), 3.0
    net = DeepReLU.init(jax.random.key(1), width=16, depth=2, input_dim=64)
    louder = dataclasses.replace(made.dataset, targets=s * made.dataset.targets)
    names = ("gradient_difference", "distance_to_average", "average_loss", "jacobian_difference")
    runs = [
        local_sgd.run(n, data, made.split(2), LocalSGD(step, 2, 3), observe=names).trajectory
        for n, data, step in ((net, made.dataset, 0.01), (_scaled(net, 1.0, s), louder, 0.01 / s**2))
    ]
    # A dozen steps in float64: the same numbers but for rounding.
    for name, power in zip(names, (2, 0, 2, 2), strict=True):
        np.testing.assert_allclose(runs[1][name], s**power * runs[0][name], rtol=1e-9, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("omega", [0.25, 0.02])
def test_adversary_keeps_its_norm_and_flips_far_more_than_chance(omega):
    made, key = problem("digits", 8, 0), jax.random.key(0)
    net = DeepReLU.init(key, width=128, depth=2, input_dim=64)
    directions = {
        "random": deep_perturbation.random_direction(key, net),
        "adversarial": deep_perturbation.flipping_direction(key, net, made.inputs, omega),
    }
    flips = {}
    for how, direction in directions.items():
        norms = [np.linalg.norm(v, 2) for v in direction]
        # Lanczos sees the rank-one adversary exactly, and a Gaussian matrix has norm 2√m up to a few per cent.
        assert norms == pytest.approx([1, 1], rel=1e-3 if how == "adversarial" else 0.1)
        found = deep_perturbation._effect(net, made.inputs, made.dataset.targets, direction, omega)
        _compare_by_hand(net, made, direction, omega, found)
        flips[how] = float(found.flips)
    assert flips["adversarial"] >= 2 * flips["random"]
    # No single-layer adversary flips more of one sample than the neurons nearest to their kinks that ω can reach.
    z, h = net.pre_activations(made.inputs[:1])[0][0], net.layers(made.inputs[:1])[0][0][0]
    reach = np.sqrt(np.cumsum(np.sort(np.asarray(z) ** 2))) <= omega * np.linalg.norm(h)
    assert flips["adversarial"] >= 0.5 * reach.sum()


def _compare_by_hand(net, made, direction, omega, found):
    x, y = made.inputs, made.dataset.targets
    first, last = np.asarray(net.input_weights), np.asarray(net.output_weights)

    def forward(hidden):
        h, z = [np.maximum(x @ first.T, 0)], []
        for w in hidden:
            z.append(h[-1] @ w.T)
            h.append(np.maximum(z[-1], 0))
        return h, z, (((h[-1] @ last.T)[:, 0] - y) ** 2).sum() / 2

    start = [np.asarray(w) for w in net.hidden_weights]
    gradients = jax.grad(lambda t: ((net.with_trained(t)(x) - y) ** 2).sum() / 2)(net.trained)
    h, z, here = forward(start)
    seen = []
    for sign in (1, -1):
        step = [sign * omega * np.asarray(v) for v in direction]
        new_h, new_z, there = forward([w + s for w, s in zip(start, step, strict=True)])
        linear = sum(np.sum(np.asarray(g) * s) for g, s in zip(gradients, step, strict=True))
        flips = max(((a >= 0) != (b >= 0)).sum(axis=1).max() for a, b in zip(new_z, z, strict=True))
        moved = max(np.linalg.norm(a - b, axis=1).max() for a, b in zip(new_h, h, strict=True))
        seen.append((flips, moved, there - here - linear, there - here))
    expected = [max(pair) for pair in zip(*seen, strict=True)]
    np.testing.assert_allclose([float(v) for v in found[:4]], expected, rtol=1e-8, atol=1e-10)  # float64 sums
    assert float(found.loss) == pytest.approx(here, rel=1e-12)


def test_fit_recovers_the_constants_that_made_the_pairs():
    rng = np.random.default_rng(0)
    distances, losses = rng.uniform(1e-4, 1e-2, 40), rng.uniform(1, 10, 40)
    a, b = key_property.fit(key_property.Pairs(5e4 * distances + 3.0 * losses, distances, losses, losses))
    assert (a, b) == pytest.approx((5e4, 3.0), rel=1e-9)


def test_across_a_kink_gradients_jump_while_distances_vanish(context):
    made = context.deep_problems()[0]
    kink = key_property.across_kink(context, made)
    np.testing.assert_allclose(np.sqrt(kink.distances), key_property.GAPS, rtol=1e-6)  # 1e-8 beside weights of order 1
    assert float(kink.gradients[-1]) == pytest.approx(float(kink.gradients[-2]), rel=1e-3)
    assert float(kink.gradients[-1]) > 0
    assert len(list(pathlib.Path(context.out / "runs").glob("*.nc"))) == 1  # stored for the figure


def test_premises_of_the_convergence_theorems_are_stated_and_not_met(context):
    made = context.deep_problems()[0]
    for claim_id in ("C2", "C3"):
        premise = deep_convergence._premise(claim_id, [(made, spec_of(context, made))])
        assert not premise.holds
        assert "m ≥" in premise.text


@pytest.mark.parametrize(
    ("decay", "rate"),
    [(np.full((3, 4), 0.5), 0.5), (np.array([[0.1, 1, 1, 1]] * 3), 1.0), (np.full((3, 4), np.inf), np.inf)],
)
def test_a_dead_network_or_a_diverged_one_does_not_decay(decay, rate):
    assert deep_convergence._rate(decay) == pytest.approx(rate)


def test_published_widths_balance_and_another_radius_does_not(context):
    rows = list(width_exponents.balance(context))
    assert [row.verdict for row in rows] == [Verdict.VERIFIED] * 3
    assert all(row.control.broke for row in rows)
    assert "n^12 L^12 φ^-3" in rows[1].conclusion.text


def test_runs_of_deep_networks_with_ten_outputs_and_minibatches():
    made = problem("digits10", 20, 0)
    spec = RunSpec("digits10", 20, 0, 2, 16, 0.01, 2, 2, (1, 2), depth=2, split="iid", batch_size=3)
    run = spec.compute(made.dataset, made.split(2, "iid"))
    assert run.sizes["seed"] == 2
    assert spec.network(1, made.dataset).output_dim == 10
    full = dataclasses.replace(spec, batch_size=0).compute(made.dataset, made.split(2, "iid"))
    assert float(abs(full.loss - run.loss).isel(round=-1).max()) > 0
    np.testing.assert_allclose(full.loss.isel(round=0), run.loss.isel(round=0))
