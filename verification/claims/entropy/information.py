"""How leaky ReLU changes entropy: E1."""

from collections.abc import Iterator

import numpy as np

from ntk_localsgd.entropy import entropy_change
from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.networks import LeakyReLU
from ntk_localsgd.statistics import mean_interval
from verification.claims.entropy.paper import KULATHUNGA
from verification.claims.kernel.premises import EQUALITY_LEVEL
from verification.context import Context
from verification.engine import Results
from verification.jobs.entropies import DISTRIBUTIONS, EntropyChanges, VectorEntropy
from verification.judging import at_most, equal
from verification.registry import claim

__all__: list[str] = []

#: α of the units looked at.
_SLOPES = (0.9, 0.3, 0.01)


def _changes(context: Context) -> list[EntropyChanges]:
    """One job a slope; intervals hold for all distributions together (Bonferroni)."""
    level = 1 - (1 - EQUALITY_LEVEL) / len(DISTRIBUTIONS)
    return [EntropyChanges(slope, context.preset.entropy.samples, context.seed, level) for slope in _SLOPES]


@claim(
    "E1",
    "X with a density, 0 < α < 1 ⇒ h(σ(X)) = h(X) + P(X < 0) log α",
    letter="D",
    source="docs/theory.md, E1",
    paper=KULATHUNGA,
    needs=_changes,
)
def one_unit(context: Context, results: Results) -> Iterator[Evidence]:
    """Estimated from samples within its interval, and integrated; the control has the slope of another unit, √α."""
    for job in _changes(context):
        found = results[job]
        formula, other = found.formula.values, found.below.values * np.log(job.slope) / 2
        centre, half = (found.upper.values + found.lower.values) / 2, (found.upper.values - found.lower.values) / 2
        premise = Condition(
            f"{len(DISTRIBUTIONS)} distributions with densities, α = {job.slope:g} in (0, 1)", 0 < job.slope < 1
        )
        yield at_most(
            {"case": f"{len(DISTRIBUTIONS)} distributions, estimated", "α": job.slope, "samples": job.samples},
            premise,
            f"largest distance of the formula from the centre of its {EQUALITY_LEVEL:.1%} joint interval, half-widths",
            np.abs(formula - centre) / half,
            1.0,
            control=float((np.abs(other - centre) / half).max()),
            control_setting="the formula with √α",
        )
        yield at_most(
            {"case": f"{len(DISTRIBUTIONS)} distributions, integrated", "α": job.slope},
            premise,
            "largest |formula − ∫ f log f before and after| ≤ 1e-6, of the size that quadrature says it may miss",
            np.abs(formula - found.integrated.values),
            1e-6,
            control=float(np.abs(other - found.integrated.values).max()),
            control_setting="the formula with √α",
        )


def _vectors(context: Context) -> list[VectorEntropy]:
    samples = context.preset.entropy.vectors
    return [VectorEntropy(slope, 6, samples, context.seed) for slope in _SLOPES]


@claim(
    "E1-vectors",
    "X a vector with a density ⇒ h(σ(X)) = h(X) + Σ_i P(X_i < 0) log α, whatever the dependence of its entries",
    letter="D",
    source="docs/theory.md, E1",
    paper=KULATHUNGA,
    needs=_vectors,
)
def vectors(context: Context, results: Results) -> Iterator[Evidence]:
    """The mean log-volume of σ's Jacobian, by autodiff, for dependent Gaussian units."""
    for job in _vectors(context):
        found = results[job]
        sigma, below = LeakyReLU(job.slope), found.below.values
        mean = mean_interval(found.log_volume.values, level=EQUALITY_LEVEL)
        yield equal(
            {"case": "dependent Gaussian units", "units": job.dim, "α": job.slope, "samples": job.samples},
            Condition(f"a density, α = {job.slope:g} in (0, 1)", 0 < job.slope < 1),
            f"E log |det Dσ(X)| = Σ_i P(X_i < 0) log α, in its {EQUALITY_LEVEL:.1%} interval",
            mean,
            entropy_change(sigma, below),
            control=mean,
            control_bound=entropy_change(sigma, below[:-1]),
            control_setting="the last unit left out of the sum",
        )
