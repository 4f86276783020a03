"""C1: losses at its rate and above it."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import CONTEXT, rows
from verification.context import Context


def _losses(factor):
    """Losses at a multiple of C1's rate a round of 20 steps; constant ones from the step size that is too large."""

    def numbers(job, place):
        rate = (1 - job.step_size * job.problem.lambda0.lower / 2) ** 20 * factor
        loss = (1.0 if job.step_size * job.problem.largest_client_eigenvalue(1) > 2 else rate) ** np.arange(
            job.num_rounds + 1
        )
        return xr.Dataset({"loss": (("seed", "round"), np.tile(loss, (len(job.seeds), 1)))})

    return numbers


@pytest.mark.parametrize(("factor", "holds"), [(0.999, True), (1.001, False)])
def test_losses_are_held_against_the_rate_of_their_own_step_size(factor, holds):
    theorem, usual = rows("C1", _losses(factor))
    assert theorem.conclusion.holds is usual.conclusion.holds is holds
    assert theorem.verdict is (Verdict.OBSERVED if holds else Verdict.SILENT)  # 256 neurons are far too few
    assert theorem.control.broke
    assert usual.setting["steps"] == 20 * CONTEXT.preset.gd_rounds


def test_too_few_seeds_decide_nothing():
    few = Context(dataclasses.replace(CONTEXT.preset, trials=20), 0)
    assert {row.verdict for row in rows("C1", _losses(0.99), few)} == {Verdict.INCONCLUSIVE}
