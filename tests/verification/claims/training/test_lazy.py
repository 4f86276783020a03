"""S4, S5, S6: movement and eigenvalues beside their bounds, exponents over widths."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Verdict
from tests.verification.claims.planted import rows

LOSS = 8.0


def _run(job, *, movement=0.0, smallest=1.0, power=0.0, diverged=-1):
    """Movements that peak in the middle of the run, and quantities that grow with a power of m from the first round."""
    seeds, rounds = len(job.seeds), job.num_rounds + 1
    middle, later = np.arange(rounds) == rounds // 2, np.arange(rounds) > 0
    grown = np.where(later, float(job.width) ** power, 1.0)
    by_round = {"loss": np.where(later, LOSS / 2, LOSS), "neuron_movement": np.where(middle, movement, 0.0) + grown}
    by_round |= {"frobenius_movement": np.where(later, float(job.width) ** (power + 0.5), 1.0), "flip_fraction": grown}
    columns = {name: (("seed", "round"), np.tile(values, (seeds, 1))) for name, values in by_round.items()}
    enclosures = np.array([1.0, smallest, 1.0])[:, None] * np.ones((seeds, 3, 2))
    columns["smallest_eigenvalue"] = (("seed", "gram_round", "bound"), enclosures)
    return xr.Dataset(columns | {"diverged_at": ("seed", np.full(seeds, diverged))}, {"bound": ["lower", "upper"]})


@pytest.mark.parametrize(("share", "verdict"), [(0.9, Verdict.OBSERVED), (1.1, Verdict.SILENT)])
def test_the_largest_movement_of_the_run_is_held_against_the_bound(share, verdict):
    def numbers(job, place):
        problem = job.problem
        bound = BOUNDS["S4"].evaluate(
            n=problem.num_samples, m=job.width, lambda0=problem.lambda0.lower, residual=(2 * LOSS) ** 0.5
        )
        stable = job.step_size * problem.largest_client_eigenvalue(job.num_clients) < 2
        run = _run(job)
        peak = np.array([0.0, 0, (share if stable else 9.0) * bound, 0, 0, 0])
        return run.assign(neuron_movement=(("seed", "round"), np.tile(peak, (len(job.seeds), 1))))

    (row,) = rows("S4", numbers)
    assert row.verdict is verdict  # K = 4: C1's premise asks for one client
    assert row.measured == pytest.approx(share, rel=1e-12)
    assert row.control.broke


@pytest.mark.parametrize(
    ("share", "diverged", "verdict"),
    [(1.01, -1, Verdict.OBSERVED), (0.99, -1, Verdict.SILENT), (1.01, 3, Verdict.SILENT)],
)
def test_the_smallest_eigenvalue_of_the_run_is_held_against_half_of_lambda0(share, diverged, verdict):
    def numbers(job, place):
        smallest = 0.0 if job.width == 2 else share * job.problem.lambda0.upper / 2
        return _run(job, smallest=smallest, diverged=diverged)

    (row,) = rows("S6", numbers)
    assert row.verdict is verdict
    assert row.control.broke


@pytest.mark.parametrize(("claim_id", "number"), [("S4-slope", 2), ("S5", 1)])
@pytest.mark.parametrize(("power", "verdict"), [(-0.5, Verdict.VERIFIED), (-0.2, Verdict.REFUTED)])
def test_exponents_are_those_of_the_run_s_end(claim_id, number, power, verdict):
    judged = rows(claim_id, lambda job, _: _run(job, power=0.5 if job.target_scale != 1 else power))
    assert [row.verdict for row in judged] == [verdict] * number
    assert all(row.control.broke for row in judged)
