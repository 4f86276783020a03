"""What clients move by is no gradient: the asymmetric Gram matrix of local steps, F1, and the cosine of a round, F2."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.statistics import mean_interval, slope
from verification.claims.growth import TOLERANCE, learned_alike
from verification.context import Context
from verification.data import Problem, Split
from verification.engine import Results
from verification.jobs.client_kernels import ClientKernels
from verification.jobs.two_layer_ratios import FlipRatio
from verification.judging import as_exponent, at_least, at_most, equal
from verification.papers import HUANG
from verification.registry import claim

__all__ = ["by_local_steps", "stable", "sweep"]

# A cosine is a quotient of sums of md products; of float64's 16 digits, four are left for them.
_ROUNDING = 1e-12

# Networks whose differences are averaged before an exponent is fitted.
_GROUP = 4

_SPLITS: tuple[Split, ...] = ("label", "iid")


def _job(context: Context, problem: Problem, width: int, purpose: str = "F1") -> ClientKernels:
    sizes = context.preset.federated
    step_size = 0.5 / problem.largest_client_eigenvalue(sizes.clients)
    seeds = context.seeds(purpose, sizes.seeds)
    return ClientKernels(problem.source, sizes.clients, width, step_size, sizes.local_steps, sizes.rounds, seeds)


def _problems(context: Context) -> list[Problem]:
    return context.problems(context.preset.federated.samples)


def sweep(context: Context, problem: Problem) -> list[ClientKernels]:
    """Local GD at several widths, all else alike."""
    return [_job(context, problem, width) for width in context.preset.federated.widths]


def _growing_targets(context: Context, problem: Problem) -> list[ClientKernels]:
    """The control: targets grow with √m, so that patterns flip at every width alike; its first round is looked at."""
    jobs = sweep(context, problem)
    return [dataclasses.replace(job, target_scale=math.sqrt(job.width), num_rounds=1) for job in jobs]


def _two_neurons(context: Context, problem: Problem) -> ClientKernels:
    return _job(context, problem, 2)


def _all_sweeps(context: Context) -> Iterator[ClientKernels]:
    for problem in _problems(context):
        yield from (*sweep(context, problem), *_growing_targets(context, problem), _two_neurons(context, problem))


@claim(
    "F1",
    "H(t, k) = G ∘ (patterns of W(t) times patterns of clients' local steps)/m, by which local step k moves the "
    "residual: symmetric at k = 0, |H(t, k) − H(t, 0)|_ij ≤ |G_ij| (flips of j)/m, ‖H − Hᵀ‖/‖H‖ = O(m^{-1/2}), "
    "λ_min((H + Hᵀ)/2) ≥ λ0/2",
    letter="D",
    source="docs/theory.md, F1; that updates are no gradients: Huang et al. 2021, abstract [S]",
    paper=HUANG,
    needs=_all_sweeps,
    attack={f"n = {n}, d = {d}, m = {m}": FlipRatio(n, d, m) for n, d, m in ((1, 2, 4), (3, 3, 8), (6, 4, 16))},
)
def asymmetric_gram(context: Context, results: Results) -> Iterator[Evidence]:
    """Three rows a data set: the entrywise bound, the exponent in the width, and the symmetric part's λ_min."""
    for problem in _problems(context):
        jobs, growing = sweep(context, problem), _growing_targets(context, problem)
        tables = [results[job] for job in jobs]
        setting = problem.setting | {"K": jobs[0].num_clients, "τ": jobs[0].local_steps}
        start = max(float(table.asymmetry.sel(step=0).values.max()) for table in tables)
        yield at_most(
            setting | {"quantity": "max_ij of m|H(t,k) − H(t,0)|_ij/|G_ij| − flips of j"},
            Condition("ReLU, rows j of each client's own samples, by construction", True),
            f"no entry changes by more than its column's flips; ‖H − Hᵀ‖ at k = 0 is {start:.3g}",
            np.array([table.excess.values.max(axis=1) for table in tables]),
            0.0,
            also=start <= _ROUNDING,
            control=max(float(table.excess_of_rows.max()) for table in tables),
            control_setting="flips of the row's sample i in place of the column's j",
        )
        last = [_last_asymmetry(results, each) for each in (jobs, growing)]
        yield as_exponent(
            setting | {"over": _widths(jobs)},
            learned_alike(results, jobs),
            "‖H − Hᵀ‖/‖H‖ at the last local step of round 1 in m",
            slope([job.width for job in jobs], last[0]),
            -0.5,
            TOLERANCE,
            relation="≤",
            control=slope([job.width for job in growing], last[1]),
            control_setting="targets ∝ √m",
            trials=len(jobs[0].seeds),
        )
        narrow = results[_two_neurons(context, problem)]
        yield at_least(
            setting | {"m": jobs[-1].width, "quantity": "λ_min((H + Hᵀ)/2)"},
            stable(jobs[-1]),
            f"≥ λ0/2 in {jobs[-1].num_rounds} rounds of all seeds",
            tables[-1].smallest.values.min(axis=1),
            problem.lambda0.upper / 2,
            control=float(narrow.smallest.min()),
            control_setting="m = 2",
        )


def stable(job: ClientKernels) -> Condition:
    """What the kernel regime asks of local steps; how large m must be is not stated."""
    gain = job.step_size * job.problem.largest_client_eigenvalue(job.num_clients)
    return Condition(f"η max_c λ_max(H^∞_cc) ≤ 1 (here {gain:.2g})", gain <= 1)


def _last_asymmetry(results: Results, jobs: list[ClientKernels]) -> np.ndarray:
    """Of the first round's last local step, [seeds widths]; 0, where nothing flipped, counts as one flip."""
    least = [1 / (job.width * job.problem.num_samples) for job in jobs]
    asymmetry = [results[job].asymmetry.isel(round=0, step=-1).values for job in jobs]
    return np.stack([np.maximum(one, floor) for one, floor in zip(asymmetry, least, strict=True)], axis=1)


def _groups(differences: Sequence[xr.DataArray]) -> np.ndarray:
    """Root mean squares of `_GROUP` networks, [groups widths]: one difference has either sign, and its log no floor."""
    squares = np.stack([difference.values**2 for difference in differences], axis=1)
    number = len(squares) // _GROUP
    return np.sqrt(squares[: number * _GROUP].reshape(number, _GROUP, -1).mean(axis=1))


def _widths(jobs: list[ClientKernels]) -> str:
    return f"m = {jobs[0].width} … {jobs[-1].width}"


def by_local_steps(context: Context, problem: Problem, split: Split) -> list[ClientKernels]:
    """One round with several numbers of local steps, ascending from τ = 1."""
    sizes = context.preset.federated
    job = dataclasses.replace(_job(context, problem, sizes.widths[0], "F2"), split=split, num_rounds=1)
    return [dataclasses.replace(job, local_steps=steps) for steps in sizes.steps]


def _faulty(jobs: list[ClientKernels]) -> tuple[ClientKernels, ClientKernels]:
    """The controls: at τ = 1 a client left out of the average; at the largest τ steps that never see where they are."""
    return (
        dataclasses.replace(jobs[0], fault="client left out"),
        dataclasses.replace(jobs[-1], fault="gradients of the start"),
    )


def _all_directions(context: Context) -> Iterator[ClientKernels]:
    for problem in _problems(context):
        yield from sweep(context, problem)
        for split in _SPLITS:
            jobs = by_local_steps(context, problem, split)
            yield from (*jobs, *_faulty(jobs))


@claim(
    "F2",
    "Δ(t) = W(t+1) − W(t): cos(Δ, −∇L(W(t))) is 1 at τ = 1, falls with τ (expected: further by label than iid), and "
    "lies within O(m^{-1/2}) of the kernel regime's rᵀΘMr/(‖JᵀMr‖ ‖Jᵀr‖)",
    letter="D",
    source="docs/theory.md, F2; that updates are no gradients: Huang et al. 2021, abstract [S]",
    paper=HUANG,
    needs=_all_directions,
)
def no_gradient_direction(context: Context, results: Results) -> Iterator[Evidence]:
    """Five rows a data set: τ = 1, the fall with τ for both splits, label against iid, and the exponent."""
    for problem in _problems(context):
        jobs = {split: by_local_steps(context, problem, split) for split in _SPLITS}
        setting = problem.setting | {"K": jobs["label"][0].num_clients, "m": jobs["label"][0].width}
        last = jobs["label"][-1].local_steps
        one, many, lacking, still = (
            {split: results[job].cosine.values[:, 0] for split, job in zip(_SPLITS, each, strict=True)}
            for each in zip(*((own[0], own[-1], *_faulty(own)) for own in jobs.values()), strict=True)
        )
        yield equal(
            setting | {"τ": 1, "quantity": "cos(Δ, −∇L)"},
            Condition("τ = 1, η_g > 0", jobs["label"][0].local_steps == 1),
            "Δ is a multiple of −∇L",
            np.minimum(*one.values()),
            1.0,
            tolerance=_ROUNDING,
            control=float(np.max([*lacking.values()])),
            control_setting="a client left out of the average",
        )
        known = stable(jobs["label"][-1])
        falls = [(f"τ = {last} against 1, {s}", known, many[s] - one[s], still[s] - one[s]) for s in _SPLITS]
        case = f"by label against iid at τ = {last}", Condition("an expectation, without proof", False)
        falls.append((*case, many["label"] - many["iid"], still["label"] - still["iid"]))
        for name, premise, change, control in falls:
            yield at_most(
                setting | {"case": name, "quantity": "mean change of the cosine"},
                premise,
                "falls by more than rounding",
                mean_interval(change),
                -_ROUNDING,
                control=mean_interval(control),
                control_setting="local steps follow the gradients of the round's start",
            )
        yield _predicted(results, sweep(context, problem), problem)


def _predicted(results: Results, jobs: list[ClientKernels], problem: Problem) -> Evidence:
    """The exponent of |measured − predicted| in the first round; in the control no client's samples are its own."""
    tables = [results[job].isel(round=0) for job in jobs]
    gaps, control = (
        _groups([table.cosine - table[name] for table in tables]) for name in ("predicted_cosine", "predicted_of_all")
    )
    widths = [job.width for job in jobs]
    setting = problem.setting | {"K": jobs[0].num_clients, "τ": jobs[0].local_steps, "over": _widths(jobs)}
    return as_exponent(
        setting,
        learned_alike(results, jobs),
        f"|cosine − predicted| in round 1 in m, root mean square of {_GROUP} networks (at the widest "
        f"{np.median(gaps[:, -1]):.2g}, where the cosine is {np.median(tables[-1].cosine):.3g})",
        slope(widths, gaps),
        -0.5,
        TOLERANCE,
        relation="≤",
        control=slope(widths, control),
        control_setting="predicted as if every client held all samples",
        trials=len(jobs[0].seeds),
    )
