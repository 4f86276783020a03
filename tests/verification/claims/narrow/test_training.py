"""N4 and N5: who is lower is decided by an interval, and only points inside the region are held to the bound."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import rows


@pytest.mark.parametrize(("loss", "verdict"), [(0.1, Verdict.OBSERVED), (0.3, Verdict.SILENT)])
def test_n4_asks_for_a_clearly_lower_loss(loss, verdict):
    def numbers(job, place):
        noise = 1 + 0.01 * np.arange(len(job.seeds))
        learned = loss if job.radius == 1 else 0.4
        losses = {"loss": ("seed", learned * noise if job.method == "projected" else 0.3 * noise[::-1])}
        return xr.Dataset(losses | {"start": ("seed", 0.5 * np.ones(len(job.seeds)))})

    judged = rows("N4", numbers)
    assert [row.verdict for row in judged] == [verdict]
    assert all(row.control.broke for row in judged)


@pytest.mark.parametrize(
    ("inside", "active", "verdict"),
    [
        (0.5, False, Verdict.VERIFIED),
        (1.5, False, Verdict.REFUTED),
        (0.5, True, Verdict.OBSERVED),
        (1.5, True, Verdict.SILENT),
    ],
)
def test_n5_is_about_points_inside_the_region(inside, active, verdict):
    def numbers(job, place):
        own, share = job.radius > 1, np.array([0.5, 0.1, 0.2][: len(job.seeds)])
        share[0] = inside if own else 5.0
        at_edge = np.array([active if own else True] + [True] * (len(share) - 1)) if own else np.ones(len(share), bool)
        at_edge[1:] = at_edge[1:] & active if own else True
        values = {"loss": share / (2 * job.samples), "singular": np.ones(len(share)), "residual": np.ones(len(share))}
        return xr.Dataset({name: ("seed", value) for name, value in (values | {"active": at_edge}).items()})

    (judged,) = rows("N5", numbers)
    assert judged.verdict is verdict
    assert judged.control.broke
