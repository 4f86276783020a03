"""S2: the bound with its error, and the step size that it asks for."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import rows


def _numbers(shrinkage, *, step_size=0.4):
    """λ between 0.5 and 2, ε = 0.25: the bound is 1 − 0.4 · 0.25 = 0.9 a step."""

    def numbers(job, place):
        shape = (job.trials, job.num_clients)
        columns = {"step_size": step_size, "smallest": 0.5, "largest": 2.0, "error": 0.25}
        dims = ("trial", "client", "step")
        residual = np.broadcast_to(shrinkage ** np.arange(job.steps + 1), (*shape, job.steps + 1))
        full = {name: (dims[:2], np.full(shape, value)) for name, value in columns.items()}
        return xr.Dataset(full | {"residual": (dims, residual)})

    return numbers


@pytest.mark.parametrize(
    ("shrinkage", "step_size", "verdict"),
    [(0.9, 0.4, Verdict.VERIFIED), (0.91, 0.4, Verdict.REFUTED), (0.85, 0.6, Verdict.OBSERVED)],
)
def test_the_residual_shrinks_by_lambda_less_its_error(shrinkage, step_size, verdict):
    (row,) = rows("S2", _numbers(shrinkage, step_size=step_size))
    assert row.verdict is verdict
    assert row.trials == 5
    assert row.control.broke
