"""A client's residual shrinks within a round: S2."""

from collections.abc import Iterator

import xarray as xr

from ntk_localsgd.evidence import Condition, Evidence
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.local_steps import LocalShrinkage, shrinkage_bound
from verification.jobs.two_layer_ratios import ShrinkageRatio
from verification.judging import at_most
from verification.papers import OWN
from verification.registry import claim
from verification.store import Job

__all__: list[str] = []

_WIDTH, _NETWORKS = 8192, 5

# Ten steps of float64 sums of 8192 terms.
_ROUNDING = 1e-12


def _local_steps(context: Context, problem: Problem) -> LocalShrinkage:
    return LocalShrinkage(problem.source, _WIDTH, _NETWORKS, context.seed, f"S2 {problem.source.kind}")


def _all_local_steps(context: Context) -> Iterator[Job]:
    return (_local_steps(context, problem) for problem in context.problems(context.preset.kernel_samples))


@claim(
    "S2",
    "η ≤ 1/λ_max(Θ_cc), local iterates 0 … k in the ball of radius R ⇒ ‖r_c^k‖ ≤ (1 − η(λ_c − ε_cc))^k ‖r_c^0‖, "
    "ε_cc = ‖E_cc(R)‖₂",
    letter="D",
    source="docs/theory.md §2; FL-NTK [R]",
    paper=OWN,
    needs=_all_local_steps,
    attack={
        f"n_c = {n}, d = {d}, m = {m}, k ≤ {k}": ShrinkageRatio(n, d, m, k)
        for n, d, m, k in ((1, 2, 4, 2), (3, 3, 8, 3), (6, 4, 16, 4))
    },
)
def local_shrinkage(context: Context, results: Results) -> Iterator[Evidence]:
    """Every client and local step of several networks; the control measures the shrinkage by λ_max."""
    for problem in context.problems(context.preset.kernel_samples):
        job = _local_steps(context, problem)
        steps = results[job]
        yield at_most(
            problem.setting | {"K": job.num_clients, "τ": job.steps, "m": job.width},
            Condition("η ≤ 1/λ_max(Θ_cc); R is the movement seen", bool((steps.step_size * steps.largest <= 1).all())),
            "‖r_c^k‖ / bound ≤ 1 at every step of every client",
            _worst_ratio(steps, steps.smallest),
            1.0,
            tolerance=_ROUNDING,
            control=_worst_ratio(steps, steps.largest),
            control_setting="λ_max in place of λ_c",
            trials=job.trials,
        )


def _worst_ratio(steps: xr.Dataset, eigenvalue: xr.DataArray) -> float:
    shrunk = steps.residual.values[..., 1:] / steps.residual.values[..., :1]
    bound = shrinkage_bound(steps.step_size.values, eigenvalue.values, steps.error.values, shrunk.shape[-1])
    return float((shrunk / abs(bound)).max())
