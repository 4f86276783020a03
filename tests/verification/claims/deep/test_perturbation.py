"""D3, D4, D6: effects at the bounds' own shape, and D6's right side at the loss where the network is."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from tests.verification.claims.planted import CONTEXT, rows
from verification.jobs.deep_perturbation import CHOICES

KINDS = CONTEXT.preset.deep.kinds


def _effects(**fields):
    def numbers(job, place):
        values = {name: np.full((len(job.seeds), len(CHOICES)), of(job)) for name, of in fields.items()}
        return xr.Dataset({k: (("seed", "choice"), v) for k, v in values.items()}, {"choice": list(CHOICES)})

    return numbers


def _at(claim_id, job):
    return BOUNDS[claim_id].evaluate(m=job.width, L=job.depth, omega=job.radius)


@pytest.mark.parametrize(("claim_id", "field"), [("D3", "flips"), ("D4", "moved")])
def test_effects_may_follow_the_bound_and_not_outgrow_it(claim_id, field):
    followed = rows(claim_id, _effects(**{field: lambda job: _at(claim_id, job)}))
    assert len(followed) == len(KINDS) * len(CHOICES) * 3
    assert all(row.conclusion.holds and row.control.broke for row in followed)
    faster = _effects(**{field: lambda job: _at(claim_id, job) * job.width * job.depth / job.radius})
    assert not any(row.conclusion.holds for row in rows(claim_id, faster))


@pytest.mark.parametrize(("share", "holds"), [(0.9, True), (1.1, False)])
def test_the_right_side_of_semi_smoothness_is_the_one_at_the_network_s_loss(share, holds):
    def right(job):
        data, numbers = job.data.load(), {"omega": job.radius, "distance": job.radius, "loss": 4.0}
        return BOUNDS["D6"].evaluate(n=data.num_samples, o=data.num_outputs, m=job.width, L=job.depth, **numbers)

    effects = {"remainder": lambda job: share * right(job), "increase": lambda job: 2 * right(job)}
    judged = rows("D6", _effects(loss=lambda _: 4.0, **effects))
    assert [row.conclusion.holds for row in judged] == [holds] * len(KINDS) * len(CHOICES)
    assert [row.measured for row in judged] == pytest.approx([share] * len(judged), rel=1e-9)
    assert all(row.control.broke for row in judged)
