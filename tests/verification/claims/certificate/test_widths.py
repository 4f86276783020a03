"""C8-widths: the premise is evaluated, exponents are compared by their intervals."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims import planted
from verification.claims.certificate import widths
from verification.data import Source
from verification.jobs.certified_widths import CertifiedWidths

TABLE = {"measured": [8, 16], "certified": [64, 128], "together": [1, 1], "spoiled": [np.inf, np.inf]}


def _rows(context=planted.CONTEXT, **changed):
    columns = {name: ("seed", np.array(values)) for name, values in (TABLE | changed).items()}
    return planted.rows("C8-widths", lambda *_: xr.Dataset(columns | {"asked": 1e6}), context)


def test_a_width_between_what_runs_need_and_what_c1_asks_for_is_right():
    (row,) = _rows()
    assert row.verdict is Verdict.VERIFIED
    assert (row.measured, row.bound) == (128, 1e6)
    assert row.control.broke


def test_without_all_seeds_certified_at_the_very_width_the_premise_does_not_hold():
    (row,) = _rows(together=[0, 1])
    assert row.premise.holds is False
    assert "m = 128 (1 of 2 are)" in row.premise.text


@pytest.mark.parametrize("changed", [{"measured": [8, 129]}, {"certified": [64, 1_000_001]}])
def test_a_width_beyond_either_end_refutes_it(changed):
    assert _rows(**changed)[0].verdict is Verdict.REFUTED


def test_a_certificate_that_holds_for_large_targets_too_leaves_the_control_unbroken():
    assert not _rows(spoiled=[np.inf, 256])[0].control.broke


def test_below_four_samples_c1_does_not_speak():
    preset = planted.CONTEXT.preset
    preset = dataclasses.replace(preset, certificates=dataclasses.replace(preset.certificates, samples=(2,)))
    (row,) = _rows(dataclasses.replace(planted.CONTEXT, preset=preset))
    assert row.verdict is Verdict.OBSERVED


@pytest.mark.parametrize(("spread", "holds"), [(1, True), (1.5, None), (0, False)])
def test_the_certificate_s_exponent_is_smaller_only_if_its_whole_interval_is(spread, holds):
    n = np.array([4, 8, 16])
    power = {1: 1.5, 1.5: 5.9, 0: 6.0}[spread]
    certified = n[:, None] ** (power + np.array([-0.1, 0.1] if holds is None else [0.0, 0.0]))
    columns = {"measured": n[:, None] ** 0.5 * np.ones(2), "certified": certified}
    data = {name: (("n", "seed"), values) for name, values in columns.items()}
    jobs = [CertifiedWidths(Source("sphere", int(k), 0, input_dim=4 * int(k)), 4, 5, 0, 2, 0.05) for k in n]
    table = xr.Dataset(data | {"asked": ("n", n**6.0)}, {"n": n})
    row = widths.exponents(jobs, table)
    assert row.measured == pytest.approx(power, rel=1e-9)  # rounding of logarithms
    assert row.bound == pytest.approx(6, rel=1e-9)
    assert row.conclusion.holds is holds
    assert row.control.broke
    assert row.premise.holds
    assert not widths.exponents([dataclasses.replace(jobs[0], local_steps=1), *jobs[1:]], table).premise.holds
    flat = table.assign(certified=table.certified * 0 + 64 * np.array([1.0, 1.1]))  # needs no more for more samples
    assert not widths.exponents(jobs, flat).control.broke
