"""Deep certificates: kept by runs, sound where one step is planted, refused in one sentence."""

import dataclasses

import jax
import numpy as np
import pytest

from ntk_localsgd import certificate, clients, datasets, kernels, local_sgd, networks
from ntk_localsgd.certificate import Obstacle
from ntk_localsgd.certificate.deep.certifier import DeepCertifier
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import DeepReLU
from verification.jobs.certificates import Tally
from verification.jobs.deep_cases import certify_deep, follow_deep, random_deep_case


def _setting(*, n=4, width=48, depth=2, outputs=1, lazy=300.0, seed=0, share=0.9):
    data = datasets.sphere(jax.random.key(0), n, 8)
    split = clients.iid(jax.random.key(1), data, 2)
    net = DeepReLU.init(
        jax.random.key(seed), width=width, depth=depth, input_dim=8, output_dim=outputs, dtype=np.float64
    )
    targets = np.asarray(data.targets).reshape(n, 1) * np.array([1.0, -0.5])[:outputs]
    targets = np.asarray(net(data.inputs)).reshape(n, outputs) + targets / lazy
    data = datasets.from_arrays(data.inputs, targets if outputs > 1 else targets[:, 0])
    deep = DeepCertifier(net, data, split, local_sgd.LocalSGD(1.0, 3, 20))
    parts = deep.rounds.clients.indices
    step = share / max(np.linalg.eigvalsh(deep.frozen.gram[np.ix_(p, p)])[-1] for p in parts)
    return net, data, split, local_sgd.LocalSGD(float(step), 3, 20)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_run_of_the_library_keeps_its_certificate(outputs):
    net, data, split, config = _setting(outputs=outputs)
    proof = certificate.certify(net, data, split, config)
    assert proof.certified
    assert 0.5 < proof.rate < 1
    run = local_sgd.run(net, data, split, config)
    norms = np.sqrt(2 * run.trajectory.loss.values)
    assert norms[0] == pytest.approx(proof.residual_norm, rel=1e-9)
    assert (norms <= proof.constant * proof.rate ** np.arange(21) * norms[0] * (1 + 1e-9)).all()
    moved = [np.asarray(a - b) for a, b in zip(run.network.trained, net.trained, strict=True)]
    assert 0 < np.sqrt(sum(np.square(m).sum() for m in moved)) <= proof.radius


@pytest.mark.parametrize("seed", range(4))
def test_random_certificates_are_kept(seed):
    rng, tally = np.random.default_rng(seed), Tally()
    while tally.certified < 2:
        case = random_deep_case(rng)
        proof = certify_deep(case)
        if proof is not None:
            tally.add(case, proof, follow_deep)
    assert tally.failed == 0
    assert 0.1 < tally.movement <= 1 + 1e-9


def test_larger_residuals_are_not_certified_and_hear_what_would_do():
    net, data, split, config = _setting(lazy=3.0)
    proof = certificate.certify(net, data, split, config)
    assert not proof.certified
    assert proof.obstacle == Obstacle.PATTERNS
    assert 0 < proof.residual_estimate < proof.residual_norm
    share = proof.residual_estimate / proof.residual_norm
    outputs = np.asarray(net(data.inputs))
    nearer = dataclasses.replace(data, targets=outputs + share * (np.asarray(data.targets) - outputs))
    assert certificate.certify(net, nearer, split, config).certified


def test_training_stops_when_a_deep_network_is_certified():
    net, data, split, config = _setting(lazy=20.0, width=96)
    stop = certificate.until_certified(40)
    run = local_sgd.run(net, data, split, dataclasses.replace(config, num_rounds=400), stop=stop)
    assert stop.certificate.certified
    here = certificate.certify(run.network, data, split, config)
    assert here.rate == pytest.approx(stop.certificate.rate, rel=1e-9)


def test_a_network_at_initialization_is_that_of_its_key():
    net, data, split, config = _setting()
    stored = certificate.certify(net, data, split, config)
    drawn = certificate.certify_at_init(jax.random.key(0), data, split, config, width=48, depth=2, dtype=np.float64)
    assert drawn.rate == stored.rate
    assert drawn.radius == stored.radius


def test_inputs_may_enter_without_a_frozen_first_layer():
    net, data, split, config = _setting()
    plain = networks.Stack.from_arrays(None, [np.asarray(net.input_weights), *net.hidden_weights], net.output_weights)
    outputs = np.asarray(plain(data.inputs))
    data = dataclasses.replace(data, targets=outputs + 1e-3 * np.ones_like(outputs))
    assert certificate.certify(
        plain, data, split, dataclasses.replace(config, step_size=config.step_size / 9)
    ).certified


def test_what_the_theorem_does_not_speak_of_is_one_sentence():
    net, data, split, config = _setting()
    with pytest.raises(InputError, match=r"step_size is .*, but the theorem asks for at most .*: at most 0"):
        certificate.certify(net, data, split, dataclasses.replace(config, step_size=config.step_size * 1.2))
    with pytest.raises(InputError, match="method is 'ball', but deep networks"):
        certificate.certify(net, data, split, config, method="ball")
    with pytest.raises(InputError, match="net is deep, and its certificate needs full batches"):
        certificate.certify(net, data, split, dataclasses.replace(config, batch_size=1))
    two = datasets.from_arrays(data.inputs, np.ones((4, 2)))
    with pytest.raises(InputError, match="2 targets a row, but the network has 1 outputs"):
        certificate.certify(net, two, split, config)
    twice = datasets.from_arrays(data.inputs, np.asarray(net(data.inputs)) + 1e-3)
    dead = DeepReLU.from_arrays(np.zeros((48, 8)), list(net.hidden_weights), net.output_weights)
    with pytest.raises(InputError, match="no neuron is active on row 1"):
        certificate.certify(dead, twice, split, config)
    huge = net.with_trained([w * 1e200 for w in net.trained])
    with pytest.raises(InputError, match="weights hold"):
        certificate.certify(huge, data, split, config)


def test_a_residual_of_rounding_noise_is_never_certified():
    net, data, split, config = _setting()
    for targets in (np.asarray(net(data.inputs)), np.asarray(net(data.inputs)) + 1e-15):
        proof = certificate.certify(net, dataclasses.replace(data, targets=targets), split, config)
        assert not proof.certified
        assert proof.obstacle == Obstacle.ARRIVED


def test_all_outputs_of_a_sample_belong_to_its_client():
    net, data, split, config = _setting(outputs=2)
    deep = DeepCertifier(net, data, split, config)
    owner = np.array([next(c for c, part in enumerate(split.indices) if i in part) for i in range(4)])
    assert (deep.rounds.owner == np.repeat(owner, 2)).all()
    assert np.allclose(deep.frozen.outputs.reshape(4, 2), np.asarray(net(data.inputs)), rtol=1e-12)
    assert (deep.targets.reshape(4, 2) == np.asarray(data.targets)).all()


@pytest.mark.parametrize(("depth", "seed", "rounds", "ratio"), [(2, 0, 16, 1.9e-3), (3, 3, 14, 5e-4)])
def test_training_is_certified_from_a_later_iterate_on(depth, seed, rounds, ratio):
    """Four points of the sphere in 16 dimensions on four clients, m = 256, τ = 5, from a plain initialization."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, 16))
    data = datasets.from_arrays(x / np.linalg.norm(x, axis=1, keepdims=True), rng.choice([-1.0, 1.0], 4))
    first = rng.normal(size=(256, 16)) * np.sqrt(2 / 256)
    hidden = [rng.normal(size=(256, 256)) * np.sqrt(2 / 256) for _ in range(depth)]
    net, split = (
        DeepReLU.from_arrays(first, hidden, rng.normal(size=(1, 256))),
        clients.Clients(tuple(np.arange(4).reshape(4, 1))),
    )
    config = local_sgd.LocalSGD(0.9 / float(np.diagonal(kernels.empirical_gram(net, data.inputs)).max()), 5, rounds)
    run = local_sgd.run(net, data, split, config)
    losses = run.trajectory.loss.values
    assert losses[-1] / losses[0] >= ratio
    proof = certificate.certify(run.network, data, split, config, estimate=False)
    assert proof.certified
    assert proof.rate < 0.9
