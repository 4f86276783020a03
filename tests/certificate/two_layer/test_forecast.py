"""What is foreseen is what comes: scales and widths by one radius, rows to merge, what is too slow or hopeless."""

import dataclasses

import jax
import numpy as np
import pytest

from ntk_localsgd import certificate, clients, datasets
from ntk_localsgd.certificate import Obstacle
from ntk_localsgd.certificate.two_layer.forecast import path_seconds, rows_to_merge
from ntk_localsgd.certificate.two_layer.path import certify_path, refused_at_once
from ntk_localsgd.local_sgd import LocalSGD, lazy_targets
from ntk_localsgd.networks import DeepReLU, TwoLayerReLU
from tests.certificate.two_layer.settings import parts_of
from verification.jobs.certified_cases import random_case


def _setting(n, width, seed, *, kind="sphere", coupled=False):
    if kind == "sphere":
        data = datasets.sphere(jax.random.key(seed), n, 16)
    else:
        data = datasets.digits(n, classes=(3, 8), key=jax.random.key(seed))
    net = TwoLayerReLU.init(
        jax.random.key(seed), width=width, input_dim=data.input_dim, coupled=coupled, dtype=np.float64
    )
    split = clients.iid(jax.random.key(1), data, 2)
    return net, data, split, LocalSGD(0.5, 5, 0)


@pytest.mark.parametrize("kind", ["sphere", "digits"])
@pytest.mark.parametrize("seed", range(3))
def test_a_scale_that_is_foreseen_is_proved_and_a_quarter_of_it_is_not(kind, seed):
    net, data, split, config = _setting(8, 1024, seed, kind=kind)
    found = certificate.forecast(net, data, split, config)
    proofs = [
        certificate.certify(
            net, lazy_targets(net, data, scale=scale), split, config, method="ball", estimate=False
        ).certified
        for scale in (found.scale, found.scale / 4)
    ]
    assert proofs == [True, False]
    assert 0 < found.rate < 1


def test_a_width_that_follows_from_the_scale_is_proved():
    net, data, split, config = _setting(2, 256, 0, coupled=True)
    scale = certificate.forecast(net, data, split, config).scale
    assert 1 < scale < 30
    width = 2 * int(256 * scale**2 / 2)
    wide = TwoLayerReLU.init(jax.random.key(3), width=width, input_dim=16, coupled=True, dtype=np.float64)
    assert certificate.certify(wide, data, split, config, method="ball", estimate=False).certified


def test_nothing_is_foreseen_of_what_is_drawn_and_of_deep_networks():
    net, data, split, config = _setting(8, 64, 0)
    assert certificate.forecast(net, data, split, dataclasses.replace(config, batch_size=1)) is None
    deep = DeepReLU.init(jax.random.key(0), width=16, depth=2, input_dim=16, dtype=np.float64)
    assert certificate.forecast(deep, data, split, dataclasses.replace(config, step_size=1e-3)) is None


def test_a_scale_beyond_what_float64_tells_from_rounding_is_none():
    net, data, split, config = _setting(8, 1024, 0)
    x = np.array(data.inputs)
    x[1] = x[0] + 3e-6 * x[2]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    near = dataclasses.replace(data, inputs=x)
    assert certificate.forecast(net, near, split, config).scale == np.inf
    assert certificate.forecast(net, data, split, config).scale < 1e4
    assert rows_to_merge(x, 1) == [1]
    assert 1 not in rows_to_merge(np.asarray(data.inputs), 1) or data.closest_pair.rows[1] == 1


def test_of_a_chain_of_near_rows_every_second_stays():
    x = np.array([[0.0], [0.1], [0.2 + 1e-9], [5.0], [9.0]])
    assert rows_to_merge(x, 2) == [1, 2]  # 0 and 1, then 0 and 2
    assert rows_to_merge(x, 10) == [1, 2, 4, 3]
    # 2 is near 1, which is gone, and 0.21 from 0: 3 and 4 are nearer to each other.
    assert rows_to_merge(np.array([[0.0], [0.1], [0.21], [9.0], [9.15]]), 2) == [1, 4]


def test_a_path_that_would_take_too_long_is_not_begun():
    net, data, split, config = _setting(16, 2048, 0, kind="digits")
    config = dataclasses.replace(config, step_size=0.1)
    proof = certificate.certify(net, data, split, config, method="path", estimate=False, seconds=0.0)
    assert proof.obstacle in {Obstacle.TIME, Obstacle.PATTERNS}
    lazy = lazy_targets(net, data, scale=300.0)
    late = certificate.certify(net, lazy, split, config, method="path", estimate=False, seconds=0.0)
    assert late.obstacle == Obstacle.TIME
    assert "pairs come near their kinks" in late.explanation
    in_time = certificate.certify(net, lazy, split, config, method="path", estimate=False, seconds=600.0)
    assert in_time.obstacle != Obstacle.TIME


def test_seconds_grow_with_the_pairs():
    case = random_case(np.random.default_rng(0))
    _, _, near, _ = parts_of(case)
    pairs = sum(len(rows) for rows in near.rows)
    none = near._replace(rows=[rows[:0] for rows in near.rows])
    assert path_seconds(none) == 0.0
    assert pairs > 0
    assert 0 < path_seconds(near) < 60


def test_what_is_refused_at_once_is_refused_by_the_path():
    rng, refused, certified = np.random.default_rng(5), 0, 0
    while refused < 3 or certified < 3:
        case = random_case(rng)
        case = case._replace(targets=case.targets * 10 ** rng.uniform(0, 2))
        problem, found, near, model = parts_of(case)
        proof = certify_path(problem, found, near, model)
        at_once = refused_at_once(problem, found, near, model)
        if at_once is not None:
            refused += 1
            assert at_once.obstacle == Obstacle.PATTERNS
            assert not proof.certified
        certified += proof.certified
