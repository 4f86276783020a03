"""From a mean rate to all rounds at once: V(t) ≤ v_t V(0) for all t, with probability ≥ 1 − δ."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.rounding import SLACK

__all__ = ["Envelope", "envelope"]

# Rounds that are summed one by one; the rest of a series is geometric.
_ROUNDS = 20_000

# What v_t has fallen to, as a logarithm, where the geometric rest begins.
_LOWEST = -60.0

# Powers of V beyond this gain nothing.
_LARGEST_POWER = 1e6

# Logarithms and exponentials are off by far less, relatively.
_PAD = 1e-12

# Shares of ηa‖r_B‖² that pay for the growth: the best of these.
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5)


class Envelope(NamedTuple):
    """v_0, Σ_t v_t^{1/2}, ω_0 + Σ_{t≥1} (ω_t − ω_{t−1}) v_t with ω = v^{-1/2}, and the slowest rate with its factor.

    V(t) ≤ ``factor``·``rate``^t V(0) for all t, on the same event.
    """

    first: float
    roots: float
    weighted: float
    factor: float
    rate: float

    def path(self, growth: float) -> tuple[float, float]:
        """(s, 𝔈), 𝔈 = [ω_0 + Σ(ω_t − ω_{t−1})v_t + (ḡ/s)Σ v_t^{1/2}]/(1 − s), for the s that makes it least."""
        values = ((s, (self.weighted + growth / s * self.roots) / (1 - s) * SLACK) for s in _SHARES)
        return min(values, key=lambda value: value[1])


def envelope(mean: float, worst: float, delta: float) -> Envelope | None:
    """Ville's inequality for V^θ ρ^{-θt}, ρ^θ = Y^{θ−1}μ, at three powers θ ≥ 1.

    V(t+1) ≤ Y V(t) always and E V(t+1) ≤ μ V(t) make y^θ ≤ Y^{θ−1}y a supermartingale: V(t) ≤ δ_i^{-1/θ}ρ^t V(0) for
    all t, δ_i = δ/3 each. The radius pays δ^{-1/θ}, near 1 for large θ, and not 1/δ.

    Parameters
    ----------
    mean, worst
        μ < 1 and Y.
    delta
        0 where nothing is drawn: V(t) ≤ μ^t V(0).

    Returns
    -------
    None if no power gives a rate below 1.
    """
    gain, spread = -math.log(mean) * (1 - _PAD), max(math.log(max(worst, 1.0)) * (1 + _PAD), _PAD)
    top = min(1 + 0.9 * gain / spread, _LARGEST_POWER)
    powers = sorted({1.0, max(1.0, math.sqrt(top)), max(1.0, top)}) if delta else [1.0]
    events = []
    for power in powers:
        log_rate = (spread * (power - 1) - gain) / power + _PAD if delta else -gain
        log_factor = -math.log(delta / len(powers)) / power * (1 + _PAD) if delta else 0.0
        if log_rate < 0:
            events.append((log_factor, log_rate))
    if not events:
        return None
    t = np.arange(_ROUNDS)
    logs = np.stack([factor + t * rate for factor, rate in events])
    lowest = logs.min(axis=0)
    kept = max(2, int((lowest > _LOWEST).sum()))
    factor, rate = events[int(logs[:, kept - 1].argmin())]
    return _summed(lowest[:kept], factor, rate)


def _summed(logs: Float[ndarray, " T"], factor: float, rate: float) -> Envelope:
    """The series over the rounds kept, and beyond them those of v_t = factor·rate^t."""
    v, omega, root = np.exp(logs), np.exp(-logs / 2), math.exp(rate / 2)
    # From here on v_t ≤ v_T ρ^{t−T}: Σ v^{1/2} is geometric, and (ω_t − ω_{t−1})v_t ≤ (1 − ρ^{1/2})v_t^{1/2} adds one.
    rest = math.sqrt(float(v[-1])) * root / -math.expm1(rate / 2)
    weighted = float(omega[0]) + float(((omega[1:] - omega[:-1]) * v[1:]).sum()) + math.sqrt(float(v[-1])) * root
    wide = SLACK * (1 + 4 * _PAD)
    roots = float(np.sqrt(v).sum()) + rest
    return Envelope(float(v[0]) * wide, roots * wide, weighted * wide, math.exp(factor) * wide, math.exp(rate) * wide)
