"""C8-order, C8-drawn, C8-order-widths: one run that breaks its certificate refutes the first, δ of them the second."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims import planted


def _runs(movement, residual=0.5, astray=0, overstated=5.0):
    def numbers(job, _):
        factor = overstated if job.overstated > 1 else 1.0
        columns = [np.broadcast_to(x, 100) for x in (factor * np.array(movement), factor * residual, astray)]
        data = dict(zip(("movement", "residual", "astray"), columns, strict=True))
        return xr.Dataset({name: ("run", values) for name, values in data.items()} | {"tried": 120})

    return numbers


def test_runs_within_what_is_certified_verify_both():
    for claim in ("C8-order", "C8-drawn"):
        (row,) = planted.rows(claim, _runs(0.9))
        assert row.verdict is Verdict.VERIFIED
        assert row.control.broke
        assert "100 of 120" in row.premise.text


@pytest.mark.parametrize("wrong", [{"movement": [1.1] + [0.5] * 99}, {"movement": 0.5, "astray": [1] + [0] * 99}])
def test_one_run_that_goes_farther_or_has_a_sign_astray_refutes_an_order_and_not_a_probability(wrong):
    (row,) = planted.rows("C8-order", _runs(**wrong))
    assert row.verdict is Verdict.REFUTED
    (row,) = planted.rows("C8-drawn", _runs(**wrong))
    assert row.conclusion.holds is None


def test_a_fifth_of_the_runs_refutes_a_probability():
    (row,) = planted.rows("C8-drawn", _runs([1.1] * 20 + [0.5] * 80))
    assert row.verdict is Verdict.REFUTED


def test_overstated_certificates_that_some_runs_keep_are_no_control():
    (row,) = planted.rows("C8-order", _runs([0.9] * 99 + [0.1]))
    assert not row.control.broke


@pytest.mark.parametrize(("width", "verdict"), [(64, Verdict.VERIFIED), (2000, Verdict.REFUTED)])
def test_widths_are_held_against_those_that_are_asked_for(width, verdict):
    columns = {"single": [32, width], "full": [16, 32], "spoiled": [np.inf, np.inf]}
    variables = {name: ("seed", np.array(values)) for name, values in columns.items()}
    for row in planted.rows("C8-order-widths", lambda *_: xr.Dataset(variables | {"asked": 1e3})):
        assert row.verdict is verdict
        assert row.measured == width
        assert row.control.broke


def test_a_width_that_large_targets_do_not_change_is_no_control():
    columns = {"single": [32, 64], "full": [16, 32], "spoiled": [np.inf, 128]}
    variables = {name: ("seed", np.array(values)) for name, values in columns.items()}
    for row in planted.rows("C8-order-widths", lambda *_: xr.Dataset(variables | {"asked": 1e3})):
        assert not row.control.broke
        assert row.control.measured == 128


def test_a_seed_that_no_width_certifies_leaves_no_premise():
    columns = {"single": [32, np.inf], "full": [16, 32], "spoiled": [np.inf, np.inf]}
    variables = {name: ("seed", np.array(values)) for name, values in columns.items()}
    for row in planted.rows("C8-order-widths", lambda *_: xr.Dataset(variables | {"asked": 1e3})):
        assert row.premise.holds is False
