"""K5 and K7: frequencies and outputs at initialization."""

import numpy as np
import pytest
import scipy.special
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import rows


@pytest.mark.parametrize(("share", "verdict"), [(1.0, Verdict.VERIFIED), (1.02, Verdict.REFUTED)])
def test_frequencies_near_a_kink_are_those_of_the_error_function(share, verdict):
    def numbers(job, place):
        chances = scipy.special.erf(np.array(job.radii) / job.scale / np.sqrt(2))
        return xr.Dataset({"hits": ("radius", np.round(job.neurons * np.minimum(1, share * chances)).astype(int))})

    (row,) = rows("K5", numbers)
    assert row.verdict is verdict
    assert row.control.broke


def _outputs(square):
    """Outputs ± of a mean square, alternating slightly."""

    def numbers(job, place):
        size = job.scale * np.sqrt(square * (1 + 0.1 * (-1) ** np.arange(job.trials)))
        return xr.Dataset({"output": (("trial", "sample"), np.tile(size[:, None], (1, job.data.num_samples)))})

    return numbers


def test_mean_square_output_is_a_half():
    assert rows("K7-mean", _outputs(0.5))[0].verdict is Verdict.VERIFIED
    assert rows("K7-mean", _outputs(0.55))[0].verdict is Verdict.REFUTED


def test_loss_at_initialization_is_held_against_markov_s_bound():
    (row,) = rows("K7", _outputs(0.5))
    assert row.bound == pytest.approx(6 * 1.5 / 0.05)  # n (C² + ½)/δ for six targets ±1
    assert row.trials == 100
    assert row.verdict is Verdict.VERIFIED
    assert rows("K7", _outputs(100.0))[0].verdict is Verdict.REFUTED
