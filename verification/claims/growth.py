"""One rule for every statement about m → ∞: what must be alike between the widths of a sweep, and how exact it is."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ntk_localsgd.evidence import Condition
from verification.engine import Results
from verification.jobs.training import Training

__all__ = ["TOLERANCE", "learned_alike"]

#: How far an exponent may lie from the claimed one: m^0.1 is a factor 1.3 over a sweep of 16 in width, what corrections
#: of relative order m^{-1/2} leave at the widths swept.
TOLERANCE = 0.1

# How much the share of the loss that is learned may differ between widths. Movement and flips follow what is learned;
# where half of it or more is, 0.05 is a tenth at most, or 0.035 in an exponent over a factor of 16 in width, a third of
# the tolerance. Where it differs by more, m is not yet large enough for a statement about m → ∞.
_LEARNED = 0.05


def learned_alike(results: Results, trainings: Sequence[Training]) -> Condition:
    """The premise of every exponent: only the width changes, local steps are stable, all widths learn the same.

    The step size of a deep network, whose kernel grows like m, is such that η max_c λ_max stays the same.
    """
    first, gains = trainings[0], [_gain(job) for job in trainings]
    same = [dataclasses.replace(job, width=first.width, step_size=first.step_size) for job in trainings]
    alike = len(set(same)) == 1 and np.allclose(gains, gains[0], rtol=1e-12, atol=0)  # quotients of floats
    losses = [results[job].loss.values for job in trainings]
    differs = float(np.ptp([np.mean(loss[:, -1] / loss[:, 0]) for loss in losses]))
    return Condition(
        f"only m changes (targets do not), η max_c λ_max of the limit kernel ≤ 1 (here {gains[0]:.2g}), the learned "
        f"share of the loss differs by at most {_LEARNED:g} between widths (here {differs:.2g})",
        alike and gains[0] <= 1 and differs <= _LEARNED,
    )


def _gain(job: Training) -> float:
    """η max_c λ_max(H^∞_cc), of deep networks η (m/o) max_c λ_max(Θ^∞_cc): local steps are stable below 2."""
    problem = job.problem
    if job.depth is None:
        return job.step_size * problem.largest_client_eigenvalue(job.num_clients)
    largest = problem.largest_deep_eigenvalue(job.num_clients, job.depth, job.split)
    return job.step_size * job.width * largest / problem.num_outputs
