"""The infinite-width kernel: closed form, positive definiteness, and how separation bounds λ0: K1, K2, K3."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import scipy.stats
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.separation import SAME_ROW
from ntk_localsgd.statistics import Interval
from verification.claims.kernel.premises import EQUALITY_LEVEL, unit_norms
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.limits import Activity, LimitSpectrum, NeuralTangentsGap
from verification.judging import at_least, at_most
from verification.papers import CLASSICAL, DU, OWN
from verification.registry import claim
from verification.store import Job

__all__: list[str] = []

_NEURONS = 200_000

# Distances of a planted pair, beside the data as they are: K3.
_DISTANCES = (0.3, 0.1, 0.03, 0.01, 0.001)


def _routes(context: Context, problem: Problem) -> tuple[NeuralTangentsGap, NeuralTangentsGap, Activity, Activity]:
    """neural-tangents with one row twice as long as the control, and Monte-Carlo about another mean."""
    source = problem.source
    sample = Activity(source, _NEURONS, context.seed, f"K1 {source.kind}")
    shifted = dataclasses.replace(sample, shift=0.5)
    return NeuralTangentsGap(source), NeuralTangentsGap(source, stretch=2.0), sample, shifted


def _all_routes(context: Context) -> Iterator[Job]:
    for problem in context.problems(context.preset.kernel_samples):
        yield from _routes(context, problem)


@claim(
    "K1",
    "‖x_i‖ = 1, w ~ N(0, I) ⇒ E[⟨x_i, x_j⟩ 1{w·x_i ≥ 0} 1{w·x_j ≥ 0}] = G_ij (π − arccos G_ij) / 2π, by formula, "
    "neural-tangents and Monte-Carlo alike",
    letter="P",
    source="Cho and Saul 2009; Arora et al. 2019",
    paper=CLASSICAL,
    needs=_all_routes,
)
def closed_form(context: Context, results: Results) -> Iterator[Evidence]:
    """Formula against neural-tangents' kernel to 1e-12, and against Monte-Carlo within its confidence intervals."""
    for problem in context.problems(context.preset.kernel_samples):
        peer, stretched, sample, shifted = _routes(context, problem)
        yield at_most(
            problem.setting | {"case": "neural-tangents, off the diagonal"},
            Condition("rows of unit norm", unit_norms(problem)),
            "max_{i≠j} |formula − neural-tangents| ≤ 1e-12",
            float(results[peer].gap),
            # Both routes round; neural-tangents' arccos loses about u/√(1 − G²), below 1e-12 for angles above 1e-3.
            1e-12,
            control=float(results[stretched].gap),
            control_setting="one row twice as long for neural-tangents",
        )
        yield at_most(
            problem.setting | {"case": f"Monte-Carlo, {_NEURONS} neurons"},
            Condition("w ~ N(0, I), ‖x_i‖ = 1", sample.shift == 0 and unit_norms(problem)),
            f"all entries inside their {EQUALITY_LEVEL:.1%} joint Clopper–Pearson intervals",
            _half_widths(problem, results[sample].hits.values, sample.neurons),
            1.0,
            control=_half_widths(problem, results[shifted].hits.values, shifted.neurons),
            control_setting="w ~ N(x_1/2, I)",
        )


def _half_widths(problem: Problem, hits: np.ndarray, neurons: int) -> float:
    """Worst distance of H^∞_ij from the estimate, in half-widths of its interval: at most 1 when all are inside."""
    pairs = np.tril_indices(problem.num_samples)
    tail = (1 - EQUALITY_LEVEL) / (2 * len(pairs[0]))
    low = scipy.stats.beta.ppf(tail, hits[pairs], neurons - hits[pairs] + 1)
    high = scipy.stats.beta.ppf(1 - tail, hits[pairs] + 1, neurons - hits[pairs])
    inner = problem.inner[pairs]
    centre, half = inner * (low + high) / 2, np.abs(inner) * (high - low) / 2
    # Orthogonal rows have entries 0 = 0 and an interval of no width: nothing to decide there.
    wide = half > np.finfo(np.float64).eps
    return float((np.abs(problem.gram[pairs] - centre)[wide] / half[wide]).max())


def _spectra(problem: Problem) -> tuple[LimitSpectrum, LimitSpectrum]:
    """As the inputs are, and with one of them repeated."""
    return LimitSpectrum(problem.source), LimitSpectrum(problem.source, "repeated")


def _antipodal_spectra(problem: Problem) -> tuple[LimitSpectrum, LimitSpectrum]:
    """With one antipodal pair, and with three in a plane."""
    return LimitSpectrum(problem.source, "antipode"), LimitSpectrum(problem.source, "with coplanar pairs")


def _close_pairs(problem: Problem) -> list[LimitSpectrum]:
    """As the inputs are, and with a pair at every distance."""
    source = problem.source
    return [LimitSpectrum(source), *(LimitSpectrum(source, "close pair", distance) for distance in _DISTANCES)]


def _coplanar(problem: Problem) -> LimitSpectrum:
    return LimitSpectrum(problem.source, "coplanar pairs")


def _all_spectra(context: Context) -> Iterator[Job]:
    for problem in context.problems(context.preset.sweep_samples):
        yield from _spectra(problem)
        yield from _antipodal_spectra(problem)
        yield from _close_pairs(problem)
        yield _coplanar(problem)


@claim(
    "K2",
    "no two inputs parallel ⇒ λ0 = λ_min(H^∞) > 0, decided by a certified lower bound",
    letter="P",
    source="Du et al. 2019, Theorem 3.1",
    paper=DU,
    needs=_all_spectra,
)
def positivity(context: Context, results: Results) -> Iterator[Evidence]:
    """A certified lower bound of λ0 above 0; with an input repeated it must not exist."""
    for problem in context.problems(context.preset.sweep_samples):
        plain, repeated = (results[job] for job in _spectra(problem))
        premise = Condition("no two inputs are parallel", bool(_separation(plain) > SAME_ROW))
        yield _positivity(problem.setting, premise, plain, repeated, "the first input repeated")


@claim(
    "K2-sharp",
    "H^∞ is singular iff an input repeats or the directions of the antipodal pairs are linearly dependent",
    letter="D",
    source="docs/theory.md, K2",
    paper=OWN,
    needs=_all_spectra,
)
def positivity_sharp(context: Context, results: Results) -> Iterator[Evidence]:
    """One antipodal pair is harmless, three coplanar pairs are singular."""
    for problem in context.problems(context.preset.sweep_samples):
        one, three = (results[job] for job in _antipodal_spectra(problem))
        premise = Condition(
            "no input repeats, directions of antipodal pairs independent",
            bool(one.apart > SAME_ROW and one.dependent == 0),
        )
        setting = problem.setting | {"case": "and −x_1"}
        yield _positivity(setting, premise, one, three, "three antipodal pairs in one plane")


def _separation(spectrum: xr.Dataset) -> float:
    """φ±."""
    return min(float(spectrum.apart), float(spectrum.antipodes_apart))


def _positivity(
    setting: Mapping[str, object], premise: Condition, plain: xr.Dataset, broken: xr.Dataset, how: str
) -> Evidence:
    # Singular, as far as an enclosure can say: no positive lower bound, and the upper end no wider than it may be.
    resolution = float(broken.resolution)
    singular = float(broken.lower) <= 0 and float(broken.upper) <= resolution
    return at_least(
        setting,
        premise,
        "certified lower bound of λ0 > 0; ± is the width that an enclosure of 0 may have",
        Interval(float(plain.lower), float(plain.lower), float(plain.upper)),
        0.0,
        tolerance=resolution,
        also=True if plain.lower > 0 else None,
        control=Interval(float(broken.lower), float(broken.lower), float(broken.upper)),
        control_setting=f"{how}: λ0 ≤ {float(broken.upper):.1g}",
        control_also=not singular,
    )


@claim(
    "K3",
    "λ0 ≥ φ± / (100 n²), φ± = min_{i≠j} min(‖x_i − x_j‖, ‖x_i + x_j‖)",
    letter="R",
    source=BOUNDS["K3"].source,
    paper=CLASSICAL,
    needs=_all_spectra,
)
def separation(context: Context, results: Results) -> Iterator[Evidence]:
    """Certified λ0 over the bound, down to nearly parallel pairs; in the control separation counts distances alone."""
    for problem in context.problems(context.preset.sweep_samples):
        spectra = [results[job] for job in _close_pairs(problem)]
        separations = [_separation(spectrum) for spectrum in spectra]
        bounds = [BOUNDS["K3"].evaluate(n=problem.num_samples, phi=phi) for phi in separations]
        lowest = [float(spectrum.lower) for spectrum in spectra]
        worst = int(np.argmin(np.array(lowest) / bounds))
        # H^∞ of these points is singular (K2-sharp), yet no two of them are close: the upper end lies below the bound.
        pairs = results[_coplanar(problem)]
        without_antipodes = BOUNDS["K3"].evaluate(n=int(pairs.num_samples), phi=float(pairs.apart))
        yield at_least(
            problem.setting | {"case": f"as it is and with a pair at {_DISTANCES[0]:g} … {_DISTANCES[-1]:g}"},
            Condition("no two inputs are parallel", bool(min(separations) > SAME_ROW)),
            f"certified lower bound of λ0 ≥ φ±/(100 n²); closest at φ± = {separations[worst]:.2g}",
            lowest[worst],
            bounds[worst],
            control=float(pairs.upper) / without_antipodes,
            control_setting="three antipodal pairs in a plane, ‖x_i + x_j‖ left out of the separation: upper end over "
            "the bound",
            control_bound=1.0,
        )
