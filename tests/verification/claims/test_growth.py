"""The one premise of every statement about m → ∞."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims import planted
from verification.claims.growth import learned_alike
from verification.data import Source
from verification.jobs.training import Training

SOURCE = Source("sphere", 8, 0)
STABLE = 1 / SOURCE.load().largest_client_eigenvalue(2)
SWEEP = [Training(SOURCE, 2, width, 0.9 * STABLE, 2, 3, seeds=(0, 1)) for width in (64, 256)]


def _losses(shares):
    """Results with these shares of the loss left at the end, by place in the sweep."""
    return lambda jobs: {
        job: xr.Dataset({"loss": (("seed", "round"), np.outer([1.0, 3.0], [1.0, 0.9, 0.8, share]))})
        for job, share in zip(jobs, shares, strict=True)
    }


def test_widths_that_learn_alike_may_be_compared():
    assert learned_alike(_losses((0.5, 0.5499))(SWEEP), SWEEP).holds


def test_the_premise_fails_by_the_learned_share_alone():
    premise = learned_alike(_losses((0.5, 0.5501))(SWEEP), SWEEP)
    assert premise.holds is False
    assert "at most 0.05 between widths (here 0.05)" in premise.text


@pytest.mark.parametrize("change", [{"step_size": 1.01 * STABLE}, {"num_rounds": 4}, {"target_scale": 2.0}])
def test_it_fails_where_another_thing_changes_or_steps_are_too_large(change):
    if "step_size" in change:
        sweep = [dataclasses.replace(job, **change) for job in SWEEP]
    else:
        sweep = [SWEEP[0], dataclasses.replace(SWEEP[1], **change)]
    assert learned_alike(_losses((0.5, 0.5))(sweep), sweep).holds is False


def _fallen(learned_apart):
    """Movement, flips and kernel that follow m^{-1/2} exactly, at widths whose learned shares lie this far apart."""

    def numbers(job, place):
        widths = planted.CONTEXT.preset.sweep_widths
        left = 0.4 + (learned_apart if job.width == widths[-1] else 0)
        seeds, rounds = len(job.seeds), job.num_rounds + 1
        law = job.width ** (0.0 if job.target_scale != 1 else -0.5)
        curve = np.ones((seeds, rounds)) * (1 + 0.01 * np.arange(seeds)[:, None])
        columns = {name: (("seed", "round"), law * curve) for name in ("neuron_movement", "flip_fraction")}
        columns["frobenius_movement"] = (("seed", "round"), law * np.sqrt(job.width) * curve)
        columns["gram_movement"] = (("seed", "gram_round"), law * curve)
        columns["loss"] = (("seed", "round"), np.linspace(1, left, rounds) * curve)
        return xr.Dataset(columns)

    return numbers


@pytest.mark.parametrize("claim", ["S4-slope", "S5", "S6-slope"])
def test_a_slope_over_widths_that_did_not_learn_alike_is_only_observed(claim):
    alike, apart = (planted.rows(claim, _fallen(by)) for by in (0.0, 0.06))
    assert {row.verdict for row in alike} == {Verdict.VERIFIED}
    assert {row.conclusion.holds for row in apart} == {True}
    assert {row.verdict for row in apart} == {Verdict.OBSERVED}
