"""D1, D2, D5: values at the bounds' own shape verify them, and values that outgrow it refute them."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import CONTEXT, rows

KINDS = CONTEXT.preset.deep.kinds


def _at(claim_id, job):
    """The bound of a claim where a job stands."""
    data = job.data.load()
    known = {"n": data.num_samples, "phi": data.dataset.separation, "o": data.num_outputs, "m": job.width}
    known |= {"L": job.depth, "delta": 0.05, "loss": 1.0}
    return BOUNDS[claim_id].evaluate(**{name: known[name] for name in BOUNDS[claim_id].needs})


def _norms(growth):
    """The last layer alone deviates, by half the bound times a power of m L."""

    def numbers(job, place):
        norms = np.ones((len(job.seeds), job.depth + 1))
        last = np.arange(job.depth + 1) == job.depth
        # The control's layers are twice as large a layer.
        deviation = 0.5 * _at("D1", job) * (job.width * job.depth) ** growth + (job.hidden_gain > 1) * 2**job.depth
        columns = {"least_norm": norms, "largest_norm": norms + deviation * last}
        return xr.Dataset({k: (("seed", "layer"), v) for k, v in columns.items()}, {"layer": np.arange(job.depth + 1)})

    return numbers


@pytest.mark.parametrize(("growth", "verdict"), [(0.0, Verdict.VERIFIED), (0.5, Verdict.REFUTED)])
def test_the_layer_that_deviates_most_may_follow_the_bound_and_not_outgrow_it(growth, verdict):
    judged = rows("D1", _norms(growth))
    assert len(judged) == 2 * len(KINDS)
    assert {row.verdict for row in judged} == {verdict}
    assert all(row.control.broke for row in judged)


def _eigenvalues(claim_id, share=1.0):
    """2λ at a share of the bound."""

    def numbers(job, place):
        gains = job.readout_gain**2 * job.hidden_gain ** (2 * job.depth)
        value = np.full(len(job.seeds), share * gains * _at(claim_id, job) / 2)
        return xr.Dataset({"largest": ("seed", value), "smallest": ("seed", value)})

    return numbers


def test_over_depth_twice_the_largest_eigenvalue_stays_below_the_trace():
    assert {row.verdict for row in rows("D2-upper", _eigenvalues("D2-upper", 0.9))} == {Verdict.VERIFIED}
    above = rows("D2-upper", _eigenvalues("D2-upper", 1.1))
    verdicts = {row.setting["over"][0]: row.verdict for row in above}
    assert verdicts == {"L": Verdict.REFUTED, "m": Verdict.VERIFIED, "n": Verdict.VERIFIED}
    assert all(row.control.broke for row in above)


def test_the_trace_is_that_of_all_outputs():
    """Bounds at their own shape speak of one output; ten of them have ten times its trace, and no more."""
    deep = dataclasses.replace(CONTEXT.preset.deep, kinds=("digits10",))
    ten = dataclasses.replace(CONTEXT, preset=dataclasses.replace(CONTEXT.preset, deep=deep))
    for share, verdict in ((9.0, Verdict.VERIFIED), (11.0, Verdict.REFUTED)):
        (row,) = (r for r in rows("D2-upper", _eigenvalues("D2-upper", share), ten) if r.setting["over"][0] == "L")
        assert row.verdict is verdict
        assert "of 10 outputs" in row.conclusion.text


def test_the_smallest_eigenvalue_tells_the_published_power_of_n_from_the_sharper_one():
    published = rows("D2-lower", _eigenvalues("D2-lower"))
    assert {row.verdict for row in published} == {Verdict.VERIFIED}
    assert all(row.control.broke for row in published)
    sharper = {row.where: row for row in rows("D2-sharper", _eigenvalues("D2-lower"))}
    refuted = [row.setting["over"] for row in sharper.values() if row.verdict is Verdict.REFUTED]
    assert refuted == ["n = 8 … 16"]


@pytest.mark.parametrize(("power", "verdict"), [(-0.5, Verdict.VERIFIED), (-0.3, Verdict.REFUTED)])
def test_the_error_falls_with_the_root_of_the_width_and_not_towards_another_limit(power, verdict):
    def numbers(job, place):
        errors = np.array([[job.width**power], [1.0]]) * np.ones(len(job.seeds))
        return xr.Dataset({"error": (("multiple", "seed"), errors)}, {"multiple": [1, 2]})

    judged = rows("D5", numbers)
    assert {row.verdict for row in judged} == {verdict}
    assert all(row.control.broke for row in judged)
