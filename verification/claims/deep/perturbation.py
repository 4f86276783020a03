"""Deep networks near initialization, under random and adversarial perturbations of given spectral norm: D3, D4, D6."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.deep_perturbation import CHOICES, Perturbation
from verification.judging import at_most, stays_bounded
from verification.papers import ALLEN_ZHU
from verification.registry import claim

__all__ = ["LEAST", "MIDDLE", "RADII", "columns", "perturbation"]

#: ω of the sweep; the middle one serves the sweeps over m and L.
RADII = (2.0**-2, 2.0**-4, 2.0**-6)
MIDDLE = RADII[1]

# Far below the other radii, where a remainder without its gradient's term must exceed the bound of D6.
_SMALL_RADII = (*RADII, 2.0**-12, 2.0**-30)

# A count of 0 flips has no logarithm; it stands for less than one.
LEAST = {"flips": 0.5, "moved": 0.0}


class _Sweep(NamedTuple):
    """A parameter, its values, W' at each, and W' of the control, whose norm grows with the parameter."""

    parameter: str
    values: tuple[float, ...]
    jobs: list[Perturbation]
    controls: list[Perturbation]
    changed: str


def perturbation(context: Context, problem: Problem, width: int, depth: int, radius: float) -> Perturbation:
    """Networks of one shape with W' of one norm."""
    seeds = context.seeds("deep perturbations", context.preset.deep.few_seeds)
    return Perturbation(problem.source, width, depth, radius, seeds)


def _sweeps(context: Context, problem: Problem) -> list[_Sweep]:
    sizes = context.preset.deep
    m, widest, depth = sizes.widths[0], sizes.widths[-1], sizes.depths[0]
    depths = tuple(sorted(sizes.depths)[:3])
    over_radius = [perturbation(context, problem, widest, depth, radius) for radius in RADII]
    return [
        _Sweep(
            "1/ω",
            tuple(1 / radius for radius in RADII),
            over_radius,
            [over_radius[0]] * len(RADII),
            f"W' of norm {RADII[0]:g} at every ω",
        ),
        _Sweep(
            "m",
            sizes.widths,
            [perturbation(context, problem, v, depth, MIDDLE) for v in sizes.widths],
            [perturbation(context, problem, v, depth, MIDDLE * v / m) for v in sizes.widths],
            "W' of norm ω m/m_0",
        ),
        _Sweep(
            "L",
            depths,
            [perturbation(context, problem, m, v, MIDDLE) for v in depths],
            [perturbation(context, problem, m, v, MIDDLE * v**3 / depths[0] ** 3) for v in depths],
            "W' of norm ω L³",
        ),
    ]


def _semi_smooth(context: Context, problem: Problem) -> list[Perturbation]:
    """Where D6 is checked: over ω, m and L."""
    sizes = context.preset.deep
    m, depth = sizes.widths[0], sizes.depths[0]
    points = [(m, depth, radius) for radius in _SMALL_RADII]
    points += [(v, depth, MIDDLE) for v in sizes.widths[1:]] + [(m, v, MIDDLE) for v in sorted(sizes.depths)[:3]]
    return [perturbation(context, problem, *point) for point in points]


def _swept(context: Context) -> Iterator[Perturbation]:
    for problem in context.deep_problems():
        for swept in _sweeps(context, problem):
            yield from (*swept.jobs, *swept.controls)


def _semi_smooth_everywhere(context: Context) -> Iterator[Perturbation]:
    for problem in context.deep_problems():
        yield from _semi_smooth(context, problem)


def columns(results: Results, jobs: Sequence[Perturbation], choice: str, quantity: str) -> np.ndarray:
    """[seeds points] of one quantity."""
    return np.stack([results[job][quantity].sel(choice=choice).values for job in jobs], axis=1)


def _premise(jobs: Sequence[Perturbation], *, lower_end: bool = False) -> Condition:
    """The lemmas' own premise, constants 1; every ω of the sweep must meet it."""
    most = [job.depth**-4.5 * math.log(job.width) ** -3 for job in jobs]
    least = [(job.width * job.depth * math.log(job.width)) ** -1.5 if lower_end else 0.0 for job in jobs]
    met = all(low <= job.radius <= high for job, low, high in zip(jobs, least, most, strict=True))
    text = f"ω ≤ L^(−9/2) log^(−3) m (here {min(most):.2g})"
    below = f"(mL log m)^(−3/2) ≤ (here {max(least):.2g}) " if lower_end else ""
    return Condition(below + text, met)


def _check(
    context: Context, results: Results, claim_id: str, quantity: str, field: str, *, lower_end: bool = False
) -> Iterator[Evidence]:
    bound = BOUNDS[claim_id]
    for problem in context.deep_problems():
        for choice in CHOICES:
            for swept in _sweeps(context, problem):
                first = swept.jobs[0]
                fixed = {"m": first.width, "L": first.depth, "ω": MIDDLE}
                where = {name: value for name, value in fixed.items() if name != swept.parameter.removeprefix("1/")}
                values, control = (
                    np.maximum(columns(results, jobs, choice, field), LEAST[field])
                    for jobs in (swept.jobs, swept.controls)
                )
                yield stays_bounded(
                    problem.setting | where | {"case": f"{choice} W'"},
                    _premise(swept.jobs, lower_end=lower_end),
                    quantity,
                    swept.parameter,
                    swept.values,
                    values,
                    np.array([bound.evaluate(m=job.width, L=job.depth, omega=job.radius) for job in swept.jobs]),
                    control=control,
                    control_setting=swept.changed,
                )


@claim(
    "D3",
    "‖W'_l‖₂ ≤ ω ⇒ at most O(m L ω^{2/3}) patterns of a layer flip on a sample",
    letter=BOUNDS["D3"].letter,
    source=BOUNDS["D3"].source,
    paper=ALLEN_ZHU,
    needs=_swept,
)
def pattern_perturbation(context: Context, results: Results) -> Iterator[Evidence]:
    """The largest number of flips over layers and samples, over ω, m and L."""
    yield from _check(context, results, "D3", f"max ‖D' − D‖_0 (none counted as {LEAST['flips']:g})", "flips")


@claim(
    "D4",
    "‖W'_l‖₂ ≤ ω ⇒ ‖h'_l − h_l‖ = O(ω L^{5/2} √log m)",
    letter=BOUNDS["D4"].letter,
    source=BOUNDS["D4"].source,
    paper=ALLEN_ZHU,
    needs=_swept,
)
def forward_perturbation(context: Context, results: Results) -> Iterator[Evidence]:
    """The largest change of a layer's output, over ω, m and L."""
    yield from _check(context, results, "D4", "max ‖h'_l − h_l‖", "moved", lower_end=True)


@claim(
    "D6",
    "F(W + W') ≤ F(W) + ⟨∇F, W'⟩ + √(nF)·O(ω^{1/3}L²√(m log m)/√o)‖W'‖₂ + O(nL²m/o)‖W'‖₂²",
    letter=BOUNDS["D6"].letter,
    source=BOUNDS["D6"].source,
    paper=ALLEN_ZHU,
    needs=_semi_smooth_everywhere,
)
def semi_smoothness(context: Context, results: Results) -> Iterator[Evidence]:
    """The worst ratio of the two sides with all constants 1, over ω, m and L; the control leaves ⟨∇F, W'⟩ out."""
    sizes = context.preset.deep
    for problem in context.deep_problems():
        jobs = _semi_smooth(context, problem)
        for choice in CHOICES:
            ratios = {
                field: np.concatenate([_over_bound(results, job, choice, field) for job in jobs])
                for field in ("remainder", "increase")
            }
            yield at_most(
                problem.setting
                | {
                    "case": f"{choice} W'",
                    "ω": f"2^−30 … {RADII[0]:g}",
                    "m": f"{sizes.widths[0]} … {sizes.widths[-1]}",
                    "L": f"{min(sizes.depths)} … {sizes.depths[0]}",
                },
                _premise(jobs),
                "left side / right side ≤ 1 with all constants 1, for ± W'",
                ratios["remainder"],
                1.0,
                control=ratios["increase"].max(),
                control_setting="⟨∇F, W'⟩ left out",
            )


def _over_bound(results: Results, job: Perturbation, choice: str, field: str) -> np.ndarray:
    """A left side over D6's right side, by seed; the bound is A√F + B at the loss F of each."""
    changes, problem = results[job].sel(choice=choice), job.data.load()
    numbers: dict[str, float] = {"n": problem.num_samples, "o": problem.num_outputs, "m": job.width, "L": job.depth}
    numbers |= {"omega": job.radius, "distance": job.radius}
    constant = BOUNDS["D6"].evaluate(**numbers, loss=0.0)
    factor = BOUNDS["D6"].evaluate(**numbers, loss=1.0) - constant
    return changes[field].values / (factor * np.sqrt(changes.loss.values) + constant)
