"""A run beside its certificate: what it must not do."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from ntk_localsgd import clients, datasets, local_sgd
from ntk_localsgd.certificate import Certificate, Obstacle
from ntk_localsgd.networks import TwoLayerReLU
from verification.jobs.certificates import largest_step
from verification.jobs.certified_run import CertifiedRun, Seen, follow, shares

PAIRS = np.array([[0, 3], [1, 4], [0, 7]])
PROOF = Certificate(
    certified=True,
    rate=0.8,
    constant=1.0,
    radius=0.1,
    allowed_radius=0.1,
    residual_norm=2.0,
    obstacle=Obstacle.NONE,
    explanation="",
    width_estimate=8.0,
    residual_estimate=2.0,
    method="path",
    rounding_floor=0.0,
    delta=0.0,
    switching=PAIRS,
)
KEPT = np.array([[1, 4], [0, 7]])


def _run(*, rate=0.75, movement=0.05, switched=KEPT):
    return Seen(2.0 * rate ** np.arange(6), movement, switched)


def test_a_run_that_keeps_its_certificate_has_no_share_above_one_and_breaks_an_overstated_one():
    own, overstated = (shares(_run(), PROOF, by=by) for by in (1, 3))
    assert own == pytest.approx({"residual": 0.75 / 0.8, "movement": 0.5, "patterns": 2 / 3})
    assert min(overstated.values()) > 1


@pytest.mark.parametrize(
    "run",
    [
        _run(rate=0.81),
        _run(movement=0.11),
        _run(rate=math.inf),
        _run(switched=np.array([[1, 3]])),  # as few as are named, but another one
    ],
)
def test_one_that_does_not_has_a_share_above_one(run):
    assert max(shares(run, PROOF, by=1).values()) > 1


def test_a_run_that_diverges_has_moved_without_end():
    data = datasets.sphere(jax.random.key(0), 4, 3)
    net = TwoLayerReLU.init(jax.random.key(3), width=256, input_dim=3, dtype=np.float64)
    seen = follow(net, data, clients.iid(jax.random.key(1), data, 2), local_sgd.LocalSGD(1e9, 1, 3))
    assert seen.movement == math.inf
    assert max(shares(seen, PROOF, by=1).values()) > 1


def test_a_pattern_that_differs_in_the_middle_of_a_run_only_is_seen():
    data = datasets.sphere(jax.random.key(0), 4, 3)
    net = TwoLayerReLU.init(jax.random.key(3), width=256, input_dim=3, dtype=np.float64)
    split = clients.iid(jax.random.key(1), data, 2)
    config = local_sgd.LocalSGD(1.7 * largest_step(net, data, split), 1, 5)  # the residual swings
    ends = [local_sgd.run(net, data, split, dataclasses.replace(config, num_rounds=t)) for t in range(1, 6)]
    patterns = [np.asarray(each.network.activation_patterns(data.inputs)[0]) for each in ends]
    differs = [after != np.asarray(net.activation_patterns(data.inputs)[0]) for after in patterns]
    seen = follow(net, data, split, config)
    assert set(map(tuple, seen.switched)) == set(map(tuple, np.argwhere(np.any(differs, axis=0))))
    assert len(seen.switched) > differs[-1].sum()
    np.testing.assert_allclose(seen.residual_norms**2 / 2, ends[-1].trajectory.loss, rtol=1e-12)  # a dozen roundings
    moved = [np.linalg.norm(np.asarray(each.network.weights - net.weights), axis=1).max() for each in ends]
    assert seen.movement == pytest.approx(max(moved), rel=1e-12)


def test_a_wide_network_keeps_its_certificate_and_not_the_overstated_one():
    table = CertifiedRun(2, 8, 2**11, 2, 2, num_rounds=4, seed=0).compute()
    assert table.certified == 1
    own, overstated = table.share.values
    assert own.max() <= 1 < overstated.min() < math.inf or overstated[2] == math.inf
    assert table.attrs["proof"]
