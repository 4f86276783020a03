"""The kernel while the weights stay in a ball around their initialization: K6."""

import dataclasses
import itertools
from collections.abc import Iterator

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.bounds.du_2019 import stability_radius
from ntk_localsgd.evidence import Condition, Evidence
from verification.claims.kernel.premises import unit_norms
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.perturbed import Attacked, Uncertain
from verification.jobs.two_layer_ratios import CountRatio
from verification.judging import DELTA, at_most, with_probability
from verification.papers import CLASSICAL, DU, OWN
from verification.registry import claim

__all__: list[str] = []

_WIDTH = 4096

# A control's ball: neurons this far from home can be turned off on any sample.
_FAR = 6.0

_NORMAL = "w ~ N(0, I), ‖x_i‖ = 1"


def _count_changes(context: Context) -> Iterator[tuple[Attacked, Attacked]]:
    """Worst weights in balls of two radii, and in balls ten times as large."""
    for problem, radius in itertools.product(context.problems(context.preset.kernel_samples), (0.01, 0.1)):
        purpose = f"K6a {problem.source.kind}"
        inside = Attacked(problem.source, _WIDTH, context.preset.trials, radius, context.seed, purpose, radius)
        yield inside, dataclasses.replace(inside, attack_radius=10 * radius)


@claim(
    "K6a",
    "max_r ‖w_r − w_r(0)‖ ≤ R ⇒ |H_ij(W) − H_ij(0)| ≤ |G_ij| |A_i ∪ A_j| / m, A_i = {r : |w_r(0)·x_i| ≤ R}",
    letter="D",
    source="docs/theory.md, K6",
    paper=OWN,
    needs=lambda context: itertools.chain(*_count_changes(context)),
    attack={f"n = {n}, d = {d}, m = {m}": CountRatio(n, d, m) for n, d, m in ((1, 2, 4), (3, 3, 8), (6, 4, 16))},
)
def counts(context: Context, results: Results) -> Iterator[Evidence]:
    """Exact integers: how many common activations change, against how many can, at the worst weights in the ball."""
    for inside, outside in _count_changes(context):
        movement = float(results[inside].movement.values.max())
        yield at_most(
            inside.data.load().setting | {"m": _WIDTH, "R": inside.radius},
            Condition(f"W in the ball: max_r ‖w_r − w_r(0)‖ = {movement:.4g}", movement <= inside.radius),
            "change of counts ≤ |A_i ∪ A_j| for all i, j",
            results[inside].ratio.values,
            1.0,
            control=float(results[outside].ratio.max()),
            control_setting="W in a ball of 10 R",
        )


def _sums(context: Context) -> Iterator[tuple[Uncertain, Uncertain]]:
    """A ball, and one 500 times as large."""
    for problem in context.problems(context.preset.kernel_samples):
        purpose = f"K6b {problem.source.kind}"
        ball = Uncertain(problem.source, _WIDTH, context.preset.trials, 0.002, context.seed, purpose)
        yield ball, dataclasses.replace(ball, radius=500 * ball.radius)


@claim(
    "K6b",
    "with probability ≥ 1 − δ: Σ_ij sup_ball |H_ij(W) − H_ij(0)| ≤ 4n²R / (√(2π) δ)",
    letter="P",
    source=BOUNDS["K6b"].source,
    paper=DU,
    needs=lambda context: itertools.chain(*_sums(context)),
)
def sum_over_ball(context: Context, results: Results) -> Iterator[Evidence]:
    """The supremum is bounded from above by counts (K6a), so that holding here holds for every W in the ball."""
    for ball, large in _sums(context):
        problem = ball.data.load()
        bound = BOUNDS["K6b"].evaluate(n=problem.num_samples, R=ball.radius, delta=DELTA)
        yield with_probability(
            problem.setting | {"m": _WIDTH, "R": ball.radius},
            Condition(_NORMAL, unit_norms(problem)),
            f"Σ_ij |G_ij| |A_i ∪ A_j| / m ≤ {bound:.4g}",
            results[ball].total.values,
            bound,
            control=results[large].total.values,
            control_setting="W in a ball of 500 R",
        )


def _numbers(problem: Problem) -> dict[str, float]:
    """What K4b asks for at half the failure probability."""
    known = {"n": problem.num_samples, "lambda0": problem.lambda0.lower, "spectral": problem.spectral_norm}
    return known | {"delta": DELTA / 2}


def _largest_radius(problem: Problem) -> float:
    return stability_radius().evaluate(n=problem.num_samples, delta=DELTA / 2, lambda0=problem.lambda0.lower)


def _conditioned(context: Context) -> Iterator[tuple[Uncertain, Attacked]]:
    """The ball in which the kernel stays well conditioned, at K4b's width, and weights far outside of it."""
    for problem in context.problems(context.preset.kernel_samples):
        width, radius = BOUNDS["K4b"].smallest_width(**_numbers(problem)), _largest_radius(problem)
        purpose = f"K6b-radius {problem.source.kind}"
        ball = (problem.source, width, context.preset.trials, radius, context.seed, purpose)
        yield Uncertain(*ball), Attacked(*ball, _FAR)


@claim(
    "K6b-radius",
    "m as in K4b at δ/2, R = √(2π) (δ/2) λ0 / 16n² ⇒ λ_min(H(W)) ≥ λ0/2 for all W in the ball, "
    "with probability ≥ 1 − δ",
    letter="P",
    source=BOUNDS["K6b"].source,
    paper=DU,
    needs=lambda context: itertools.chain(*_conditioned(context)),
)
def smallest_over_ball(context: Context, results: Results) -> Iterator[Evidence]:
    """λ_min(H(0)) minus the norm of the largest possible change bounds λ_min over the ball from below."""
    for ball, outside in _conditioned(context):
        problem = ball.data.load()
        asked = BOUNDS["K4b"].smallest_width(**_numbers(problem))
        met = BOUNDS["K4b"].premise_met(m=ball.width, **_numbers(problem)) and ball.radius <= _largest_radius(problem)
        yield with_probability(
            problem.setting | {"m": ball.width, "R": ball.radius},
            Condition(f"m ≥ {asked}, R ≤ {_largest_radius(problem):.3g}", met),
            "λ_min(H(W)) ≥ λ0/2 for every W in the ball",
            results[ball].smallest.values,
            problem.lambda0.upper / 2,
            control=results[outside].smallest.values,
            control_setting=f"W in a ball of radius {_FAR:g}",
            relation="≥",
        )


def _changes(context: Context) -> Iterator[tuple[Attacked, Attacked]]:
    """Worst weights in the smallest ball that K6c speaks of at a width, and far outside of it."""
    for problem in context.problems(context.preset.kernel_samples):
        n = problem.num_samples
        # So wide that 2nR lies below what the kernel can change at all, and the control can break.
        width = _WIDTH * max(1, n // 8) ** 2
        # The width asked for is inverse to R; at a small one, rounding it up to a whole number hardly counts.
        small = 1e-6 / width
        radius = small * BOUNDS["K6c"].smallest_width(n=n, R=small, delta=DELTA) / width
        purpose = f"K6c {problem.source.kind}"
        inside = Attacked(problem.source, width, context.preset.trials, radius, context.seed, purpose, radius)
        yield inside, dataclasses.replace(inside, attack_radius=_FAR)


@claim(
    "K6c",
    "m ≥ (5/3) log(n(n + 1)/δ)/R ⇒ ‖H(W) − H(0)‖_F ≤ 2nR in the ball, with probability ≥ 1 − δ",
    letter="D",
    source=BOUNDS["K6c"].source,
    paper=CLASSICAL,
    needs=lambda context: itertools.chain(*_changes(context)),
)
def norm_over_ball(context: Context, results: Results) -> Iterator[Evidence]:
    """At the worst weights found in the ball; the statement is about true changes, not about counts."""
    for inside, outside in _changes(context):
        problem = inside.data.load()
        numbers = {"n": problem.num_samples, "R": inside.radius}
        bound = BOUNDS["K6c"].evaluate(**numbers)
        met = BOUNDS["K6c"].premise_met(m=inside.width, delta=DELTA, **numbers)
        within = float(results[inside].movement.values.max()) <= inside.radius
        yield with_probability(
            problem.setting | {"m": inside.width, "R": inside.radius},
            Condition(f"m ≥ (5/3) log(n(n + 1)/δ)/R, W in the ball, {_NORMAL}", met and within and unit_norms(problem)),
            f"‖H(W) − H(0)‖_F ≤ {bound:.4g} at the worst W found",
            results[inside].change.values,
            bound,
            control=results[outside].change.values,
            control_setting=f"W in a ball of radius {_FAR:g}",
        )
