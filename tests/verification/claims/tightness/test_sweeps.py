"""Exponents over sweeps, and the verdict that follows from them."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from tests.verification.claims import planted
from verification.claims.tightness import widths
from verification.claims.tightness.sweeps import exponents, no_faster, one_at_a_time

# A relative error of a few roundings of double precision.
CLOSE = 1e-12


def test_exponents_of_a_power_law_are_its_powers_and_missing_thresholds_are_left_out():
    n, phi = np.array([4.0, 8, 16]), np.array([0.8, 0.4])
    rows = np.array([np.append(c * n**3, c * phi**-2) for c in (1.0, 5.0)])
    at = np.tile(np.append(n, phi), (2, 1))
    dims, names = ("repeat", "point"), ["n"] * 3 + ["φ"] * 2
    table = xr.Dataset({"threshold": (dims, rows), "at": (dims, at)}, {"parameter": ("point", names)})
    measured = exponents(table)
    assert measured["n"].estimate == pytest.approx(3, rel=CLOSE)
    assert measured["φ"].estimate == pytest.approx(-2, rel=CLOSE)
    rows[0, 4] = math.inf
    assert set(exponents(table)) == {"n"}


@pytest.mark.parametrize(
    ("name", "needed", "holds"),
    [("n", (1, 2), True), ("n", (5, 6), False), ("n", (3, 6), None), ("φ", (-2, -1), True), ("φ", (-6, -5), False)],
)
def test_needed_widths_may_grow_no_faster_than_those_asked_for(name, needed, holds):
    powers = {"n": 4, "φ": -4}
    assert no_faster(_power_laws(name, needed, powers[name]))[0] is holds
    # Step sizes are the other way round: asked for is the reciprocal, and they may fall no faster.
    assert no_faster(_power_laws(name, [-p for p in needed], -powers[name]), step=True)[0] is holds


def test_a_missing_threshold_decides_nothing():
    table = _power_laws("n", (1, 2), 4)
    table.threshold[0, -1] = math.inf
    assert no_faster(table)[0] is None
    table.threshold[0, -1] = 0.0
    assert no_faster(table, step=True)[0] is None


def _power_laws(name, needed, asked):
    """Two data sets whose thresholds grow with powers that have these ends as their interval."""
    at, dims = np.array([1.0, 4.0, 16.0]), ("repeat", "point")
    # Student's interval of two values a, b is (a + b)/2 ± 12.7 |a − b|/2.
    middle, half = sum(needed) / 2, abs(needed[1] - needed[0]) / 2 / scipy.stats.t.ppf(0.975, 1)
    rows = np.array([at ** (middle - half), at ** (middle + half)])
    columns = {"threshold": rows, "asked": np.tile(at**asked, (2, 1)), "at": np.tile(at, (2, 1))}
    return xr.Dataset({k: (dims, v) for k, v in columns.items()}, {"parameter": ("point", [name] * 3)})


def _step_sizes(power):
    """Largest step sizes that fall with a power of τ; none where the control's rate is asked for."""

    def numbers(job, place):
        threshold = 0.0 if job.lambda0 else job.training.local_steps**-power
        return xr.Dataset({"threshold": threshold, "fails": math.inf})

    return numbers


@pytest.mark.parametrize(("power", "holds"), [(0.9, True), (1.24, True), (1.26, False)])
def test_the_tolerance_that_decides_about_step_sizes_stands_in_claim_and_row(power, holds):
    (row,) = planted.rows("C6-step", _step_sizes(power))
    assert row.conclusion.holds is holds
    assert "may differ by 0.25" in row.conclusion.text
    assert f"τ −{power:.2f} ± 0.00 beside −1.0".replace("−", "-") in row.conclusion.text
    assert row.control.broke
    assert row.bound == 1 <= row.measured


@pytest.mark.parametrize(("width", "spoiled", "holds"), [(8, math.inf, True), (8, 16, True), (math.inf, 4, None)])
def test_widths_needed_are_held_against_those_asked_for(width, spoiled, holds):
    def numbers(job, place):
        return xr.Dataset({"threshold": float(spoiled if job.factor != 1 else width), "fails": 4.0})

    (row,) = planted.rows("C6-width", numbers)
    assert row.conclusion.holds is holds
    assert row.control.broke is math.isinf(spoiled)
    assert "needed 8 … 8 (fails at 4 … 4)" in row.conclusion.text or holds is None
    assert (row.measured is None) == ("none up to 512 at 4 of 4 points" in row.conclusion.text) == (holds is None)
    assert row.trials == 4  # points, not seeds
    assert row.premise.holds


def test_what_else_than_its_parameter_changes_along_a_sweep_breaks_its_premise():
    points = widths.sweeps(planted.CONTEXT, "C4", "planted")
    assert one_at_a_time(points).holds
    job = points[0][0].job
    for changed in ({"local_steps": 2}, {"num_rounds": 7}, {"seeds": (1, 2)}):
        training = dataclasses.replace(job.training, **changed)
        other = dataclasses.replace(points[0][0], job=dataclasses.replace(job, training=training))
        assert not one_at_a_time([[other, *points[0][1:]]]).holds


def test_a_step_size_that_is_stable_at_one_local_step_alone_refutes_stability():
    def numbers(job, place):
        stable = 2.0 if job.training.local_steps == 1 else 1.0
        return xr.Dataset({"threshold": stable if job.conclusion == "stable" else 0.1, "fails": 4.0})

    (row,) = planted.rows("C6-stability", numbers)
    assert row.conclusion.holds is False
    assert row.measured == 1
    assert row.control.broke
