"""Activations as values: σ, σ', where σ bends, and what a Gaussian pre-activation makes of both at infinite width."""

import dataclasses
import functools
import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float
from numpy import ndarray

from ntk_localsgd.errors import InputError

__all__ = ["GELU", "RELU", "SOFTPLUS", "TANH", "Activation", "Dual", "LeakyReLU", "Smooth"]

# Terms of the Hermite series of a smooth σ and nodes of the quadrature that gives their coefficients. Of tanh, which
# is analytic least far, the terms left out hold 1e-15 of E σ² at variance 1 and 1e-11 at variance 2.
_TERMS, _NODES = 256, 400


class Dual(NamedTuple):
    """Means over (u, v) Gaussian with mean 0, equal variances and correlation cos θ, for every angle θ asked for."""

    mean: float  # E σ(u)
    square: float  # E σ(u)²
    gap: Float[ndarray, "..."]  # E σ(u)² − E σ(u)σ(v), which keeps its digits where θ is small
    slopes: Float[ndarray, "..."]  # E σ'(u)σ'(v)


@dataclasses.dataclass(frozen=True)
class Activation:
    """σ, applied entry by entry. A plain value: equal ones compare equal, so that jit compiles once."""

    kinks: ClassVar[tuple[float, ...]] = ()  #: where σ' jumps; elsewhere σ is smooth
    steepest: ClassVar[float] = 1.0  #: upper bound on |σ'|
    most_bent: ClassVar[float] = 0.0  #: upper bound on |σ''| between kinks

    @property
    def weight_variance(self) -> float:
        """Variance c of ``weights · √(number of inputs)`` with which a stack of layers begins."""
        raise NotImplementedError

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """σ(z)."""
        raise NotImplementedError

    def times_slope(self, z: Float[Array, "*shape"], factor: Array) -> Array:
        """σ'(z)·factor, with the right-hand derivative at a kink; shapes broadcast axis by axis."""
        raise NotImplementedError

    def slope(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """σ'(z), the right-hand derivative at a kink."""
        return self.times_slope(z, jnp.ones_like(z))

    def on_host(self, z: Float[ndarray, "*shape"]) -> tuple[ndarray, ndarray]:
        """σ(z) and σ'(z) by NumPy, in the dtype of z."""
        raise NotImplementedError

    def dual(self, angles: Float[ndarray, "..."], variance: float = 1.0) -> Dual:
        """Means of σ and σ' over Gaussian pairs of this variance, at angles in [0, π] between them; on the host."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class LeakyReLU(Activation):
    """σ(z) = z for z ≥ 0 and αz below, 0 ≤ α ≤ 1; α = 0 is ReLU. σ'(0) = 1, as in the pattern 1{z ≥ 0}.

    ``jax.nn.relu`` has derivative 0 at 0 and ``jnp.maximum`` has ½; a layer whose inputs are all zero meets this.

    References
    ----------
    Dual: Cho and Saul (2009), eqs. 4–6, through σ(z) = (1 − α)·relu(z) + αz; ``docs/theory.md``, appendix A.
    """

    negative_slope: float = 0.0
    kinks: ClassVar[tuple[float, ...]] = (0.0,)

    def __post_init__(self) -> None:
        slope = self.negative_slope
        if isinstance(slope, bool) or not isinstance(slope, int | float | np.number) or not 0 <= slope <= 1:
            raise InputError(f"negative_slope is {slope!r}, needs to be a number from 0 to 1.")
        object.__setattr__(self, "negative_slope", float(slope))

    @property
    def weight_variance(self) -> float:
        """2/(1 + α²), which keeps E‖h_l‖² from layer to layer."""
        return 2 / (1 + self.negative_slope**2)

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """σ(z) = z·1{z ≥ 0} + αz·1{z < 0}."""
        return self.times_slope(z, z)

    def times_slope(self, z: Float[Array, "*shape"], factor: Array) -> Array:
        """σ'(z)·factor."""
        return jnp.where(z >= 0, factor, self.negative_slope * factor if self.negative_slope else 0)

    def on_host(self, z: Float[ndarray, "*shape"]) -> tuple[ndarray, ndarray]:
        """σ(z) and σ'(z) by NumPy, in the dtype of z."""
        slopes = np.where(z >= 0, z.dtype.type(1), z.dtype.type(self.negative_slope))
        return slopes * z, slopes

    def agreement(self, angles: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
        """2π E σ'(u)σ'(v) = (1 − α)²(π − θ) + 2πα, of any variance."""
        return (1 - self.negative_slope) ** 2 * (np.pi - angles) + 2 * np.pi * self.negative_slope

    def dual(self, angles: Float[ndarray, "..."], variance: float = 1.0) -> Dual:
        """Closed form; the gap is variance·((1 − α)²(1 − κ1) + 2α(1 − cos θ))/2 with κ1 as in `infinite_deep_gram`."""
        alpha, half = self.negative_slope, variance / 2
        gap = (2 * np.pi * np.sin(angles / 2) ** 2 + angles * np.cos(angles) - np.sin(angles)) / np.pi
        if alpha:
            gap = (1 - alpha) ** 2 * gap + 4 * alpha * np.sin(angles / 2) ** 2
        mean = (1 - alpha) * math.sqrt(half / math.pi)
        return Dual(mean, half * (1 + alpha**2), half * gap, self.agreement(angles) / (2 * np.pi))


class _Formula(NamedTuple):
    value: Any
    slope: Any


def _tanh(z: Any, xp: Any, special: Any) -> _Formula:  # noqa: ARG001 (all three formulas take the same)
    return _Formula(xp.tanh(z), 1 - xp.tanh(z) ** 2)


def _softplus(z: Any, xp: Any, special: Any) -> _Formula:
    return _Formula(xp.logaddexp(z, xp.zeros_like(z)), special.expit(z))


def _gelu(z: Any, xp: Any, special: Any) -> _Formula:
    below = special.ndtr(z)
    return _Formula(z * below, below + z * xp.exp(-z * z / 2) / math.sqrt(2 * math.pi))


_FORMULAS = {"tanh": _tanh, "softplus": _softplus, "gelu": _gelu}


@dataclasses.dataclass(frozen=True)
class Smooth(Activation):
    """tanh z, softplus log(1 + eᶻ), or GELU z·Φ(z) (Hendrycks and Gimpel 2016, without approximation), by name.

    The dual is a Hermite series: with a_k the coefficients of σ(√v·x) in the orthonormal Hermite polynomials,
    E σ(u)σ(w) = Σ_k a_k² cosᵏ θ (Daniely, Frostig and Singer 2016). Coefficients come from a Gauss–Hermite rule.
    """

    name: str
    steepest: ClassVar[float] = 1.13  # GELU's at √2; tanh and softplus have 1
    most_bent: ClassVar[float] = 0.8  # GELU's √(2/π) at 0; tanh has 0.77, softplus ¼

    def __post_init__(self) -> None:
        if self.name not in _FORMULAS:
            raise InputError(f"activation is {self.name!r}, needs to be one of {', '.join(_FORMULAS)}.")

    @property
    def weight_variance(self) -> float:
        """1: pre-activations of unit inputs are standard normal."""
        return 1.0

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """σ(z)."""
        return _FORMULAS[self.name](z, jnp, jax.scipy.special).value

    def times_slope(self, z: Float[Array, "*shape"], factor: Array) -> Array:
        """σ'(z)·factor."""
        return _FORMULAS[self.name](z, jnp, jax.scipy.special).slope * factor

    def on_host(self, z: Float[ndarray, "*shape"]) -> tuple[ndarray, ndarray]:
        """σ(z) and σ'(z) by NumPy and SciPy."""
        return tuple(_FORMULAS[self.name](z, np, scipy.special))

    def dual(self, angles: Float[ndarray, "..."], variance: float = 1.0) -> Dual:
        """By the series, to about 1e-12 for a variance of at most 2."""
        value, slope = _coefficients(self.name, float(variance))
        cosines = np.cos(angles)
        squares, slopes = (np.polynomial.polynomial.polyval(cosines, series**2) for series in (value, slope))
        square = float(np.sum(value**2))
        return Dual(float(value[0]), square, square - squares, slopes)


@functools.lru_cache(maxsize=64)
def _coefficients(name: str, variance: float) -> tuple[Float[ndarray, " k"], Float[ndarray, " k"]]:
    """Hermite coefficients of σ(√v·x) and σ'(√v·x)."""
    nodes, weights = scipy.special.roots_hermitenorm(_NODES)
    weights = weights / weights.sum()
    formula = _FORMULAS[name](math.sqrt(variance) * nodes, np, scipy.special)
    before, polynomial = np.zeros_like(nodes), np.ones_like(nodes)
    series = np.empty((2, _TERMS))
    for k in range(_TERMS):
        series[:, k] = np.sum(weights * polynomial * np.array(formula), axis=1)
        before, polynomial = polynomial, (nodes * polynomial - math.sqrt(k) * before) / math.sqrt(k + 1)
    return series[0], series[1]


#: σ(z) = max(z, 0).
RELU = LeakyReLU(0.0)
#: σ(z) = tanh z.
TANH = Smooth("tanh")
#: σ(z) = log(1 + e^z).
SOFTPLUS = Smooth("softplus")
#: σ(z) = z Φ(z), Φ the standard normal distribution function.
GELU = Smooth("gelu")
