"""Deep networks at initialization: D1, D2, D5."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from ntk_localsgd import kernels
from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.networks import DeepReLU
from ntk_localsgd.statistics import holds_as_exponent, slope
from verification.claims import claim
from verification.context import Context, Problem, problem
from verification.growth import TOLERANCE, stays_bounded
from verification.sampling import DELTA

# Controls: entries N(0, 4/m) instead of N(0, 2/m), so that layers grow like 2^{l/2}. A network is homogeneous: h_l is
# multiplied by _TOO_LARGE^{l+1} and ∇f by _TOO_LARGE^L, and V's scale multiplies ∇f; nothing has to be drawn again.
_TOO_LARGE = 2**0.5
_AT_START = Condition("A, W_l, V at their initialization (ω = 0)", True)


class Start(NamedTuple):
    """What one network gives at initialization."""

    norms: float  # max |‖h_{i,l}‖ − 1|
    grown_norms: float  # the same of the control's layers
    smallest: float  # λ_min(Θ)
    largest: float  # λ_max(Θ)
    error: float  # ‖Θ/m − Θ^∞‖₂
    doubled: float  # ‖Θ/m − 2Θ^∞‖₂


@functools.cache
def start_of(kind: str, n: int, data_seed: int, width: int, depth: int, seed: int) -> Start:
    """What is measured of one network at its initialization."""
    made = problem(kind, n, data_seed)
    targets = made.dataset.targets
    outputs = targets.shape[1] if targets.ndim == 2 else 1
    net = DeepReLU.init(jax.random.key(seed), width=width, depth=depth, input_dim=made.dataset.input_dim,
                        output_dim=outputs, dtype=np.float32)  # fmt: skip
    hidden = np.stack([np.linalg.norm(np.asarray(h, np.float64), axis=1) for h in net.layers(made.inputs)[0]])
    gram = np.asarray(kernels.empirical_gram(net, made.inputs), np.float64).reshape(n, n, outputs, outputs)
    matrix = gram.transpose(0, 2, 1, 3).reshape(n * outputs, -1)
    limit = np.kron(kernels.infinite_deep_gram(made.inputs, depth), np.eye(outputs)) / outputs
    values = np.linalg.eigvalsh(matrix)
    off, twice = (float(np.linalg.norm(matrix / width - k * limit, 2)) for k in (1, 2))
    # float32 leaves λ_min with an error of about 1e-6 λ_max; a singular matrix must still have a logarithm.
    smallest = max(float(values[0]), 1e-7 * float(values[-1]))
    grown = hidden * _TOO_LARGE ** np.arange(1, depth + 2)[:, None]
    deviation, grown_deviation = (float(np.abs(norms - 1).max()) for norms in (hidden, grown))
    return Start(deviation, grown_deviation, smallest, float(values[-1]), off, twice)


def _starts(context: Context, made: Problem, *, width: int | None = None, depth: int | None = None) -> list[Start]:
    sizes = context.preset.deep
    return [
        start_of(made.kind, made.num_samples, made.seed, width or sizes.widths[0], depth or sizes.depths[0],
               7000 * (context.seed + 1) + s)
        for s in range(sizes.start_seeds)
    ]  # fmt: skip


def _columns(field: str, points: list[list[Start]]) -> np.ndarray:
    """[seeds points] of one quantity."""
    return np.array([[getattr(start, field) for start in point] for point in points]).T


def _setting(context: Context, made: Problem, **changed: object) -> str:
    sizes = context.preset.deep
    fixed = {"m": sizes.widths[0], "L": sizes.depths[0]}
    shown = ", ".join(f"{k} = {v}" for k, v in fixed.items() if k not in changed)
    return (
        f"{made.dataset.name}" + ("" if "n" in changed else f", n = {made.num_samples}") + (f", {shown}" * bool(shown))
    )


def _numbers(context: Context, made: Problem, **changed: float) -> dict[str, float]:
    sizes, targets = context.preset.deep, made.dataset.targets
    return {
        "m": sizes.widths[0], "L": sizes.depths[0], "n": made.num_samples, "phi": made.dataset.separation,
        "o": targets.shape[1] if targets.ndim == 2 else 1, "delta": DELTA, "loss": 1.0,
    } | changed  # fmt: skip


def _shape(claim_id: str, context: Context, made: Problem, name: str, points: tuple[float, ...]) -> np.ndarray:
    bound = BOUNDS[claim_id]
    return np.array([
        bound.evaluate(**{k: v for k, v in _numbers(context, made, **{name: p}).items() if k in bound.needs})
        for p in points
    ])  # fmt: skip


def _over_width(context: Context, made: Problem) -> list[list[Start]]:
    return [_starts(context, made, width=m) for m in context.preset.deep.start_widths]


def _over_depth(context: Context, made: Problem) -> list[list[Start]]:
    return [_starts(context, made, depth=depth) for depth in sorted(context.preset.deep.depths)]


@claim(
    "D1",
    "A, W_l ~ N(0, 2/m) ⇒ max |‖h_{i,l}‖ − 1| = O(√(L log(nL/δ)/m))",
    letter="R",
    source=BOUNDS["D1"].source,
)
def hidden_norms(context: Context) -> Iterator[Evidence]:
    """The largest deviation of a layer's norm from 1, over m and over L; the control's layers grow."""
    sizes = context.preset.deep
    for made in context.deep_problems():
        for name, points, sweep in (
            ("m", sizes.start_widths, _over_width),
            ("L", tuple(sorted(sizes.depths)), _over_depth),
        ):
            values, control = (_columns(field, sweep(context, made)) for field in ("norms", "grown_norms"))
            yield stays_bounded(
                "D1", _setting(context, made, **{name: 0}), _AT_START, "max |‖h_{i,l}‖ − 1|", name, points, values,
                _shape("D1", context, made, name, points), control=control, control_setting="A, W_l ~ N(0, 4/m)",
            )  # fmt: skip


@claim(
    "D2-upper",
    "at initialization, for every residual: ‖∇F‖² = O(L n m/o) F",
    letter="R",
    source=BOUNDS["D2-upper"].source,
)
def gradient_upper(context: Context) -> Iterator[Evidence]:
    """max over residuals of ‖∇F‖²/F = 2λ_max(Θ), over m, L and n."""
    sizes = context.preset.deep
    for made in context.deep_problems():
        depths, samples = tuple(sorted(sizes.depths)), tuple(sorted(sizes.samples))
        by_samples = [_starts(context, problem(made.kind, n, made.seed)) for n in samples]
        widths = sizes.start_widths
        grown = _TOO_LARGE ** (2 * np.array(depths))
        rows = (
            ("m", widths, _over_width(context, made), np.array(widths) / widths[0], "V's variance grows like m"),
            ("L", depths, _over_depth(context, made), grown, "A, W_l ~ N(0, 4/m)"),
            ("n", samples, by_samples, np.array(samples), "the bound's factor n left out"),
        )
        for name, points, measured, factor, changed in rows:
            values = 2 * _columns("largest", measured)
            yield stays_bounded(
                "D2-upper", _setting(context, made, **{name: 0}), _AT_START, "max ‖∇F‖²/F = 2λ_max(Θ)", name, points,
                values, _shape("D2-upper", context, made, name, points), control=values * factor,
                control_setting=changed,
            )  # fmt: skip


def _lower(context: Context, claim_id: str) -> Iterator[Evidence]:
    """min over residuals of ‖∇F‖²/F = 2λ_min(Θ), over m, n and, on planted data, 1/φ."""
    for made in context.deep_problems():
        rows = [_lower_in_width(context, made)]
        if made.kind.startswith("planted"):
            rows += [_lower_in_samples(context, made), _lower_in_separation(context, made)]
        for name, points, measured, control, changed in rows:
            shape = "phi" if name == "1/φ" else name
            at = tuple(1 / p for p in points) if name == "1/φ" else points
            yield stays_bounded(
                claim_id, _setting(context, made, **{name: 0}), _AT_START, "min ‖∇F‖²/F = 2λ_min(Θ)", name, points,
                2 * measured, _shape(claim_id, context, made, shape, at), control=2 * control, control_setting=changed,
                at_least=True,
            )  # fmt: skip


_Row = tuple[str, tuple[float, ...], np.ndarray, np.ndarray, str]


def _lower_in_width(context: Context, made: Problem) -> _Row:
    widths = context.preset.deep.start_widths
    values = _columns("smallest", _over_width(context, made))
    # Ten outputs have more rows in Θ than the narrowest networks have neurons: λ_min rises like m² and more there.
    power = 3 if made.dataset.targets.ndim == 2 else 1
    shrunk = values * (widths[0] / np.array(widths)) ** power
    return "m", widths, values, shrunk, f"V's variance shrinks like 1/m{'³' if power == 3 else ''}"


def _lower_in_samples(context: Context, made: Problem) -> _Row:
    sizes = context.preset.deep
    samples = tuple(sorted(sizes.samples))
    closer = [f"planted {sizes.separations[0] * (samples[0] / n) ** 4:g}" for n in samples]
    values, control = (
        _columns(
            "smallest", [_starts(context, problem(kind, n, made.seed)) for kind, n in zip(kinds, samples, strict=True)]
        )
        for kinds in ([made.kind] * len(samples), closer)
    )
    return "n", samples, values, control, "the pair draws closer like n^(−4), unseen by the bound"


def _lower_in_separation(context: Context, made: Problem) -> _Row:
    distances = tuple(sorted(context.preset.deep.separations, reverse=True))
    kinds = [f"planted {phi:g}" for phi in distances]
    values = _columns("smallest", [_starts(context, problem(kind, made.num_samples, made.seed)) for kind in kinds])
    # Against mφ/(o n^p) with its φ at the first distance throughout, as if the bound did not know of it.
    unseen = values * np.array(distances) / distances[0]
    return "1/φ", tuple(1 / phi for phi in distances), values, unseen, "the bound's factor φ left out"


@claim("D2-lower", "at initialization, for every residual: ‖∇F‖² = Ω(mφ/(o n²)) F",
       letter="R", source=BOUNDS["D2-lower"].source)  # fmt: skip
def gradient_lower(context: Context) -> Iterator[Evidence]:
    """The published form with n²."""
    yield from _lower(context, "D2-lower")


@claim("D2-sharper", "at initialization, for every residual: ‖∇F‖² = Ω(mφ/(o n)) F",
       letter="R", source=BOUNDS["D2-sharper"].source)  # fmt: skip
def gradient_lower_sharper(context: Context) -> Iterator[Evidence]:
    """The sharper form with n."""
    yield from _lower(context, "D2-sharper")


@claim(
    "D5",
    "Θ(W(0))/m → Θ^∞, the infinite-width kernel with A and V frozen, with an error of Θ(m^{-1/2})",
    letter="P",
    source="Jacot, Gabriel and Hongler 2018; Arora et al. 2019; docs/theory.md, D5",
)
def limit(context: Context) -> Iterator[Evidence]:
    """Spectral norm of the error over m; the control takes neural-tangents' kernel without the factor ½."""
    widths = context.preset.deep.start_widths
    for made in context.deep_problems():
        points = _over_width(context, made)
        found, control = (slope(widths, _columns(name, points)) for name in ("error", "doubled"))
        yield Evidence(
            "D5", f"{_setting(context, made, m=0)}; over m = {widths[0]} … {widths[-1]}", _AT_START,
            Condition(f"exponent of ‖Θ/m − Θ^∞‖₂ within −0.5 ± {TOLERANCE:g}; its interval "
                      f"{'contains' if -0.5 in found else 'does not contain'} −0.5",
                      holds_as_exponent(found, -0.5, TOLERANCE)),
            found.estimate, -0.5,
            Control("limit twice as large", holds_as_exponent(control, -0.5, TOLERANCE) is False, control.estimate),
            interval=(found.lower, found.upper), trials=context.preset.deep.start_seeds,
        )  # fmt: skip
