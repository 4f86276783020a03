"""Certificates: what they say, when they refuse, and that streamed and stored networks get the same one."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from ntk_localsgd import certificate, clients, datasets, kernels, local_sgd, networks
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import TwoLayerReLU
from verification.jobs.certificates import certify
from verification.jobs.certified_cases import off_by, random_case, split_case
from verification.jobs.reference import follow


def _setting(n=4, input_dim=16, width=4000, seed=3):
    data = datasets.sphere(jax.random.key(0), n, input_dim)
    split = clients.iid(jax.random.key(1), data, 4)
    net = TwoLayerReLU.init(jax.random.key(seed), width=width, input_dim=input_dim, dtype=np.float64)
    gram = np.asarray(kernels.empirical_gram(net, data.inputs))
    step = 0.9 / max(np.linalg.eigvalsh(gram[np.ix_(s, s)])[-1] for s in split.indices)
    return net, data, split, local_sgd.LocalSGD(float(step), 5, 30)


def test_a_wide_network_is_certified_and_keeps_its_word():
    net, data, split, config = _setting()
    proof = certificate.certify(net, data, split, config)
    assert proof.certified
    assert proof.method == "dominance"
    assert "certified (dominance)" in str(proof)
    assert proof.delta == 0
    run = local_sgd.run(net, data, split, config, observe=("neuron_movement",))
    norms = np.sqrt(2 * run.trajectory.loss.values)
    assert norms[0] == pytest.approx(proof.residual_norm, rel=1e-9)
    assert (norms <= proof.constant * proof.rate ** np.arange(31) * norms[0] * (1 + 1e-9) + 1e-12).all()
    assert run.trajectory.neuron_movement.values.max() <= proof.radius


def test_narrow_networks_are_not_certified_and_hear_why():
    net, data, split, config = _setting(width=300)
    for method in ("path", "ball"):
        proof = certificate.certify(net, data, split, config, method=method)
        assert not proof.certified
        assert proof.obstacle
        assert proof.explanation
        assert proof.width_estimate > 300
        assert 0 < proof.residual_estimate < proof.residual_norm
        # The need falls like ‖r‖/√m: a share of the residual does what its inverse square of the width would.
        share = proof.residual_estimate / proof.residual_norm
        assert proof.width_estimate == pytest.approx(300 / share**2, rel=1e-12)
        assert "would do" in str(proof)


def test_ball_certifies_late_iterates():
    net, data, split, config = _setting()
    run = local_sgd.run(net, data, split, dataclasses.replace(config, num_rounds=40))
    ball = certificate.certify(run.network, data, split, config, method="ball")
    path = certificate.certify(run.network, data, split, config, method="path")
    assert ball.certified
    assert path.certified
    assert path.radius <= ball.allowed_radius
    assert certificate.certify(run.network, data, split, config).method == "dominance"


@pytest.mark.parametrize("method", ["ball", "path"])
def test_stored_and_streamed_networks_get_the_same_certificate(method):
    net, data, split, config = _setting(width=70_000)  # two blocks
    stored = certificate.certify(net, data, split, config, method=method)
    streamed = certificate.certify_at_init(
        jax.random.key(3), data, split, config, width=70_000, dtype=np.float64, method=method
    )
    assert streamed.certified == stored.certified
    assert streamed.rate == pytest.approx(stored.rate, rel=1e-9)
    assert streamed.radius == pytest.approx(stored.radius, rel=1e-6)
    assert (streamed.switching == stored.switching).all()


def test_training_stops_when_certified():
    net, data, split, config = _setting(width=300)
    stop = certificate.until_certified(every=5, method="path")
    config = dataclasses.replace(config, num_rounds=400)
    run = local_sgd.run(net, data, split, config, stop=stop)
    assert run.stopped_at is not None
    assert run.stopped_at % 5 == 0
    assert 0 < run.stopped_at < 400
    assert stop.certificate.certified
    again = certificate.certify(run.network, data, split, config, method="path")
    assert again.rate == stop.certificate.rate


def test_float32_networks_are_certified_as_stored():
    net, data, split, config = _setting()
    narrow = TwoLayerReLU.from_arrays(np.asarray(net.weights, np.float32), np.asarray(net.signs, np.float32))
    proof = certificate.certify(narrow, data, split, dataclasses.replace(config, step_size=0.99 * config.step_size))
    assert proof.certified


@pytest.mark.parametrize("scale", [0.0, 1e-14])
def test_a_residual_of_rounding_noise_is_never_certified(scale):
    case = split_case(0, width=2000)
    noise = case._replace(targets=case.outputs - scale * np.array([1, -1, 1, -1]))
    for method in ("ball", "path"):
        proof = certify(noise, method)
        assert not proof.certified
        assert proof.obstacle is certificate.Obstacle.ARRIVED


def test_the_constant_counts_what_the_residual_may_be_off_by():
    case = split_case(0, width=2000)
    constants = [
        certify(case._replace(targets=case.outputs - scale * np.array([1, -1, 1, -1])), "ball").constant
        for scale in (1e-4, 1e-11)
    ]
    # At 1e-11 up to 40% of the residual is rounding error, which the bound must allow for twice.
    assert constants[1] > 1.5 * constants[0]


def test_a_planted_kink_is_named():
    case = split_case(0)
    weights = case.weights.copy()
    weights[7] -= (weights[7] @ case.inputs[2]) * case.inputs[2]  # exactly on the kink of sample 2
    net = TwoLayerReLU.from_arrays(weights, case.signs)
    data = datasets.from_arrays(case.inputs, case.targets)
    proof = certificate.certify(net, data, case.clients, case.config)
    assert proof.certified
    assert (proof.switching == [2, 7]).all(axis=1).any()


@pytest.mark.parametrize("seed", range(12))
def test_random_certificates_are_kept(seed):
    case = random_case(np.random.default_rng(seed))
    for method in ("ball", "path"):
        proof = certify(case, method)
        if proof is not None and proof.certified:
            seen = follow(case, 20)
            bound = proof.constant * proof.rate ** np.arange(21) * seen.residual_norms[0]
            assert (seen.residual_norms <= bound * (1 + 1e-9) + proof.rounding_floor).all()
            assert seen.movement <= proof.radius * (1 + 1e-9)
            named = np.zeros_like(seen.switched)
            named[proof.switching[:, 1], proof.switching[:, 0]] = True
            assert not (seen.switched & ~named).any()


def test_the_largest_step_size_that_is_named_is_that_of_the_worst_client():
    net, data, split, config = _setting(width=300)
    largest = config.step_size / 0.9
    with pytest.raises(InputError, match="at most 1/λ_max") as caught:
        certificate.certify(net, data, split, local_sgd.LocalSGD(1.01 * largest, 5, 0))
    named = float(re.search(r"at most (\d\S+), by client \d \(counted from 1\)", str(caught.value))[1])
    assert named == pytest.approx(largest, rel=1e-5)  # six digits are shown


def test_bad_input_is_one_sentence():
    net, data, split, config = _setting(width=300)
    with pytest.raises(InputError, match=r"step_size is 100, but .* at most 1/λ_max .* at most \d"):
        certificate.certify(net, data, split, local_sgd.LocalSGD(100, 5, 0))
    stop, key = certificate.until_certified(method="path"), jax.random.key(0)
    small = dataclasses.replace(config, participants=3)
    with pytest.raises(InputError, match="method is 'path', which needs full batches"):
        local_sgd.run(net, data, split, small, key=key, stop=stop)
    for changed in ({"server_step_size": 0.5}, {"participants": 3}, {"local_steps": (1, 2, 2, 2)}):
        with pytest.raises(InputError, match=r"method is 'ball', which needs .* or 'auto'"):
            certificate.certify(net, data, split, dataclasses.replace(config, **changed), method="ball")
    for changed, words in (
        ({"server_step_size": 1.5}, r"server_step_size is 1\.5, but the certificate needs at most 1"),
        ({"participants": 5}, "participants is 5, needs to be at most K = 4"),
    ):
        with pytest.raises(InputError, match=words):
            certificate.certify(net, data, split, dataclasses.replace(config, **changed))
    with pytest.raises(InputError, match="delta is 1, needs to lie between 0 and 1"):
        certificate.certify(net, data, split, config, delta=1)
    x = np.array(data.inputs)
    x[1] = x[0] + 1e-9 * x[2]
    twins = datasets.from_arrays(x, data.targets)
    with pytest.raises(InputError, match=r"singular .* rows 1 and 2 \(counted from 1\) are the most nearly parallel"):
        certificate.certify(net, twins, split, local_sgd.LocalSGD(0.1, 5, 0))
    dead = TwoLayerReLU.from_arrays(-np.abs(np.asarray(net.weights)), np.asarray(net.signs))
    positive = datasets.from_arrays(np.abs(x[:3]), data.targets[:3])
    with pytest.raises(InputError, match=r"no neuron is active on row 1 \(counted from 1\)"):
        certificate.certify(dead, positive, clients.iid(jax.random.key(0), positive, 1), local_sgd.LocalSGD(0.1, 1, 0))
    with pytest.raises(
        InputError, match="method is 'best', needs to be one out of auto, dominance, frozen, energy, ball, path"
    ):
        certificate.certify(net, data, split, config, method="best")
    with pytest.raises(InputError, match="width is 0"):
        certificate.certify_at_init(jax.random.key(0), data, split, config, width=0)
    with pytest.raises(InputError, match="every is 0"):
        certificate.until_certified(every=0)


@pytest.mark.parametrize("seed", range(8))
def test_the_step_size_that_a_refusal_names_is_accepted(seed):
    net, data, split, config = _setting(width=300, seed=seed)
    with pytest.raises(InputError) as caught:
        certificate.certify(net, data, split, dataclasses.replace(config, step_size=2 * config.step_size))
    named = float(re.search(r"at most (\d\S+), by", str(caught.value))[1])
    certificate.certify(net, data, split, local_sgd.LocalSGD(named, 5, 0), estimate=False)


def test_a_gram_matrix_that_collapsed_is_not_blamed_on_rows():
    config = local_sgd.LocalSGD(0.1, 1, 0)
    # All neurons point one way: every row has the same patterns, and rows in two dimensions only are not parallel.
    x = np.array([[1.0, 0.2], [1.0, 0.5], [1.0, 0.9]])
    plane = datasets.from_arrays(x, np.ones(3))
    alike = TwoLayerReLU.from_arrays(np.ones((50, 2)), np.resize([1.0, -1.0], 50))
    with pytest.raises(InputError, match=r"no two rows are nearly parallel.* a wider network or smaller targets"):
        certificate.certify(alike, plane, clients.iid(jax.random.key(0), plane, 1), config)


def test_traced_networks_are_refused_in_one_sentence():
    net, data, split, config = _setting(width=300)
    with pytest.raises(InputError, match="traced"):
        jax.jit(lambda traced: certificate.certify(traced, data, split, config).rate)(net)


@pytest.mark.parametrize("method", ["ball", "path"])
@pytest.mark.parametrize("power", [-500, -540, 500, 600])
def test_numbers_whose_squares_leave_float64_are_never_certified(method, power):
    weights, one = 2.0**power * np.array([[1.0, 0], [1, 0], [0.3, 0], [0.3, 0]]), clients.Clients((np.array([0]),))
    # Outputs cancel in pairs, so that the residual is the target alone, as small as the square root of a denormal.
    net = TwoLayerReLU.from_arrays(weights, np.array([1.0, -1.0, 1.0, -1.0]))
    target = -np.sqrt(1.5 * 5e-324) if power < 0 else -1e160
    data = datasets.from_arrays(np.array([[1.0, 0.0]]), np.array([target]))
    with pytest.raises(InputError, match=r"residual has the norm|weights hold"):
        certificate.certify(net, data, one, local_sgd.LocalSGD(0.02, 1, 0), method=method)


@pytest.mark.parametrize("method", ["ball", "path"])
@pytest.mark.parametrize("power", [-300, -20, 300])
def test_scaled_networks_and_targets_have_the_scaled_certificate(method, power):
    case = split_case(0, width=20_000)
    case = off_by(case, 1e-4 * np.array([1, -1, 1, 1]))
    scaled = case._replace(weights=case.weights * 2.0**power, targets=case.targets * 2.0**power)
    plain, other = certify(case, method), certify(scaled, method)
    assert plain.certified
    assert other.certified
    # Powers of two change no mantissa; only what is lost by underflow is counted in absolute terms.
    assert other.rate == pytest.approx(plain.rate, rel=1e-12)
    assert other.radius == pytest.approx(plain.radius * 2.0**power, rel=1e-9)
    assert other.constant == pytest.approx(plain.constant, rel=1e-9)
    np.testing.assert_array_equal(other.switching, plain.switching)


class Doubled(TwoLayerReLU):
    """Another network with the same weights."""

    def __call__(self, x):
        return 2 * super().__call__(x)


def test_networks_that_the_proof_does_not_speak_of_are_refused():
    net, data, split, config = _setting(width=300)
    weights, signs = np.asarray(net.weights), np.asarray(net.signs)
    for other in (
        Doubled(weights, signs),
        TwoLayerReLU(weights, 0.5 * signs),
        networks.two_layer(jax.random.key(0), width=300, input_dim=16, activation=networks.LeakyReLU(0.1)),
        networks.deep(jax.random.key(0), width=30, input_dim=16, depth=1, residual=True),
    ):
        with pytest.raises(InputError, match="the certificate is for two layers as TwoLayerReLU has them"):
            certificate.certify(other, data, split, config)
