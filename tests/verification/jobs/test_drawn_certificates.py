"""Drawn runs are followed in every order that their certificate speaks of, and overstated certificates are not kept."""

import dataclasses
import math

import numpy as np
import pytest

from verification.data import Source
from verification.jobs import drawn_certificates
from verification.jobs.drawn_certificates import DrawnCertificates, OrderWidths
from verification.jobs.reference import CHOICES


@pytest.mark.parametrize("method", ["dominance", "energy"])
def test_certificates_are_kept_and_overstated_ones_are_not(method):
    job = DrawnCertificates(method, 3, seed=1)
    own, over = (dataclasses.replace(job, overstated=factor).compute() for factor in (1.0, 30.0))
    assert own.sizes["run"] == 3
    assert own.tried >= 3
    assert (own.movement <= 1).all()
    assert (own.residual <= 1).all()
    assert (own.astray == 0).all()
    assert (over.residual > 1).all()
    # The same cases and orders: what is measured differs by the factor alone.
    assert over.movement.values == pytest.approx(30 * own.movement.values, rel=1e-12)


@pytest.mark.parametrize(("method", "orders"), [("dominance", CHOICES), ("energy", ("drawn",))])
def test_hostile_orders_are_followed_where_the_certificate_speaks_of_them(method, orders, monkeypatch):
    seen, follow = [], drawn_certificates.follow
    monkeypatch.setattr(
        drawn_certificates,
        "follow",
        lambda case, rounds, order: seen.append(order.choice) or follow(case, rounds, order),
    )
    monkeypatch.setattr(drawn_certificates, "_ROUNDS", 2)
    DrawnCertificates(method, 1, seed=1).compute()
    assert tuple(seen) == tuple(orders)


def test_widths_of_single_samples_are_at_most_a_step_from_those_of_full_batches_with_one_sample_a_client():
    table = OrderWidths(Source("sphere", 2, 0, input_dim=8), 2, 2, seed=0, number=2, delta=0.05).compute()
    assert table.single.values.tolist() == table.full.values.tolist()
    assert table.spoiled.values.tolist() == [math.inf, math.inf]
    assert (table.single < table.asked).all()


def test_coupled_neurons_start_at_zero_and_have_even_widths():
    job = OrderWidths(Source("sphere", 2, 0, input_dim=8), 2, 2, seed=0, number=2, delta=0.05, coupled=True)
    net = job.network(job.keys("certified for every order")[0], 23)
    assert net.width == 24
    assert np.abs(net(job.data.load().dataset.inputs)).max() < 1e-15
    assert job.table(single=[23, math.inf]).single.values.tolist() == [24, math.inf]
