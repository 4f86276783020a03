"""C4: losses at its rate and above it, and the control that averaging forbids."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import rows


def _losses(factor):
    """Losses at a multiple of C4's rate a round; the control's many steps gain no more than one of four."""

    def numbers(job, place):
        steps = job.server_step_size * job.step_size * job.local_steps * job.problem.lambda0.lower
        rate = 0.75 if job.local_steps > 5 else factor * (1 - steps / (2 * job.num_clients))
        loss = rate ** np.arange(job.num_rounds + 1)
        return xr.Dataset({"loss": (("seed", "round"), np.tile(loss, (len(job.seeds), 1)))})

    return numbers


@pytest.mark.parametrize(("factor", "verdict"), [(0.999, Verdict.OBSERVED), (1.001, Verdict.SILENT)])
def test_losses_are_held_against_the_rate_of_their_own_settings(factor, verdict):
    judged = rows("C4", _losses(factor))
    assert [row.verdict for row in judged] == [verdict] * 3
    assert all(row.control.broke for row in judged)
    assert len({row.where for row in judged}) == 3
