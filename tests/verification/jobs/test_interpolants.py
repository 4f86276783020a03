"""Narrow networks' jobs: data and targets by seed, proofs counted, the descent of σ_min, the controls."""

import dataclasses

import numpy as np
import pytest

from ntk_localsgd.interpolation import Shallow
from ntk_localsgd.networks import TANH
from verification.jobs.interpolants import FullRankRegion, Interpolants, Shape, Starts, descent

SHAPES = (Shape(6, 3, 4), Shape(8, 4, 4))


def test_shapes_take_turns_and_targets_are_signs_or_normal():
    job = Interpolants("sphere", SHAPES, "tanh", (7, 8, 9))
    cases = [job.case(place)[:2] for place in range(3)]
    assert [shape.samples for shape, _ in cases] == [6, 8, 6]
    assert [data.inputs.shape for _, data in cases] == [(6, 3), (8, 4), (6, 3)]
    assert not np.array_equal(cases[0][1].inputs, cases[2][1].inputs)
    assert all(np.abs(data.targets).max() == 1 for _, data in cases)
    normal = dataclasses.replace(job, targets="normal").case(0)[1]
    np.testing.assert_array_equal(normal.inputs, cases[0][1].inputs)
    assert len(np.unique(np.abs(normal.targets))) == 6


def test_interpolants_are_proved_and_none_where_weights_are_too_few():
    found = Interpolants("sphere", SHAPES, "softplus", (7, 8), "normal").compute()
    assert found.certified.all()
    assert (found.contraction <= 0.5).all()
    assert float(found.radius.max()) < 1e-9
    few = Interpolants("sphere", (Shape(6, 3, 1),), "softplus", (7, 8), "normal", attempts=1).compute()
    assert not few.certified.any()
    assert float(few.loss.min()) > 1e-3
    assert float(few.contraction.min()) >= 1


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_start_is_zero_if_and_only_if_it_is_mirrored(mirrored):
    largest = Starts("sphere", SHAPES, "gelu", (7, 8), mirrored=mirrored).compute().largest
    assert (largest == 0).all() if mirrored else (largest > 1e-3).all()


def test_rank_stays_full_in_the_region_and_copies_have_none():
    job = FullRankRegion("sphere", SHAPES, "tanh", (7, 8))
    found, copies = job.compute(), dataclasses.replace(job, copies=True).compute()
    assert float(found.singular.min()) >= 1
    assert (found.gradient >= found.singular - 1e-12).all()
    assert float(found.proved.min()) > 0
    assert float(copies.singular.max()) < 0.2


def test_the_descent_lowers_the_smallest_singular_value_fastest():
    generator = np.random.default_rng(0)
    net = Shallow.init(generator, width=4, input_dim=3, activation=TANH)
    x = generator.standard_normal((6, 3)) / 2

    def smallest(step):
        moved = Shallow.from_parameters(net.parameters + 1e-3 * step / np.linalg.norm(step), 3, TANH)
        return np.linalg.svd(moved.jacobian(x), compute_uv=False)[-1]

    down = smallest(descent(net, x))
    assert down < min(smallest(generator.standard_normal(16)) for _ in range(50))
    slope = (np.linalg.svd(net.jacobian(x), compute_uv=False)[-1] - down) / 1e-3
    assert slope == pytest.approx(np.linalg.norm(descent(net, x)), rel=0.02)
