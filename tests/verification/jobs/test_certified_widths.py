"""The search for the smallest width, and what is evaluated at it."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verification.data import Source
from verification.jobs.certified_widths import CertifiedWidths, smallest

JOB = CertifiedWidths(Source("sphere", 2, 0, input_dim=8), 2, 2, seed=0, number=2, delta=0.05)


@given(st.integers(2, 3000), st.integers(2, 500))
def test_the_smallest_power_of_the_root_of_two_is_within_a_step_of_where_it_begins_to_hold(begins, start):
    width = smallest(lambda m: m >= begins, start)
    assert width >= max(begins, start)
    # Up by factors of 2, then one step of √2 back, each rounded up.
    assert width <= max(2**0.5 * (begins + 1), 2**0.5 * start) + 1


def test_every_network_is_tried_at_the_largest_width_and_one_that_fails_there_is_seen(monkeypatch):
    tried = []

    def certified(self, key, width, scale=1):
        # The first network is certified at 8 and 16 neurons, but not at 32, where the second one is.
        first = not tried or tried[0][0] is key
        tried.append((key, width, scale))
        return scale == 1 and (width in (8, 16) if first else width >= 32)

    monkeypatch.setattr(CertifiedWidths, "_converges", lambda *arguments: arguments[-1] >= 8)
    monkeypatch.setattr(CertifiedWidths, "_certified", certified)
    table = JOB.compute()
    assert table.certified.values.tolist() == [8, 32]
    assert table.together.values.tolist() == [0, 1]
    assert table.spoiled.values.tolist() == [math.inf, math.inf]
    assert [at[1:] for at in tried[-8:]] == 2 * [(32, 1)] + 2 * [(32, 30), (64, 30), (128, 30)]


def test_no_width_is_looked_for_beyond_the_limit():
    assert smallest(lambda m: m >= 100, 16, 64) == math.inf
    assert smallest(lambda m: m >= 64, 16, 64) == 64


@pytest.mark.slow
def test_widths_of_two_samples_are_in_order():
    table = dataclasses.replace(JOB, number=1).compute()
    assert 2 <= table.measured.item() <= table.certified.item() <= table.asked.item()
    assert table.together.item() == 1
    assert table.spoiled.item() == math.inf
