"""What leaky ReLU does to the entropy of one number and of vectors: estimated, integrated, by autodiff."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
import scipy.integrate
import scipy.stats
import xarray as xr

from ntk_localsgd import seeds
from ntk_localsgd.entropy import entropy_change, estimated_change
from ntk_localsgd.networks import LeakyReLU

__all__ = ["DISTRIBUTIONS", "EntropyChanges", "VectorEntropy"]

#: SciPy's name, shape parameters, location and scale of distributions with mass on both sides of 0.
DISTRIBUTIONS: tuple[tuple[str, tuple[float, ...], float, float], ...] = (
    ("norm", (), 0.0, 1.0),
    ("norm", (), 1.0, 2.0),
    ("norm", (), -1.0, 0.5),
    ("logistic", (), 0.3, 1.0),
    ("laplace", (), -0.2, 1.0),
    ("t", (3.0,), 0.0, 1.0),
    ("t", (5.0,), 0.5, 2.0),
    ("gumbel_r", (), 0.0, 1.0),
    ("gumbel_l", (), 0.0, 1.0),
    ("uniform", (), -1.0, 3.0),
    ("uniform", (), -0.2, 1.0),
    ("cosine", (), 0.5, 1.0),
    ("hypsecant", (), 0.0, 1.0),
    ("skewnorm", (4.0,), -0.5, 1.0),
    ("exponnorm", (1.5,), -1.0, 1.0),
    ("genlogistic", (0.5,), 0.0, 1.0),
    ("beta", (2.0, 3.0), -0.4, 1.0),
    ("triang", (0.3,), -0.5, 1.0),
    ("johnsonsu", (1.0, 2.0), 0.0, 1.0),
    ("semicircular", (), 0.2, 1.0),
)


@dataclasses.dataclass(frozen=True)
class EntropyChanges:
    """h(σ(X)) − h(X) of all distributions, for one slope α; ``level`` is that of each interval."""

    slope: float
    samples: int
    seed: int
    level: float

    def compute(self) -> xr.Dataset:
        """By distribution: the change by the formula, estimated with its interval, and integrated; P(X < 0)."""
        sigma, rows = LeakyReLU(self.slope), []
        for place, (name, shapes, location, scale) in enumerate(DISTRIBUTIONS):
            law = getattr(scipy.stats, name)(*shapes, loc=location, scale=scale)
            # Slopes share their samples: an estimate's error is the same share below 0 for all of them.
            samples = law.rvs(self.samples, random_state=seeds.generator(self.seed, f"E1 {place}"))
            found = estimated_change(samples, sigma, level=self.level)
            formula = entropy_change(sigma, law.cdf(0))
            integrated = _entropy(law.pdf, law.support(), self.slope) - _entropy(law.pdf, law.support(), 1.0)
            rows.append((formula, found.estimate, found.lower, found.upper, integrated, law.cdf(0)))
        names = ("formula", "estimate", "lower", "upper", "integrated", "below")
        columns = zip(names, zip(*rows, strict=True), strict=True)
        return xr.Dataset({name: ("distribution", np.array(column)) for name, column in columns})


def _entropy(density: Callable[[float], float], support: tuple[float, float], slope: float) -> float:
    """−∫ f log f over the density f of σ(X): f_X(y/α)/α below 0 and f_X(y) above."""
    pieces = ((slope * support[0], 0.0, slope), (0.0, support[1], 1.0))
    return sum(
        scipy.integrate.quad(_surprise, low, high, args=(density, factor), limit=200)[0] for low, high, factor in pieces
    )


def _surprise(y: float, density: Callable[[float], float], factor: float) -> float:
    """−f log f at y, f the density of factor·X."""
    with np.errstate(over="ignore"):  # SciPy's densities in their far tails
        value = float(density(y / factor)) / factor
    return -value * float(np.log(value)) if value > 0 else 0.0


@dataclasses.dataclass(frozen=True)
class VectorEntropy:
    """Gaussian vectors X = Ag + μ, dependent entries: log |det Dσ(X)| by autodiff, P(X_i < 0) in closed form."""

    slope: float
    dim: int
    samples: int
    seed: int

    def compute(self) -> xr.Dataset:
        """``log_volume`` [sample] of σ's Jacobian, ``below`` [unit]."""
        rng, sigma = seeds.generator(self.seed, "E1 vectors"), LeakyReLU(self.slope)
        mixing, mean = rng.normal(size=(self.dim, self.dim)), rng.normal(size=self.dim)
        x = rng.normal(size=(self.samples, self.dim)) @ mixing.T + mean
        jacobians = np.asarray(jax.jit(jax.vmap(jax.jacfwd(sigma)))(x), np.float64)
        below = scipy.stats.norm.cdf(0, mean, np.linalg.norm(mixing, axis=1))
        return xr.Dataset({"log_volume": ("sample", np.linalg.slogdet(jacobians)[1]), "below": ("unit", below)})
