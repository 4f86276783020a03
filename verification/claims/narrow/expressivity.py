"""What a narrow smooth network can express: N1, N2 and N3."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.interpolation import least_width
from verification.claims.narrow.paper import ZHANG
from verification.context import Context
from verification.data import Kind
from verification.engine import Results
from verification.jobs.interpolants import FullRankRegion, Interpolants, Shape, Starts
from verification.judging import at_least, equal, with_probability
from verification.registry import claim

__all__: list[str] = []

_KINDS: tuple[Kind, ...] = ("sphere", "digits")

# Inputs of a digit.
_PIXELS = 64


def _shapes(context: Context, kind: Kind) -> tuple[Shape, ...]:
    """n and d of the preset, with ⌈2n/d⌉ neurons."""
    sizes = context.preset.narrow
    pairs = sizes.shapes if kind == "sphere" else tuple((n, _PIXELS) for n in sizes.digits)
    return tuple(Shape(n, d, least_width(n, d)) for n, d in pairs)


def _too_few(context: Context, kind: Kind) -> tuple[Shape, ...]:
    """The control: as many neurons as leave fewer weights than samples; of digits, more samples for the one neuron."""
    shapes = _shapes(context, kind) if kind == "sphere" else (Shape(3 * _PIXELS // 2, _PIXELS, 1),)
    return tuple(Shape(n, d, (n - 1) // (d + 1)) for n, d, _ in shapes)


def _starts(context: Context, kind: Kind) -> tuple[Starts, Starts]:
    sizes = context.preset.narrow
    shapes = tuple(shape._replace(width=2 * shape.width) for shape in _shapes(context, kind))
    job = Starts(kind, shapes, "tanh", context.seeds("N1", sizes.few))
    return job, Starts(kind, shapes, "tanh", job.seeds, mirrored=False)


def _all_starts(context: Context) -> Iterator[Starts]:
    for kind in _KINDS:
        yield from _starts(context, kind)


@claim(
    "N1",
    "mirrored LeCun initialization, two halves with equal w_r and opposite v_r ⇒ f = 0 at the start, exactly",
    letter="R",
    source="Zhang et al. 2021, initialization",
    paper=ZHANG,
    needs=_all_starts,
)
def mirrored_start(context: Context, results: Results) -> Iterator[Evidence]:
    """The largest output in floating point, of all networks and samples."""
    for kind in _KINDS:
        own, other = (results[job] for job in _starts(context, kind))
        yield equal(
            {"data": kind, "n": _span(_shapes(context, kind)), "quantity": "max |f(x_i)|"},
            Condition("neurons r and r + m/2 have equal w and opposite v, by construction", True),
            "f = 0 to the last bit",
            float(own.largest.values.max()),
            0.0,
            control=float(other.largest.min()),
            control_setting="no mirror",
            trials=own.sizes["seed"],
        )


def _interpolants(context: Context, kind: Kind, activation: str) -> tuple[Interpolants, Interpolants]:
    seeds = context.seeds(f"N2 {kind}", context.preset.trials)
    few = seeds[: context.preset.narrow.few]
    # Random targets on the sphere. Signs that a saturated neuron tells apart would be fitted in the limit by anything.
    return (
        Interpolants(kind, _shapes(context, kind), activation, seeds, "normal" if kind == "sphere" else "signs"),
        Interpolants(kind, _too_few(context, kind), activation, few, "normal", attempts=1),
    )


def _all_interpolants(context: Context) -> Iterator[Interpolants]:
    for kind in _KINDS:
        for activation in context.preset.narrow.activations:
            yield from _interpolants(context, kind, activation)


@claim(
    "N2",
    "σ smooth, m = ⌈2n/d⌉ ⇒ some weights have zero loss; proved for each data set by Newton–Kantorovich, within 2α of "
    "weights that were found",
    letter="S",
    source="Zhang et al. 2021, abstract; each case: docs/theory.md, N2 [D]",
    paper=ZHANG,
    needs=_all_interpolants,
)
def interpolants(context: Context, results: Results) -> Iterator[Evidence]:
    """One row a kind of data and activation: of every data set, whether the proof's premise ε + 2ωα ≤ ½ is met."""
    for kind in _KINDS:
        for activation in context.preset.narrow.activations:
            job, control = _interpolants(context, kind, activation)
            own, few = results[job], results[control]
            proved, shapes = int(own.certified.sum()), _span(job.shapes)
            row = with_probability(
                {"data": f"{kind}, {job.targets}", "n": shapes, "σ": activation, "quantity": "ε + 2ωα"},
                Condition("σ smooth; m = ⌈2n/d⌉ < n", all(s.width < s.samples for s in job.shapes)),
                f"an exact interpolant is proved to exist for {proved} of {len(job.seeds)} data sets, within "
                f"2α ≤ {float(own.radius.where(own.certified == 1).max()):.2g} of weights that are known",
                own.contraction.values,
                0.5,
                control=few.contraction.values,
                control_setting=f"m(d + 1) < n ({_span(control.shapes)} samples, normal targets): "
                f"{int(few.certified.sum())} of {len(control.seeds)} proved, least loss {float(few.loss.min()):.2g}",
            )
            # What is not proved to exist is not thereby refuted.
            conclusion = dataclasses.replace(row.conclusion, holds=row.conclusion.holds or None)
            yield dataclasses.replace(row, conclusion=conclusion)


def _regions(context: Context, activation: str) -> tuple[FullRankRegion, FullRankRegion]:
    sizes = context.preset.narrow
    # Of the smallest shapes alone: finite differences along every weight.
    job = FullRankRegion("sphere", _shapes(context, "sphere")[:2], activation, context.seeds("N3", sizes.few))
    return job, FullRankRegion(job.kind, job.shapes, activation, job.seeds, copies=True)


def _all_regions(context: Context) -> Iterator[FullRankRegion]:
    for activation in context.preset.narrow.activations:
        yield from _regions(context, activation)


@claim(
    "N3",
    "σ_min(J(θ̃)) ≥ σ > 0 ⇒ ‖∇L(θ)‖ ≥ (σ − ΛR)‖r(θ)‖ for all θ within R < σ/Λ of θ̃: every stationary point there is a "
    "global minimizer",
    letter="D",
    source="docs/theory.md, N3; that there is such a region: Zhang et al. 2021, abstract [S]",
    paper=ZHANG,
    needs=_all_regions,
)
def nice_region(context: Context, results: Results) -> Iterator[Evidence]:
    """σ_min(J) and ‖∇L‖/‖r‖ half-way to the region's edge, in random directions and where σ_min falls fastest."""
    for activation in context.preset.narrow.activations:
        job, control = _regions(context, activation)
        own, copies = results[job], results[control]
        proved, number = int((own.proved > 0).sum()), len(job.seeds)
        yield at_least(
            {"data": "sphere", "n": _span(job.shapes), "σ": activation, "quantity": "least σ_min(J(θ))/(σ − ΛR)"},
            Condition(f"full row rank proved at {proved} of {number} random networks", proved == number),
            f"σ_min ≥ σ − ΛR at R = {job.share:g} σ/Λ; ‖∇L‖/‖r‖ at least {float(own.gradient.values.min()):.3g} of it",
            float(own.singular.values.min()),
            1.0,
            also=bool(own.gradient.values.min() >= 1),
            control=float(np.nanmax(copies.singular)),
            control_setting="all neurons copies of one",
            trials=number,
        )


def _span(shapes: tuple[Shape, ...]) -> str:
    """Smallest and largest number of samples."""
    samples = sorted({shape.samples for shape in shapes})
    return f"{samples[0]} … {samples[-1]}" if len(samples) > 1 else f"{samples[0]}"
