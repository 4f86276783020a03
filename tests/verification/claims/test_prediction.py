"""C7: errors that fall with the root of the width, biases without their noise, and simulations."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import rows
from verification.jobs.predicted import PREDICTORS


def _learned(job):
    """Half of the loss is learned at every width."""
    return np.tile(0.5 ** (np.arange(job.num_rounds + 1) / job.num_rounds), (len(job.seeds), 1))


def _predicted(power):
    def numbers(job, place):
        error, losses = float(job.width) ** power, _learned(job)
        errors = np.tile([error, error, 1.0], (len(job.seeds), 1))
        predicted = np.stack([losses / (1 + error)] * len(PREDICTORS), axis=1)
        columns = {"error": (("seed", "predictor"), errors), "loss": (("seed", "round"), losses)}
        columns["predicted_loss"] = (("seed", "predictor", "round"), predicted)
        return xr.Dataset(columns, {"predictor": list(PREDICTORS)})

    return numbers


@pytest.mark.parametrize(
    ("claim_id", "power", "verdict"),
    [
        ("C7", -0.5, Verdict.VERIFIED),
        ("C7", -1.0, Verdict.VERIFIED),  # O(m^{-1/2}): it may fall faster …
        ("C7", -0.3, Verdict.REFUTED),
        ("C7-infinite", -0.5, Verdict.VERIFIED),
        ("C7-infinite", -1.0, Verdict.REFUTED),  # … and here it may not
    ],
)
def test_relative_errors_fall_as_claimed(claim_id, power, verdict):
    (row,) = rows(claim_id, _predicted(power))
    assert row.verdict is verdict
    assert row.control.broke
    assert f"largest error in a round: {power:.2f}" in row.conclusion.text.replace("−", "-")


def _minibatches(power):
    """Trained second moments off by m^power; the linear recursion's, on the same batches, share their noise."""

    def numbers(job, place):
        seeds = len(job.seeds)
        noise = np.random.default_rng(place).normal(size=(seeds, job.draws))
        columns = {"trained": 3 + noise + float(job.width) ** power, "linear": 3 + noise}
        predicted = np.tile([1.0, 0.5], (seeds, 1))
        return xr.Dataset(
            {name: (("seed", "draw"), values) for name, values in columns.items()}
            | {"predicted": (("seed", "batch_size"), predicted), "loss": (("seed", "round"), _learned(job))}
        )

    return numbers


@pytest.mark.parametrize(("power", "verdict"), [(-0.5, Verdict.VERIFIED), (-0.2, Verdict.REFUTED)])
def test_the_bias_is_what_is_left_beside_the_same_batches_frozen(power, verdict):
    (row,) = rows("C7-bias", _minibatches(power))
    assert row.verdict is verdict
    assert row.measured == pytest.approx(power, rel=1e-9)
    assert row.control.broke


@pytest.mark.parametrize(("off", "verdict"), [(0.9, Verdict.VERIFIED), (1.1, Verdict.REFUTED)])
def test_simulations_decide_by_the_half_width_of_their_interval(off, verdict):
    def numbers(job, place):
        simulated = 4.0 ** -np.arange(job.num_rounds + 1)
        half = 0.01 * simulated
        columns = {"simulated": simulated, "half_width": half, "without_noise": simulated - 9 * half}
        return xr.Dataset({k: ("round", v) for k, v in (columns | {"predicted": simulated - off * half}).items()})

    (row,) = rows("C7-moment", numbers)
    assert row.verdict is verdict
    assert row.measured == pytest.approx(off, rel=1e-9)
    assert row.control.broke
