"""F3: true labels must clearly beat shuffled ones at every n, and the form of true labels must not grow."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import rows
from verification.jobs.generalization import LABELS


def _planted(loss, growth):
    def numbers(job, place):
        n, noise = np.array(job.samples), 1 + 0.01 * np.random.default_rng(place).standard_normal((len(job.seeds), 1))
        true, shuffled = 2 * n * (n / n[0]) ** growth * noise, 8 * n * (n / n[0]) ** 0.5 * noise
        forms = np.stack([true, shuffled, 1.1 * shuffled], axis=2)
        losses = np.stack([loss * noise, noise, noise[::-1]], axis=2) * np.ones(forms.shape)
        losses[:, 1:, 0] = 0.3  # better than at the first n, which decides
        names = ("seed", "n", "labels")
        values = {"form": (names, forms), "loss": (names, losses), "smallest": (names[:2], np.full(true.shape, 0.01))}
        return xr.Dataset(values, {"n": n, "labels": list(LABELS)})

    return numbers


@pytest.mark.parametrize(
    ("loss", "growth", "verdicts"),
    [
        (0.5, 0.0, [Verdict.OBSERVED, Verdict.OBSERVED, Verdict.OBSERVED, Verdict.VERIFIED]),
        (0.95, 0.0, [Verdict.OBSERVED, Verdict.SILENT, Verdict.SILENT, Verdict.VERIFIED]),
        (0.5, 0.3, [Verdict.OBSERVED, Verdict.OBSERVED, Verdict.OBSERVED, Verdict.REFUTED]),
    ],
)
def test_each_row_decides(loss, growth, verdicts):
    judged = rows("F3", _planted(loss, growth))
    assert [row.verdict for row in judged] == verdicts
    assert all(row.control.broke for row in judged)
