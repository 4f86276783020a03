"""Deep networks at initialization: D1, D2, D5."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.statistics import mean_interval, slope
from verification.claims.growth import TOLERANCE
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.deep_start import DeepStart
from verification.judging import DELTA, as_exponent, at_most, in_words, stays_bounded
from verification.papers import ALLEN_ZHU, CLASSICAL
from verification.registry import claim

__all__ = ["Sweep", "deviation", "largest", "over_depth", "over_width", "shape_of", "smallest"]

# Controls: entries N(0, 8/m) instead of N(0, 2/m), so that layers grow like 2^l.
_TOO_LARGE = 2.0
_AT_START = Condition("A, W_l, V drawn as `DeepReLU.init` says, ω = 0 by construction", True)

# float32 leaves λ_min with an error of about 1e-6 λ_max; a singular matrix must still have a logarithm.
_RESOLUTION = 1e-7


class Sweep(NamedTuple):
    """A parameter, its values, and the networks at each."""

    parameter: str
    values: tuple[float, ...]
    starts: list[DeepStart]


def _start(context: Context, problem: Problem, *, width: int | None = None, depth: int | None = None) -> DeepStart:
    sizes = context.preset.deep
    seeds = context.seeds("deep starts", sizes.start_seeds)
    return DeepStart(problem.source, width or sizes.widths[0], depth or sizes.depths[0], seeds)


def over_width(context: Context, problem: Problem) -> Sweep:
    """Networks of several widths, all else at the preset's first value."""
    widths = context.preset.deep.start_widths
    return Sweep("m", widths, [_start(context, problem, width=m) for m in widths])


def over_depth(context: Context, problem: Problem) -> Sweep:
    """Networks of several depths, all else at the preset's first value."""
    depths = tuple(sorted(context.preset.deep.depths))
    return Sweep("L", depths, [_start(context, problem, depth=depth) for depth in depths])


def _over_samples(context: Context, problem: Problem) -> Sweep:
    samples = tuple(sorted(context.preset.deep.samples))
    return Sweep("n", samples, [_start(context, context.problem(problem.source.kind, n)) for n in samples])


def _drawing_closer(context: Context) -> Sweep:
    """The planted pair draws closer like n^(−4), unseen by the bound."""
    samples, distance = tuple(sorted(context.preset.deep.samples)), context.preset.deep.separations[0]
    problems = [context.problem("planted", n, distance=distance * (samples[0] / n) ** 4) for n in samples]
    return Sweep("n", samples, [_start(context, problem) for problem in problems])


def _over_separation(context: Context, problem: Problem) -> Sweep:
    distances = tuple(sorted(context.preset.deep.separations, reverse=True))
    problems = [context.problem("planted", problem.num_samples, distance=phi) for phi in distances]
    return Sweep("1/φ", tuple(1 / phi for phi in distances), [_start(context, other) for other in problems])


def _controls(context: Context, swept: Sweep, *, hidden_gain: float = 1.0, power: float = 0.0) -> Sweep:
    """The sweep's networks, a few of them, with larger layers, or with V's variance in a power of the parameter."""
    seeds = swept.starts[0].seeds[: context.preset.deep.few_seeds]
    gains = [(value / swept.values[0]) ** (power / 2) for value in swept.values]
    starts = [
        dataclasses.replace(start, seeds=seeds, hidden_gain=hidden_gain, readout_gain=gain)
        for start, gain in zip(swept.starts, gains, strict=True)
    ]
    return swept._replace(starts=starts)


def _larger_layers(context: Context, swept: Sweep) -> Sweep:
    return _controls(context, swept, hidden_gain=_TOO_LARGE)


def _norm_starts(context: Context) -> Iterator[DeepStart]:
    for problem in context.deep_problems():
        for swept in (over_width(context, problem), over_depth(context, problem)):
            yield from (*swept.starts, *_larger_layers(context, swept).starts)


def _upper_starts(context: Context) -> Iterator[DeepStart]:
    for problem in context.deep_problems():
        depths = over_depth(context, problem)
        yield from (*depths.starts, *_larger_layers(context, depths).starts)
        for swept in (over_width(context, problem), _over_samples(context, problem)):
            yield from (*swept.starts, *_controls(context, swept, power=1).starts)


def _lower_starts(context: Context) -> Iterator[DeepStart]:
    for problem in context.deep_problems():
        for row in _lower_rows(context, problem):
            yield from (*row.swept.starts, *row.control.starts)


def _limit_starts(context: Context) -> Iterator[DeepStart]:
    for problem in context.deep_problems():
        yield from over_width(context, problem).starts


def _setting(context: Context, problem: Problem, parameter: str) -> dict[str, object]:
    sizes = context.preset.deep
    whole = problem.setting | {"m": sizes.widths[0], "L": sizes.depths[0]}
    return {name: value for name, value in whole.items() if name != parameter}


def shape_of(claim_id: str, swept: Sweep) -> np.ndarray:
    """The bound at every point of a sweep, all else as the networks there have it."""
    bound = BOUNDS[claim_id]
    return np.array([bound.evaluate(**{name: _numbers(start)[name] for name in bound.needs}) for start in swept.starts])


def _numbers(start: DeepStart) -> dict[str, float]:
    problem = start.data.load()
    of_data = {"n": problem.num_samples, "phi": problem.dataset.separation, "o": problem.num_outputs}
    return of_data | {"m": start.width, "L": start.depth, "delta": DELTA, "loss": 1.0}


def deviation(results: Results, swept: Sweep) -> np.ndarray:
    """max |‖h_{i,l}‖ − 1| [seeds points]."""
    columns = []
    for start in swept.starts:
        norms = results[start]
        ends = (abs(norms[name] - 1).max("layer") for name in ("least_norm", "largest_norm"))
        columns.append(np.maximum(*(end.values for end in ends)))
    return np.stack(columns, axis=1)


def largest(results: Results, swept: Sweep) -> np.ndarray:
    """max over residuals of ‖∇F‖²/F = 2λ_max(Θ), [seeds points]."""
    return 2 * np.stack([results[start].largest.values for start in swept.starts], axis=1)


def smallest(results: Results, swept: Sweep) -> np.ndarray:
    """min over residuals of ‖∇F‖²/F = 2λ_min(Θ), [seeds points]."""
    runs = [results[start] for start in swept.starts]
    return 2 * np.stack([np.maximum(r.smallest.values, _RESOLUTION * r.largest.values) for r in runs], axis=1)


@claim(
    "D1",
    "A, W_l ~ N(0, 2/m) ⇒ max |‖h_{i,l}‖ − 1| = O(√(L log(nL/δ)/m))",
    letter="R",
    source=BOUNDS["D1"].source,
    paper=ALLEN_ZHU,
    needs=_norm_starts,
)
def hidden_norms(context: Context, results: Results) -> Iterator[Evidence]:
    """The largest deviation of a layer's norm from 1, over m and over L; the control's layers grow."""
    for problem in context.deep_problems():
        for swept in (over_width(context, problem), over_depth(context, problem)):
            shape = shape_of("D1", swept)
            # The lemma's ε, the deviation that it allows, is at most 1.
            premise = Condition(f"ω = 0, √(L log(nL/δ)/m) ≤ 1 (here {shape.max():.2g})", bool(shape.max() <= 1))
            yield stays_bounded(
                _setting(context, problem, swept.parameter),
                premise,
                "max |‖h_{i,l}‖ − 1|",
                swept.parameter,
                swept.values,
                deviation(results, swept),
                shape,
                control=deviation(results, _larger_layers(context, swept)),
                control_setting="A, W_l ~ N(0, 8/m)",
            )


@claim(
    "D2-upper",
    "at initialization, for every residual: ‖∇F‖² = O(L n m/o) F",
    letter=BOUNDS["D2-upper"].letter,
    source=BOUNDS["D2-upper"].source,
    paper=ALLEN_ZHU,
    needs=_upper_starts,
)
def gradient_upper(context: Context, results: Results) -> Iterator[Evidence]:
    """max over residuals of ‖∇F‖²/F = 2λ_max(Θ), over m, L and n."""
    for problem in context.deep_problems():
        widths, depths, samples = (f(context, problem) for f in (over_width, over_depth, _over_samples))
        setting = _setting(context, problem, "L")
        yield _below_the_trace(results, setting, depths, _larger_layers(context, depths))
        for swept in (widths, samples):
            yield stays_bounded(
                _setting(context, problem, swept.parameter),
                _AT_START,
                "max ‖∇F‖²/F = 2λ_max(Θ)",
                swept.parameter,
                swept.values,
                largest(results, swept),
                shape_of("D2-upper", swept),
                control=largest(results, _controls(context, swept, power=1)),
                control_setting=f"V's variance grows like {swept.parameter}",
            )


def _below_the_trace(results: Results, setting: dict[str, object], depths: Sweep, larger: Sweep) -> Evidence:
    """Over L an exponent decides nothing: layers make rows alike, and λ_max rises towards the trace for many layers.

    The trace itself gives the constant: E 2λ_max(Θ) ≤ 2 E tr Θ = L n m up to lower orders in 1/m, since a layer's
    inputs have norm 1, V's masked rows mean square m/(2o), and there are o of them.
    """
    outputs = depths.starts[0].data.load().num_outputs
    constants, grown = (largest(results, swept) / shape_of("D2-upper", swept) / outputs for swept in (depths, larger))
    first = "" if outputs == 1 else f"; of {outputs} outputs together: at first of one, which read as a refutation"
    means, broken = ([mean_interval(column) for column in values.T] for values in (constants, grown))
    worst, control = (max(found, key=lambda mean: mean.upper) for found in (means, broken))
    power = slope(depths.values, constants)
    return at_most(
        setting | {"over": f"L = {min(depths.values):g} … {max(depths.values):g}"},
        _AT_START,
        f"mean over seeds of 2λ_max(Θ)/(L n m) at most 1 at every L, as the trace is: {min(means).estimate:.2g} … "
        f"{max(means).estimate:.2g}; exponent left over {in_words(power)} (judged by the trace since version 0.2.0, "
        f"when an exponent of 0.15 on few layers read as a refutation{first})",
        worst,
        1.0,
        control=control,
        control_setting="A, W_l ~ N(0, 8/m)",
    )


class _Row(NamedTuple):
    """A sweep, its control, and what is changed there."""

    swept: Sweep
    control: Sweep
    changed: str


def _lower_rows(context: Context, problem: Problem) -> list[_Row]:
    """Over m and, on planted data, n and 1/φ."""
    widths = over_width(context, problem)
    # Ten outputs have more rows in Θ than the narrowest networks have neurons: λ_min rises like m² and more there.
    power = 3 if problem.num_outputs > 1 else 1
    shrinking = f"V's variance shrinks like 1/m{'³' if power == 3 else ''}"
    rows = [_Row(widths, _controls(context, widths, power=-power), shrinking)]
    if problem.source.kind == "planted":
        samples, distances = _over_samples(context, problem), _over_separation(context, problem)
        closer = "the pair draws closer like n^(−4), unseen by the bound"
        rows.append(_Row(samples, _drawing_closer(context), closer))
        rows.append(_Row(distances, _controls(context, distances, power=-1), "V's variance shrinks like φ"))
    return rows


def _lower(context: Context, results: Results, claim_id: str) -> Iterator[Evidence]:
    """min over residuals of ‖∇F‖²/F = 2λ_min(Θ)."""
    for problem in context.deep_problems():
        for swept, control, changed in _lower_rows(context, problem):
            yield stays_bounded(
                _setting(context, problem, swept.parameter),
                _AT_START,
                f"min ‖∇F‖²/F = 2λ_min(Θ), counted as {_RESOLUTION:g} λ_max where it is less (float32)",
                swept.parameter,
                swept.values,
                smallest(results, swept),
                shape_of(claim_id, swept),
                control=smallest(results, control),
                control_setting=changed,
                relation="≥",
            )


@claim(
    "D2-lower",
    "at initialization, for every residual: ‖∇F‖² = Ω(mφ/(o n²)) F",
    letter=BOUNDS["D2-lower"].letter,
    source=BOUNDS["D2-lower"].source,
    paper=ALLEN_ZHU,
    needs=_lower_starts,
)
def gradient_lower(context: Context, results: Results) -> Iterator[Evidence]:
    """The published form with n²."""
    yield from _lower(context, results, "D2-lower")


@claim(
    "D2-sharper",
    "at initialization, for every residual: ‖∇F‖² = Ω(mφ/(o n)) F",
    letter=BOUNDS["D2-sharper"].letter,
    source=BOUNDS["D2-sharper"].source,
    paper=ALLEN_ZHU,
    needs=_lower_starts,
)
def gradient_lower_sharper(context: Context, results: Results) -> Iterator[Evidence]:
    """The sharper form with n."""
    yield from _lower(context, results, "D2-sharper")


@claim(
    "D5",
    "Θ(W(0))/m → Θ^∞, the infinite-width kernel with A and V frozen, with an error of Θ(m^{-1/2})",
    letter="P",
    source="Jacot, Gabriel and Hongler 2018; Arora et al. 2019; docs/theory.md, D5",
    paper=CLASSICAL,
    needs=_limit_starts,
)
def limit(context: Context, results: Results) -> Iterator[Evidence]:
    """Spectral norm of the error over m; the control takes neural-tangents' kernel without the factor ½."""
    for problem in context.deep_problems():
        swept = over_width(context, problem)
        errors = [results[start].error for start in swept.starts]
        power, control = (
            slope(swept.values, np.stack([error.sel(multiple=k).values for error in errors], axis=1)) for k in (1, 2)
        )
        yield as_exponent(
            _setting(context, problem, "m") | {"over": f"m = {swept.values[0]} … {swept.values[-1]}"},
            _AT_START,
            "‖Θ/m − Θ^∞‖₂",
            power,
            -0.5,
            TOLERANCE,
            control=control,
            control_setting="limit twice as large",
            trials=context.preset.deep.start_seeds,
        )
