"""S0, S1a, S3: numbers that satisfy the inequalities, and numbers that do not."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import CONTEXT, rows
from verification.jobs.kinks import AcrossKink

SEEDS, ROUNDS, STEPS, CLIENTS = 4, 5, 5, 4


def _pairs(job, *, jump=1.0, crossed=1.0, flips=0.01):
    """A gradient that jumps across the kink, unless the residual is zero."""
    distance = np.array(job.gaps)
    moved = distance + (0.0 if job.zero_residual else jump)
    columns = {"gradient_difference": moved, "distance": distance, "flips": 0 * distance + flips}
    columns |= {"residual": 0 * distance + 20, "crossed": 0 * distance + (0 if job.zero_residual else crossed)}
    return xr.Dataset({name: ("gap", column) for name, column in columns.items()}, {"gap": list(job.gaps)})


def _run(*, difference=1.0, drift=1.0):
    """Residuals 1, or a tenth of it after the first local step; drifts and differences well below what is allowed."""
    shape = (SEEDS, ROUNDS + 1, STEPS + 1, CLIENTS)
    dims = ("seed", "round", "local_step", "client")
    k = np.arange(STEPS + 1)[:, None]
    drifts = np.broadcast_to(0.01 * drift * k, shape)
    columns = {"distance_to_average": np.ones(shape), "flips_from_average": np.ones(shape) / 4,
               "average_loss": np.ones(shape) / 2, "gradient_difference": np.full(shape, 0.5 * difference),
               "local_loss": np.where(k == 0, 0.5, 0.005) * np.ones(shape), "client_drift": drifts}  # fmt: skip
    moved = np.broadcast_to(5.0 * np.arange(ROUNDS + 1), (SEEDS, ROUNDS + 1))
    return xr.Dataset({name: (dims, v) for name, v in columns.items()} | {"frobenius_movement": (dims[:2], moved)})


def _numbers(pairs=None, run=None):
    def numbers(job, place):
        return _pairs(job, **(pairs or {})) if isinstance(job, AcrossKink) else _run(**(run or {}))

    return numbers


def test_a_quotient_that_grows_like_one_over_the_distance_has_no_lipschitz_constant():
    (row,) = rows("S0", _numbers())
    assert row.verdict is Verdict.VERIFIED
    assert row.measured == pytest.approx(1e8)
    assert rows("S0", _numbers({"jump": 0.0}))[0].verdict is Verdict.REFUTED
    assert rows("S0", _numbers({"jump": 1e-4}))[0].verdict is Verdict.REFUTED  # large at 1e-8, but no power law
    assert rows("S0", _numbers({"crossed": 0.0}))[0].verdict is Verdict.OBSERVED


def test_gradients_differ_by_distance_and_flips_at_most():
    (row,) = rows("S1a", _numbers())
    assert row.verdict is Verdict.VERIFIED
    assert row.trials == SEEDS + 3
    assert rows("S1a", _numbers(run={"difference": 1e3}))[0].verdict is Verdict.REFUTED
    assert rows("S1a", _numbers({"flips": 0.0}))[0].verdict is Verdict.REFUTED  # the jump without its flips


def test_two_sides_of_nothing_are_no_counterexample():
    assert rows("S1a", _numbers(run={"difference": 0.0}))[0].verdict is Verdict.VERIFIED


def test_drift_is_bounded_by_the_steps_taken():
    (row,) = rows("S3", _numbers())
    assert row.verdict is Verdict.VERIFIED
    assert row.control.broke
    problem = CONTEXT.problem("sphere", 8)
    chi = min(np.linalg.norm(problem.inputs[part], 2) for part in problem.split(CLIENTS).indices)
    step_size = 0.9 / problem.largest_client_eigenvalue(CLIENTS)
    assert row.measured == pytest.approx(0.01 / (step_size * chi))  # 0.01 k over η k χ_c, the largest residual being 1
    assert rows("S3", _numbers(run={"drift": 1e3}))[0].verdict is Verdict.REFUTED
