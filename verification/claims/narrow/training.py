"""Training narrow networks in a region about a mirrored start: N4 against SGD, N5 what its KKT points are."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import xarray as xr

from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.statistics import mean_interval
from verification.claims.narrow.paper import ZHANG
from verification.context import Context
from verification.engine import Results
from verification.jobs.narrow_training import NarrowTraining
from verification.judging import at_most
from verification.registry import claim

__all__ = ["pairs"]

# What counts as a lower loss: by a tenth.
_LOWER = float(np.log(0.9))

# Radius of the region that the control's steps are projected onto: nearly all of every step is undone.
_NARROW = 0.01

# Losses below this share of the start's are alike: the comparison is about who learns at all.
_LEARNED = 1e-6


def _confined(projected: NarrowTraining) -> NarrowTraining:
    """The control: as many steps, projected onto next to nothing."""
    return dataclasses.replace(projected, radius=_NARROW)


def pairs(context: Context) -> list[tuple[NarrowTraining, NarrowTraining]]:
    """Projected steps and SGD at every width."""
    sizes = context.preset.narrow
    (n, d), seeds = sizes.trained, context.seeds("N4", sizes.trained_seeds)
    widths = [2 * round(share * n / 2) for share in sizes.shares]
    jobs = [NarrowTraining(n, d, width, seeds, "projected", sizes.epochs) for width in widths]
    return [(job, dataclasses.replace(job, method="sgd")) for job in jobs]


def _all_pairs(context: Context) -> Iterator[NarrowTraining]:
    for projected, sgd in pairs(context):
        yield from (projected, sgd, _confined(projected))


@claim(
    "N4",
    "projected gradient steps on the constrained problem reach a significantly lower loss than SGD where m is small",
    letter="S",
    source="Zhang et al. 2021, abstract; the region and step sizes: this project's choice",
    paper=ZHANG,
    needs=_all_pairs,
)
def projected_against_sgd(context: Context, results: Results) -> Iterator[Evidence]:
    """Mean of log(loss of the projected/loss of SGD) at each m/n, after as many steps."""
    for projected, sgd in pairs(context):
        own, other, confined = (
            np.maximum(results[job].loss.values, _LEARNED * results[job].start.values)
            for job in (projected, sgd, _confined(projected))
        )
        ratio = mean_interval(np.log(own / other))
        yield at_most(
            {"data": "sphere", "n": projected.samples, "d": projected.inputs, "m": projected.width, "σ": "tanh"},
            Condition("the paper's region, step sizes and data, which its abstract does not name", False),
            f"mean log(loss/loss of SGD) ≤ log 0.9; means {own.mean():.3g} and {other.mean():.3g} after "
            f"{projected.epochs} epochs",
            ratio,
            _LOWER,
            control=mean_interval(np.log(confined / other)),
            control_setting=f"projected onto a region of {_NARROW:g} times the radius",
        )


def _kkt_jobs(context: Context) -> tuple[NarrowTraining, NarrowTraining]:
    """Full batches, until little moves; and in a region that holds no minimum."""
    seeds = context.seeds("N5", context.preset.narrow.trained_seeds)
    job = NarrowTraining(32, 16, 32, seeds, "projected", 600, radius=4.0, batch_size=32)
    return job, dataclasses.replace(job, radius=0.01)


@claim(
    "N5",
    "θ inside the region ⇒ ½‖r‖² ≤ ‖Jᵀr‖²/(2σ_min(J)²): a KKT point without active constraints is a global minimizer",
    letter="D",
    source="docs/theory.md, N5; that KKT points are nearly global minimizers: Zhang et al. 2021, abstract [S]",
    paper=ZHANG,
    needs=_kkt_jobs,
)
def kkt_points(context: Context, results: Results) -> Iterator[Evidence]:
    """Loss over what the projected gradient allows, where training ended; the control ends on its region's edge."""
    job, control = _kkt_jobs(context)
    own, edge = results[job], results[control]
    inside = own.where(own.active == 0, drop=True)
    number = inside.sizes["seed"]
    yield at_most(
        {"data": "sphere", "n": job.samples, "d": job.inputs, "m": job.width, "σ": "tanh"},
        Condition(f"no constraint active at the end: {number} of {len(job.seeds)} networks", number > 0),
        f"½‖r‖² · 2σ_min²/‖Jᵀr‖² ≤ 1; losses ½‖r‖²/n {_span(inside.loss.values if number else own.loss.values)}",
        float(_shares(inside if number else own, job.samples).max()),
        1.0,
        tolerance=1e-6,  # residuals come from differences of weights, of which half the digits are left
        control=float(_shares(edge, job.samples).max()),
        control_setting=f"a region of a 400th of the radius: losses {_span(edge.loss.values)}, on its edge",
        trials=max(1, number),
    )


def _shares(table: xr.Dataset, samples: int) -> np.ndarray:
    """½‖r‖² over ‖projected Jᵀr‖²/(2σ²)."""
    return (2 * samples * table.loss * table.singular**2 / table.residual**2).values


def _span(values: np.ndarray) -> str:
    return f"{values.min():.2g} … {values.max():.2g}"
