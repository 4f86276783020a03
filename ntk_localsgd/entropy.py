"""Entropy of what a layer puts out, in nats: of binned values, and what leaky ReLU does to the differential one."""

import math
from typing import Any

import numpy as np
import scipy.stats
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import LeakyReLU
from ntk_localsgd.scalars import positive_number
from ntk_localsgd.statistics import LEVEL, Interval, failure_interval

__all__ = ["binned_entropy", "entropy_change", "estimated_change"]


def binned_entropy(values: Any, bin_width: float) -> float:
    """H = −Σ_k p_k log p_k, p_k the share of values in [kw, (k + 1)w).

    Parameters
    ----------
    values
        An array of one or two axes, all of whose entries count alike.
    bin_width
        w.

    Raises
    ------
    InputError
        For values that are not finite, or a width that is not positive.

    >>> binned_entropy([0.1, 0.2, 1.5, -0.5], 1.0) == 1.5 * math.log(2)
    True
    """
    width = positive_number("bin_width", bin_width)
    with np.errstate(over="ignore"):  # refused below
        bins = np.floor(real_array("values", values, ndim=(1, 2)) / width)
    if not np.isfinite(bins).all():
        raise InputError(f"bin_width is {width:g}, needs to be wide enough for the values' bins to be numbered.")
    return float(scipy.stats.entropy(np.unique(bins, return_counts=True)[1]))


def entropy_change(activation: LeakyReLU, below: Any) -> float:
    """E1 [D]: h(σ(X)) − h(X) = Σ_i P(X_i < 0) log α for a vector X with a density, dependent or not.

    σ is one-to-one with slope 1 or α: by change of variables h(σ(X)) = h(X) + E log |det Dσ(X)|.

    Parameters
    ----------
    activation
        Leaky ReLU with slope 0 < α ≤ 1 below 0; of ReLU, α = 0, the entropy is −∞ where anything is below 0.
    below
        P(X_i < 0), a number or an array.

    Raises
    ------
    InputError
        For another activation, or shares outside [0, 1].

    >>> round(entropy_change(LeakyReLU(0.1), 0.5), 4)
    -1.1513
    """
    if not isinstance(activation, LeakyReLU):
        raise InputError(f"activation is {activation!r}, needs to be a LeakyReLU: a slope of 1 or α.")
    shares = real_array("below", below, ndim=(0, 1, 2))
    if not ((shares >= 0) & (shares <= 1)).all():
        raise InputError(
            f"below holds {shares[(shares < 0) | (shares > 1)].flat[0]}, needs to hold shares from 0 to 1."
        )
    total = float(shares.sum())
    return total * math.log(activation.negative_slope) if activation.negative_slope else -math.inf if total else 0.0


def estimated_change(samples: Float[ndarray, " n"], activation: LeakyReLU, *, level: float = LEVEL) -> Interval:
    """h(σ(X)) − h(X) by Vasicek's estimator (SciPy's ``differential_entropy``) before and after σ, with its interval.

    The estimator averages logarithms of spacings X_(i+m) − X_(i−m) of sorted samples, m = ⌊√n + ½⌋. Those of samples
    below 0 shrink by α, those of none by 1, the others by something between: the two estimates differ by (N/n) log α up
    to (m/n) |log α|, N the number of samples below 0. The interval is Clopper and Pearson's for P(X < 0) log α, moved
    from (N/n) log α to the estimate and widened by (m/n) |log α|: its coverage is at least ``level``.

    Parameters
    ----------
    samples
        Independent ones of a number with a density.
    activation
        0 < α ≤ 1.
    level
        Of the interval.

    Raises
    ------
    InputError
        For ReLU, whose output has no density, fewer than 16 samples, or samples that are not finite.

    References
    ----------
    Vasicek, A test for normality based on sample entropy (1976).
    """
    x = real_array("samples", samples, ndim=1)
    slope, window = activation.negative_slope, math.floor(math.sqrt(len(x)) + 0.5)
    if not slope or len(x) < 16:
        raise InputError(f"slope and samples are {slope:g} and {len(x)}, need to be above 0 and at least 16.")
    before, after = (
        float(scipy.stats.differential_entropy(v, window_length=window, method="vasicek"))
        for v in (x, activation.on_host(x)[0])
    )
    share, logarithm = failure_interval(int((x < 0).sum()), len(x), level=level), math.log(slope)
    allowed, moved = window / len(x) * -logarithm, after - before - share.estimate * logarithm
    return Interval(
        after - before, share.upper * logarithm + moved - allowed, share.lower * logarithm + moved + allowed
    )
