"""Deep ReLU networks as their depth grows: the product form, sufficient and necessary conditions: X1, X2, X3."""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import xarray as xr

from ntk_localsgd.evidence import Condition, Evidence
from verification.claims.depth_limit.paper import XU_ZHANG
from verification.context import Context
from verification.engine import Results
from verification.jobs.deep_limit import DepthTails, Law, OutputsAndWeights, ProductForms
from verification.jobs.depth_ratios import LayerRatio, TailRatio
from verification.judging import at_most
from verification.registry import claim
from verification.store import Job

__all__ = ["LAWS", "tails"]

# Maxima and minima below are NumPy's, of ``values``: xarray's pass over NaN, which must fail.

#: How fast weights approach the identity and biases 0.
LAWS = (Law("power", 1.1), Law("power", 1.5), Law("power", 2.0), Law("geometric", 0.5))

# W_l = (1 + 1/l) I lets outputs grow like n, b_l = 1/l like log n.
_HARMONIC = Law("power", 1.0)

# Below it a bound shows nothing but rounding; that of a geometric law ends at 0.
_SHOWN = 1e-12

# Outputs and their limits stay positive; the smallest of them is looked at.
_GENTLE = Law("power", 1.5, 0.2)


def _product_forms(context: Context) -> tuple[ProductForms, ProductForms]:
    """Gaussian networks, and those of small whole numbers."""
    number = context.preset.depth_limit.networks
    return ProductForms(number, context.seed), ProductForms(number, context.seed, whole=True)


@claim(
    "X1",
    "N_n(x) = (Π_{l=n..1} I_l W_l) x + Σ_l (Π_{j=n..l+1} I_j W_j) I_l b_l, I_l = diag(1{pre-activation > 0})",
    letter="S",
    source="Xu and Zhang 2021, abstract; docs/theory.md, X1",
    paper=XU_ZHANG,
    needs=_product_forms,
)
def product_form(context: Context, results: Results) -> Iterator[Evidence]:
    """Networks at random against their product form; the control takes the patterns of another input."""
    job = _product_forms(context)[0]
    found = results[job]
    yield at_most(
        {"case": "Gaussian weights and biases", "L": "1 … 8", "m": "1 … 12"},
        Condition("any depth, sizes and biases", True),
        "largest |product form − layers| over the rounding error of both (k roundings a path; docs/theory.md, X1) ≤ 1, "
        "every coordinate of every network at four inputs",
        found.gap.values,
        1.0,
        control=float(found.elsewhere.values.max()),
        control_setting="I_l(x') of another input",
    )


@claim(
    "X1-kinks",
    "the product form also where pre-activations are 0",
    letter="D",
    source="docs/theory.md, X1",
    paper=XU_ZHANG,
    needs=_product_forms,
)
def product_form_on_kinks(context: Context, results: Results) -> Iterator[Evidence]:
    """Networks of small whole numbers, in which nothing is rounded: the difference is 0, not small."""
    job = _product_forms(context)[1]
    found = results[job]
    on_kinks = int((found.on_kinks > 0).sum())
    yield at_most(
        {"case": "weights and biases −2 … 2", "L": "1 … 8", "m": "1 … 12"},
        Condition(f"pre-activations that are 0 in {on_kinks} of {job.networks} networks", on_kinks > 0),
        "largest |product form − layers| = 0: whole numbers below 2^53 are not rounded",
        found.gap.values,
        0.0,
        control=float(found.elsewhere.values.max()),
        control_setting="I_l(x') of another input",
    )


def tails(context: Context, law: Law) -> list[DepthTails]:
    """Networks that follow a law: weights along the identity and at random, biases alone, both at random."""
    sizes = context.preset.depth_limit
    ways = (("weights", "identity"), ("weights", "random"), ("biases", "identity"), ("both", "random"))
    return [_tails(context, law, moves, direction, sizes.depth) for moves, direction in ways]


def _tails(
    context: Context, law: Law, moves: str, direction: str, depth: int, *, closed_form: bool = False
) -> DepthTails:
    sizes = context.preset.depth_limit
    seeds = context.seeds("X2", sizes.seeds)
    return DepthTails(law, moves, direction, sizes.width, depth, seeds, closed_form)  # type: ignore[arg-type]


def _control(context: Context, job: DepthTails) -> DepthTails:
    """The same with sums that diverge: (1 + 1/l) I, or biases 1/l along one direction."""
    return _tails(context, _HARMONIC, "biases" if job.moves == "biases" else "weights", "identity", job.depth)


def _all_tails(context: Context) -> list[DepthTails]:
    depth = context.preset.depth_limit.depth
    limit = _tails(context, Law("power", 2.0), "weights", "identity", depth, closed_form=True)
    return [limit, *(job for law in LAWS for job in tails(context, law))]


def _needed_tails(context: Context) -> Iterator[Job]:
    for job in _all_tails(context):
        yield from (job, _control(context, job))


def _tail_ratios(bound: Literal["start", "output"]) -> dict[str, TailRatio]:
    return {f"m = {m}, L = {depth}": TailRatio(m, depth, bound) for m, depth in ((2, 2), (3, 4), (4, 6))}


def _setting(job: DepthTails) -> dict[str, object]:
    moved = {"weights": "‖W_l − I‖", "biases": "‖b_l‖", "both": "‖W_l − I‖, ‖b_l‖"}[job.moves]
    how = (
        "random directions" if job.direction == "random" else "along I" if job.moves == "weights" else "along (1, …, 1)"
    )
    case = f"{moved} = {job.law}, {how}"
    return {"case": f"{case}, against sinh(π)/π" if job.closed_form else case, "m": job.width, "L": job.depth}


def _against(bound: str, context: Context, results: Results, what: str) -> Iterator[Evidence]:
    for job in _all_tails(context):
        found, diverging = results[job], results[_control(context, job)]
        over = found[f"over_{bound}"]
        rest = job.law.rest(job.depth)
        total = float(job.law.values(job.depth).sum()) + rest
        first = float((found.distance / found[bound]).isel(n=0).median())
        yield at_most(
            _setting(job) | {"seeds": len(job.seeds)},
            Condition(f"Σ_l law(l) = {total:.3g} is finite", math.isfinite(total)),
            f"largest tail over {what}, n = 1 … {job.depth - 1}, ≤ 1, {float(found.rounding.max()):.1g} for rounding "
            f"added to the bound (derived beside it); at n = 1 the tail is {first:.2g} of the bound",
            over.values,
            1.0,
            control=float((diverging.distance / found[bound].where(found[bound] > _SHOWN)).max()),
            control_setting="b_l = 1/l" if job.moves == "biases" else "W_l = (1 + 1/l) I, the bound as it is",
        )


@claim(
    "X2",
    "Σ‖W_l − I‖ < ∞ and Σ‖b_l‖ < ∞ ⇒ N_n(x) converges, ‖N_∞ − N_n‖ ≤ H Σ_{l>n}‖W_l − I‖ + Σ_{l>n}‖b_l‖, "
    "H = Π(1 + ‖W_l − I‖)(‖x‖ + Σ‖b_l‖)",
    letter="D",
    source="docs/theory.md, X2 (that such conditions exist: Xu and Zhang 2021, abstract)",
    paper=XU_ZHANG,
    needs=_needed_tails,
    attack=_tail_ratios("start"),
)
def sufficient(context: Context, results: Results) -> Iterator[Evidence]:
    """Tails over their bound for laws of decay, along the identity and in random directions; sums that diverge."""
    yield from _against("from_start", context, results, "H Σ‖W_l − I‖ + Σ‖b_l‖")


@claim(
    "X2-output",
    "‖N_∞ − N_n‖ ≤ (Π_{l>n}(1 + ‖W_l − I‖) − 1)(‖N_n‖ + Σ_{l>n}‖b_l‖) + Σ_{l>n}‖b_l‖",
    letter="D",
    source="docs/theory.md, X2",
    paper=XU_ZHANG,
    needs=_needed_tails,
    attack=_tail_ratios("output"),
)
def sufficient_from_output(context: Context, results: Results) -> Iterator[Evidence]:
    """The same against the bound that starts from the output at depth n."""
    yield from _against("from_output", context, results, "the bound from ‖N_n‖")


def _outputs(context: Context) -> dict[str, OutputsAndWeights]:
    """Convergent networks, and two whose outputs converge though their weights do not tend to I."""
    sizes = context.preset.depth_limit
    seeds = context.seeds("X3", sizes.seeds)
    kinds = ("convergent", "constant", "corner")
    return {kind: OutputsAndWeights(kind, _GENTLE, *sizes.outputs, seeds) for kind in kinds}  # type: ignore[arg-type]


def _needed_outputs(context: Context) -> Iterator[Job]:
    yield from _outputs(context).values()


# A limit of outputs counts as affinely independent of others if σ_min is above this; constant outputs leave 1e-15.
_INDEPENDENT = 1e-6


def _premise(found: xr.Dataset) -> Condition:
    last = found.isel(n=slice(len(found.n) // 2, None))
    spread, least = float(last.spread.values.min()), float(last.least.values.min())
    text = f"outputs at m + 1 inputs affinely independent (σ_min = {spread:.2g} > {_INDEPENDENT:g}) and > 0"
    return Condition(f"{text} (least {least:.2g})", spread > _INDEPENDENT and least > 0)


@claim(
    "X3",
    "N_n(x_i) > 0 at m + 1 inputs ⇒ ‖[W_n − I, b_n]‖ ≤ ‖N_n(x_i) − N_{n−1}(x_i)‖/σ_min([N_{n−1}(x_i), 1])",
    letter="D",
    source="docs/theory.md, X3",
    paper=XU_ZHANG,
    needs=_needed_outputs,
    attack={f"m = {m}": LayerRatio(m) for m in (2, 4, 8)},
)
def weights_of_outputs(context: Context, results: Results) -> Iterator[Evidence]:
    """Weights against what outputs say of them; the control's outputs stand still at 0 and e_i while W_n = 2I."""
    jobs = _outputs(context)
    own, corner = results[jobs["convergent"]], results[jobs["corner"]]
    bound = own.increments / own.spread
    ratio = own.deviation / bound
    yield at_most(
        {"case": f"W_l = I + {_GENTLE} u vᵀ", "m": jobs["convergent"].width, "n": f"4 … {int(own.n.max())}"},
        _premise(own),
        f"largest ‖[W_n − I, b_n]‖ over ‖increments‖/σ_min ≤ 1; its median is {float(ratio.median()):.2g}",
        ratio.values,
        1.0,
        control=float((corner.deviation * corner.spread).min()),
        control_bound=float(corner.increments.max()),
        control_setting="W_n = 2I, b_n = −1 at 0 and e_i, which stay: ‖[W_n − I, b_n]‖σ_min against increments of 0",
    )


@claim(
    "X3-limit",
    "N_n(x) → N(x), limits at m + 1 inputs affinely independent and > 0 ⇒ W_n → I and b_n → 0",
    letter="S",
    source="Xu and Zhang 2021, abstract; hypotheses of docs/theory.md, X3",
    paper=XU_ZHANG,
    needs=_needed_outputs,
)
def necessary(context: Context, results: Results) -> Iterator[Evidence]:
    """Weights fall with the increments; two networks that converge without it, each without one hypothesis."""
    found = {kind: results[job] for kind, job in _outputs(context).items()}
    width, depth = context.preset.depth_limit.outputs
    cases = {
        "convergent": (f"W_l = I + {_GENTLE} u vᵀ", "constant"),
        "constant": ("W_l = 0, b_l → (1, …, 1): limits are one point", "corner"),
        "corner": ("W_l = 2I, b_l = −1: limits 0 and e_i, not > 0", "constant"),
    }
    for kind, (case, other) in cases.items():
        yield at_most(
            {"case": case, "m": width, "over": f"n = 4 … {depth}"},
            _premise(found[kind]),
            "‖[W_n − I, b_n]‖ at the last n at most half of that at the first (l^−1.5 leaves 0.0003 over 4 … 1024)",
            _fall(found[kind]),
            0.5,
            control=_fall(found[other]),
            control_setting=cases[other][0],
        )


def _fall(found: xr.Dataset) -> float:
    return float(np.max(found.deviation.isel(n=-1) / found.deviation.isel(n=0)))
