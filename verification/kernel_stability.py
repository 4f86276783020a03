"""The kernel while the weights stay in a ball around their initialization: K6."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.bounds.du_2019 import stability_radius
from ntk_localsgd.evidence import Condition, Control, Evidence
from verification.claims import claim
from verification.context import Context, Problem
from verification.sampling import DELTA, smallest_lower, with_probability

_WIDTH = 4096

# A control's ball: neurons this far from home can be turned off on any sample.
_FAR = 6.0


class Perturbed(NamedTuple):
    """A network at initialization, the worst weights found in a ball, and what can flip there.

    ``before``, ``after`` are activation patterns [n m]; ``uncertain`` [n m] marks A_i(R) for the radius of the claim;
    ``movement`` is max_r ‖w_r − w_r(0)‖.
    """

    before: np.ndarray
    after: np.ndarray
    uncertain: np.ndarray
    movement: float


def worst_in_ball(weights: np.ndarray, inputs: np.ndarray, radius: float, *, on: bool) -> np.ndarray:
    """Weights at most ``radius`` away, neuron by neuron, that turn as many (neuron, sample) pairs on (off) as we can.

    Each neuron that can reach a kink moves straight across the nearest one of the wanted kind. All changes then have
    one sign, so that they add up in the Gram matrix instead of cancelling.
    """
    z = weights @ inputs.T
    distance = np.where((z < 0) == on, np.abs(z), np.inf)
    nearest = distance.argmin(axis=1)
    reach = distance[np.arange(len(weights)), nearest]
    step = reach * (1 + 1e-9) + 1e-12  # just across, so that rounding cannot leave it on the kink
    moves = step <= radius * (1 - 1e-12)  # rounding must not lead out of the ball
    direction = (1.0 if on else -1.0) * inputs[nearest]
    return weights + np.where(moves, step, 0.0)[:, None] * direction


def _perturb(
    context: Context, made: Problem, trial: int, radius: float, attack_radius: float, width: int = _WIDTH
) -> Iterator[Perturbed]:
    """One network in float64, perturbed: all samples on, all off, the first sample off, and at random.

    Without an attack radius, once and unmoved.
    """
    rng = np.random.default_rng([context.seed, trial, made.num_samples, len(made.kind)])
    weights = rng.standard_normal((width, made.dataset.input_dim))
    z = weights @ made.inputs.T
    before, uncertain = (z >= 0).T, (np.abs(z) <= radius).T
    if not attack_radius:
        yield Perturbed(before, before, uncertain, 0.0)
        return
    for aim, on in ((made.inputs, True), (made.inputs, False), (made.inputs[:1], False), (None, False)):
        if aim is None:
            step = rng.standard_normal(weights.shape)
            step *= (1 - 1e-12) * attack_radius / np.linalg.norm(step, axis=1, keepdims=True)
            moved = weights + step
        else:
            moved = worst_in_ball(weights, aim, attack_radius, on=on)
        movement = float(np.linalg.norm(moved - weights, axis=1).max())
        yield Perturbed(before, (moved @ made.inputs.T >= 0).T, uncertain, movement)


def _pair_counts(patterns: np.ndarray) -> np.ndarray:
    """Neurons active on both samples, exact in float64."""
    p = patterns.astype(np.float64)
    return p @ p.T


def union_counts(uncertain: np.ndarray) -> np.ndarray:
    """|A_i ∪ A_j|."""
    both = _pair_counts(uncertain)
    sizes = np.diagonal(both)
    return sizes[:, None] + sizes[None, :] - both


@claim(
    "K6a",
    "max_r ‖w_r − w_r(0)‖ ≤ R ⇒ |H_ij(W) − H_ij(0)| ≤ |G_ij| |A_i ∪ A_j| / m, A_i = {r : |w_r(0)·x_i| ≤ R}",
    letter="D",
    source="docs/theory.md, K6",
)
def counts(context: Context) -> Iterator[Evidence]:
    """Exact integers: how many common activations change, against how many can, at the worst weights in the ball."""
    for made in context.problems(context.preset.kernel_samples):
        for radius in (0.01, 0.1):
            (worst, movement), (control, _) = (
                _worst_ratio(context, made, radius, attack) for attack in (radius, 10 * radius)
            )
            yield Evidence(
                "K6a", f"{made}, m = {_WIDTH}, R = {radius:g}",
                Condition(f"W in the ball: max_r ‖w_r − w_r(0)‖ = {movement:.4g}", movement <= radius),
                Condition("change of counts ≤ |A_i ∪ A_j| for all i, j", worst <= 1), worst, 1.0,
                Control("W in a ball of 10 R", control > 1, control), trials=context.preset.trials,
            )  # fmt: skip


def _worst_ratio(context: Context, made: Problem, radius: float, attack_radius: float) -> tuple[float, float]:
    """max over seeds, attacks and pairs of |change of counts| / |A_i ∪ A_j| (0/0 is 0), and the largest movement."""
    worst = movement = 0.0
    for trial in range(context.preset.trials):
        for attack in _perturb(context, made, trial, radius, attack_radius):
            change = np.abs(_pair_counts(attack.after) - _pair_counts(attack.before))
            allowed = union_counts(attack.uncertain)
            ratio = np.divide(change, allowed, out=np.where(change > 0, np.inf, 0.0), where=allowed > 0)
            worst, movement = max(worst, float(ratio.max())), max(movement, attack.movement)
    return worst, movement


@claim(
    "K6b",
    "with probability ≥ 1 − δ: Σ_ij sup_ball |H_ij(W) − H_ij(0)| ≤ 4n²R / (√(2π) δ)",
    letter="P",
    source=BOUNDS["K6b"].source,
)
def sum_over_ball(context: Context) -> Iterator[Evidence]:
    """The supremum is bounded from above by counts (K6a), so that holding here holds for every W in the ball."""
    radius = 0.002
    for made in context.problems(context.preset.kernel_samples):
        bound = BOUNDS["K6b"].evaluate(n=made.num_samples, R=radius, delta=DELTA)
        sums, control = (_count_sums(context, made, r) for r in (radius, 500 * radius))
        yield with_probability(
            "K6b", f"{made}, m = {_WIDTH}, R = {radius:g}", Condition("w ~ N(0, I)", True),
            f"Σ_ij |G_ij| |A_i ∪ A_j| / m ≤ {bound:.4g}", sums, bound,
            control=control, control_setting="W in a ball of 500 R",
        )  # fmt: skip


def _count_sums(context: Context, made: Problem, radius: float) -> np.ndarray:
    scale = np.abs(made.inner) / _WIDTH
    still = (next(_perturb(context, made, trial, radius, 0.0)) for trial in range(context.preset.trials))
    return np.array([(scale * union_counts(network.uncertain)).sum() for network in still])


@claim(
    "K6b-radius",
    "m as in K4b at δ/2, R = √(2π) (δ/2) λ0 / 16n² ⇒ λ_min(H(W)) ≥ λ0/2 for all W in the ball, "
    "with probability ≥ 1 − δ",
    letter="P",
    source=BOUNDS["K6b"].source,
)
def smallest_over_ball(context: Context) -> Iterator[Evidence]:
    """λ_min(H(0)) minus the norm of the largest possible change bounds λ_min over the ball from below."""
    for made in context.problems(context.preset.kernel_samples):
        n, lambda0 = made.num_samples, made.lambda0.lower
        radius = stability_radius().evaluate(n=n, delta=DELTA / 2, lambda0=lambda0)
        asked = BOUNDS["K4b"].smallest_width(n=n, delta=DELTA / 2, lambda0=lambda0, spectral=made.spectral_norm)
        values, control = (_lowest(context, made, radius, attack, asked) for attack in (0.0, _FAR))
        yield with_probability(
            "K6b-radius", f"{made}, m = {asked}, R = {radius:.3g}",
            Condition(f"m ≥ {asked}", True), "λ_min(H(W)) ≥ λ0/2 for every W in the ball",
            values, made.lambda0.upper / 2, control=control, control_setting=f"W in a ball of radius {_FAR:g}",
            at_least=True,
        )  # fmt: skip


def _lowest(context: Context, made: Problem, radius: float, attack_radius: float, width: int) -> np.ndarray:
    """Per seed: a lower bound of λ_min over the ball or, attacked, the λ_min found outside it."""
    lowest = []
    for trial in range(context.preset.trials):
        values = []
        for found in _perturb(context, made, trial, radius, attack_radius, width):
            possible = 0.0 if attack_radius else np.linalg.norm(made.inner * union_counts(found.uncertain)) / width
            values.append(smallest_lower(made.inner * _pair_counts(found.after) / width, made, error=float(possible)))
        lowest.append(min(values))
    return np.array(lowest)


@claim(
    "K6c",
    "m ≥ 10 log(n²/δ)/R ⇒ ‖H(W) − H(0)‖_F ≤ 2nR in the ball, with probability ≥ 1 − δ",
    letter="R",
    source=BOUNDS["K6c"].source,
)
def norm_over_ball(context: Context) -> Iterator[Evidence]:
    """At the worst weights found in the ball; the statement is about true changes, not about counts."""
    for made in context.problems(context.preset.kernel_samples):
        n = made.num_samples
        # So wide that 2nR lies below what the kernel can change at all, and the control can break.
        width = _WIDTH * max(1, n // 8) ** 2
        radius = 10 * np.log(n**2 / DELTA) / width * (1 + 1e-12)  # rounding must not decide the premise
        bound = BOUNDS["K6c"].evaluate(n=n, R=radius)
        met = BOUNDS["K6c"].premise_met(n=n, m=width, R=radius, delta=DELTA)
        changes, control = (_changes(context, made, radius, attack, width) for attack in (radius, _FAR))
        yield with_probability(
            "K6c", f"{made}, m = {width}, R = {radius:.3g}", Condition("m ≥ 10 log(n²/δ)/R", met),
            f"‖H(W) − H(0)‖_F ≤ {bound:.4g} at the worst W found", changes, bound,
            control=control, control_setting=f"W in a ball of radius {_FAR:g}",
        )  # fmt: skip


def _changes(context: Context, made: Problem, radius: float, attack_radius: float, width: int) -> np.ndarray:
    return np.array([
        max(
            np.linalg.norm(made.inner * (_pair_counts(attack.after) - _pair_counts(attack.before))) / width
            for attack in _perturb(context, made, trial, radius, attack_radius, width)
        )
        for trial in range(context.preset.trials)
    ])  # fmt: skip
