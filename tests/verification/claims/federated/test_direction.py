"""F1 and F2: each part of the statements decides, with planted asymmetries and cosines."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import CONTEXT, rows

SEEDS = 8


def _planted(*, excess=0.0, start=0.0, power=-0.5, smallest=0.4, gap=-0.5, fall=0.1):
    """Numbers that keep F1 and F2, but for what is changed."""

    def numbers(job, place):
        noise = 1 + 0.01 * np.random.default_rng(place).standard_normal(len(job.seeds))
        size = 1.0 if job.target_scale != 1 else job.width**power
        asymmetry = np.zeros((len(job.seeds), job.num_rounds, job.local_steps))
        asymmetry[:, :, 1:], asymmetry[:, :, 0] = size * noise[:, None, None] / 10, start
        label = 2 if job.split == "label" else 1
        falls = job.local_steps > 1 and not job.fault
        cosine = 1 - (fall * label * falls) * noise[:, None] * np.ones(job.num_rounds)
        cosine -= 0.01 * (job.fault == "client left out")
        per_round = np.ones((len(job.seeds), job.num_rounds))
        return xr.Dataset(
            {
                "asymmetry": (("seed", "round", "step"), asymmetry),
                "smallest": (("seed", "round"), per_round * (0.0 if job.width == 2 else smallest)),
                "excess": (("seed", "round"), per_round * excess),
                "excess_of_rows": (("seed", "round"), per_round * 3),
                "cosine": (("seed", "round"), cosine),
                "predicted_cosine": (("seed", "round"), cosine + job.width**gap * noise[:, None] / 10),
                "predicted_of_all": (("seed", "round"), cosine + noise[:, None] / 10),
                "loss": (("seed", "end"), np.ones((len(job.seeds), job.num_rounds + 1))),
            }
        )

    return numbers


GOOD = Verdict.VERIFIED


@pytest.mark.parametrize(
    ("changed", "verdicts"),
    [
        ({}, [GOOD, GOOD, GOOD]),
        ({"excess": 1.0}, [Verdict.REFUTED, GOOD, GOOD]),
        ({"start": 1e-9}, [Verdict.REFUTED, GOOD, GOOD]),
        ({"power": -0.3}, [GOOD, Verdict.REFUTED, GOOD]),
        ({"smallest": 0.01}, [GOOD, GOOD, Verdict.REFUTED]),
    ],
)
def test_each_part_of_f1_decides(changed, verdicts):
    judged = rows("F1", _planted(**changed))
    assert [row.verdict for row in judged] == verdicts
    assert all(row.control.broke for row in judged)


@pytest.mark.parametrize(
    ("changed", "verdicts"),
    [
        ({}, [GOOD, GOOD, GOOD, Verdict.OBSERVED, GOOD]),
        ({"gap": -0.3}, [GOOD, GOOD, GOOD, Verdict.OBSERVED, Verdict.REFUTED]),
        ({"fall": -0.1}, [GOOD, Verdict.REFUTED, Verdict.REFUTED, Verdict.SILENT, GOOD]),
    ],
)
def test_each_part_of_f2_decides(changed, verdicts):
    judged = rows("F2", _planted(**changed))
    assert [row.verdict for row in judged][1:] == verdicts[1:]
    assert all(row.control.broke for row in judged[1:])


def test_local_steps_beyond_the_kernel_regime_are_not_the_premise():
    from verification.claims.federated import direction

    (problem,) = CONTEXT.problems(CONTEXT.preset.federated.samples)
    job = direction.sweep(CONTEXT, problem)[0]
    assert direction.stable(job).holds
    assert not direction.stable(dataclasses.replace(job, step_size=3 * job.step_size)).holds
