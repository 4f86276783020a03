"""N1 to N3: what is proved is counted, what is not is open and never refuted, and controls must break."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import rows


def _columns(job, **values):
    names = {name: ("seed", np.broadcast_to(value, len(job.seeds)).astype(float)) for name, value in values.items()}
    return xr.Dataset(names)


def _proofs(contraction, few):
    """Planted contractions of data sets with enough weights, and of those with too few."""

    def numbers(job, place):
        enough = all(s.width * (s.inputs + 1) >= s.samples for s in job.shapes)
        values = np.broadcast_to(contraction if enough else few, len(job.seeds)).astype(float)
        return _columns(job, contraction=values, certified=values <= 0.5, radius=1e-12, smallest_singular=0.1, loss=0.3)

    return numbers


@pytest.mark.parametrize(
    ("contraction", "few", "verdict", "broke"),
    [
        (1e-9, 2.0, Verdict.VERIFIED, True),
        (0.51, 2.0, Verdict.INCONCLUSIVE, True),
        (np.nan, 2.0, Verdict.INCONCLUSIVE, True),
        (1e-9, 0.4, Verdict.INCONCLUSIVE, False),
    ],
)
def test_n2_counts_proofs_and_what_is_not_proved_is_open(contraction, few, verdict, broke):
    judged = rows("N2", _proofs(contraction, few))
    assert [row.verdict for row in judged] == [verdict] * 2
    assert all(row.control.broke is broke for row in judged)
    assert f"for {100 if contraction == 1e-9 else 0} of 100 data sets" in judged[0].conclusion.text


@pytest.mark.parametrize(("largest", "verdict"), [(0.0, Verdict.VERIFIED), (1e-300, Verdict.REFUTED)])
def test_n1_asks_for_zero_itself(largest, verdict):
    judged = rows("N1", lambda job, _: _columns(job, largest=largest if job.mirrored else 0.5))
    assert [row.verdict for row in judged] == [verdict] * 2


@pytest.mark.parametrize(
    ("singular", "gradient", "proved", "verdict"),
    [
        (1.2, 1.3, 0.1, Verdict.VERIFIED),
        (0.9, 1.3, 0.1, Verdict.REFUTED),
        (1.2, 0.9, 0.1, Verdict.REFUTED),
        (1.2, 1.3, 0.0, Verdict.OBSERVED),
    ],
)
def test_n3_asks_for_both_inequalities_where_full_rank_is_proved(singular, gradient, proved, verdict):
    def numbers(job, place):
        return _columns(job, singular=0.01 if job.copies else singular, gradient=gradient, proved=proved)

    assert [row.verdict for row in rows("N3", numbers)] == [verdict]
