"""C8 and C8-run: one run that breaks its certificate refutes, and so does a control that only some runs break."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims import planted
from verification.jobs.certificates import Tally


def _tallies(true, overstated):
    return lambda job, _: (overstated if job.overstated > 1 else true).dataset()


RIGHT = Tally(runs=8, certified=5, failed=0, rate=0.9, movement=0.5)
BROKEN = Tally(runs=4, certified=3, failed=3, rate=3.0, movement=5.0)


def test_both_methods_hold_where_no_run_fails_and_all_overstated_ones_do():
    rows = planted.rows("C8", _tallies(RIGHT, BROKEN))
    assert [row.setting["case"] for row in rows] == ["random runs, ball method", "random runs, path method"]
    assert {row.verdict for row in rows} == {Verdict.VERIFIED}
    assert all(row.control.broke and row.measured == 0.9 for row in rows)


def test_a_sign_astray_refutes_though_both_ratios_are_small_and_one_overstated_run_that_holds_is_no_control():
    astray = dataclasses.replace(RIGHT, failed=1, astray=1)
    rows = planted.rows("C8", _tallies(astray, dataclasses.replace(BROKEN, failed=2)))
    assert {row.verdict for row in rows} == {Verdict.REFUTED}
    assert not any(row.control.broke for row in rows)


def test_without_certified_runs_there_is_no_premise():
    rows = planted.rows("C8", _tallies(Tally(runs=8), BROKEN))
    assert not any(row.premise.holds for row in rows)


@pytest.mark.parametrize(
    ("share", "certified", "holds"), [(0.9, 1, True), (1.1, 1, False), (np.inf, 1, False), (0.9, 0, None)]
)
def test_the_largest_share_decides_about_a_certified_run(share, certified, holds):
    def numbers(job, place):
        shares = (("certificate", "name"), np.array([[0.5, share, 0.2], [1.5, 2.0, np.inf]]))
        names = {"name": ["residual", "movement", "patterns"]}
        return xr.Dataset({"share": shares, "certified": certified}, names, {"proof": "proved"})

    (row,) = planted.rows("C8-run", numbers)
    assert row.conclusion.holds is holds
    assert row.premise.holds is bool(certified)
    assert row.control.broke
