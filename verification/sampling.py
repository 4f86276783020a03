"""Networks at their random initialization, their Gram matrices, and evidence from one value a seed."""

from collections.abc import Iterator

import jax
import numpy as np

from ntk_localsgd import kernels
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.networks import TwoLayerReLU
from ntk_localsgd.statistics import failure_interval, holds_with_probability
from verification.context import Context, Problem

__all__ = ["DELTA", "gram_at", "initial_networks", "smallest_lower", "with_probability", "worst_over_decay"]

#: The failure probability at which every "with probability ≥ 1 − δ" is checked.
DELTA = 0.05


def initial_networks(context: Context, purpose: str, made: Problem, width: int, trials: int) -> Iterator[TwoLayerReLU]:
    """Independent networks at initialization, in float32: patterns are what is used, and they are counted exactly."""
    key = context.key(f"{purpose} {made.kind} {width}")
    for trial in range(trials):
        yield TwoLayerReLU.init(
            jax.random.fold_in(key, trial), width=width, input_dim=made.dataset.input_dim, dtype=np.float32
        )


def gram_at(net: TwoLayerReLU, made: Problem) -> np.ndarray:
    """H(W) in float64 from exact counts, G ∘ counts / m: entries round no worse than those of H^∞."""
    return made.inner * np.asarray(kernels.pattern_counts(net, made.inputs), np.float64) / net.width


def smallest_lower(gram: np.ndarray, made: Problem, *, error: float = 0.0) -> float:
    """Certified lower bound of λ_min of a Gram matrix computed from the problem's inner products."""
    rounding = kernels.infinite_gram_error(*made.inputs.shape)
    return kernels.smallest_eigenvalue((gram + gram.T) / 2, error=rounding + error).lower


def worst_over_decay(losses: np.ndarray, rate: float, made: Problem, width: int) -> np.ndarray:
    """max_{t ≥ 1} of ‖r(t)‖² over rate^t ‖r(0)‖², per seed, from losses [seed round]; at t = 0 the two are equal.

    Losses at rounding level are compared with that level: the bound goes on falling where float64 cannot.
    """
    floor = (1e-12 * np.sqrt(width) * made.num_samples) ** 2
    bounds = 2 * losses[:, :1] * np.exp(np.arange(1, losses.shape[1]) * np.log(rate))
    return (2 * losses[:, 1:] / np.maximum(bounds, floor)).max(axis=1)


def with_probability(
    claim: str,
    setting: str,
    premise: Condition,
    text: str,
    values: np.ndarray,
    bound: float,
    *,
    control: np.ndarray,
    control_setting: str,
    at_least: bool = False,
    delta: float = DELTA,
) -> Evidence:
    """Evidence for "value ≤ bound (or ≥, with ``at_least``) with probability ≥ 1 − δ", one independent value a seed.

    The control's values are judged in the same way; it broke if their interval lies wholly above δ.
    """
    failures, broken = (int((~(v >= bound if at_least else v <= bound)).sum()) for v in (values, control))
    worst = np.min if at_least else np.max
    rate = failure_interval(failures, len(values))
    holds = holds_with_probability(failures, len(values), delta)
    control_fails = holds_with_probability(broken, len(control), delta) is False
    return Evidence(
        claim,
        setting,
        premise,
        Condition(f"{text}, with probability ≥ {1 - delta:g}", holds),
        float(worst(values)),
        bound,
        Control(control_setting, control_fails, float(worst(control))),
        interval=(rate.lower, rate.upper),
        trials=len(values),
        failures=failures,
    )
