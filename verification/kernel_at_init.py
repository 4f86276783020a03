"""The kernel and the loss at initialization: K1, K2, K4, K5, K7."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, Float, Int

from ntk_localsgd import datasets, kernels
from ntk_localsgd.bounds import BOUNDS, Bound
from ntk_localsgd.bounds.gaussian import anti_concentration_exact
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.separation import SAME_ROW, closest_pair
from ntk_localsgd.statistics import Interval, failure_interval, mean_interval
from verification.claims import claim
from verification.context import Context, Problem, with_close_pair
from verification.sampling import DELTA, gram_at, initial_networks, smallest_lower, with_probability

# Equalities are tested at this level, jointly over all entries (Bonferroni): one false alarm in a thousand checks.
EQUALITY_LEVEL = 0.999

# Distances of a planted pair, beside the data as they are: K3.
_DISTANCES = (0.3, 0.1, 0.03, 0.01, 0.001)


@claim(
    "K1",
    "‖x_i‖ = 1, w ~ N(0, I) ⇒ E[⟨x_i, x_j⟩ 1{w·x_i ≥ 0} 1{w·x_j ≥ 0}] = G_ij (π − arccos G_ij) / 2π, by formula, "
    "neural-tangents and Monte-Carlo alike",
    letter="P",
    source="Cho and Saul 2009; Arora et al. 2019",
)
def closed_form(context: Context) -> Iterator[Evidence]:
    """Formula against neural-tangents' kernel to 1e-12, and against Monte-Carlo within its confidence intervals."""
    for made in context.problems(context.preset.kernel_samples):
        gap = _neural_tangents_gap(made.inputs)
        stretched = made.inputs * np.where(np.arange(made.num_samples) == 0, 2.0, 1.0)[:, None]
        control = _neural_tangents_gap(made.inputs, stretched)
        # Both routes round; neural-tangents' arccos loses about u/√(1 − G²), below 1e-12 for angles above 1e-3.
        tolerance = 1e-12
        yield Evidence(
            "K1", f"{made}; neural-tangents, off the diagonal",
            Condition("rows of unit norm", True),
            Condition("max_{i≠j} |formula − neural-tangents| ≤ 1e-12", gap <= tolerance), gap, tolerance,
            Control("one row twice as long for neural-tangents", control > tolerance, control),
        )  # fmt: skip
        inside, control_inside = _monte_carlo(context, made), _monte_carlo(context, made, shift=0.5)
        yield Evidence(
            "K1", f"{made}; Monte-Carlo, {_MONTE_CARLO_NEURONS} neurons",
            Condition("w ~ N(0, I)", True),
            Condition(f"all entries inside their {EQUALITY_LEVEL:.1%} joint Clopper–Pearson intervals", inside <= 1),
            inside, 1.0, Control("w ~ N(x_1/2, I)", control_inside > 1, control_inside), trials=_MONTE_CARLO_NEURONS,
        )  # fmt: skip


_MONTE_CARLO_NEURONS = 200_000


def _neural_tangents_gap(inputs: np.ndarray, theirs: np.ndarray | None = None) -> float:
    other = kernels.infinite_gram_neural_tangents(inputs if theirs is None else theirs)
    off = ~np.eye(len(inputs), dtype=bool)
    return float(np.abs(kernels.infinite_gram(inputs) - other)[off].max())


def _monte_carlo(context: Context, made: Problem, *, shift: float = 0.0) -> float:
    """Worst distance of H^∞_ij from the estimate, in half-widths of its interval: at most 1 when all are inside."""
    rng, n = context.rng(f"K1 {made.kind}"), made.num_samples
    weights = rng.standard_normal((_MONTE_CARLO_NEURONS, made.dataset.input_dim)) + shift * made.inputs[0]
    active = (weights @ made.inputs.T >= 0).astype(np.float64)
    rows, columns = np.tril_indices(n)
    hits, total = (active.T @ active)[rows, columns], float(_MONTE_CARLO_NEURONS)
    tail = (1 - EQUALITY_LEVEL) / (2 * len(rows))
    low = scipy.stats.beta.ppf(tail, hits, total - hits + 1)
    high = scipy.stats.beta.ppf(1 - tail, hits + 1, total - hits)
    inner = made.inner[rows, columns]
    centre, half = inner * (low + high) / 2, np.abs(inner) * (high - low) / 2
    # Orthogonal rows have entries 0 = 0 and an interval of no width: nothing to decide there.
    wide = half > np.finfo(np.float64).eps
    return float((np.abs(made.gram[rows, columns] - centre)[wide] / half[wide]).max())


@claim(
    "K2",
    "no two inputs parallel ⇒ λ0 = λ_min(H^∞) > 0, decided by a certified lower bound",
    letter="P",
    source="Du et al. 2019, Theorem 3.1",
)
def positivity(context: Context) -> Iterator[Evidence]:
    """A certified lower bound of λ0 above 0; with an input repeated it must not exist."""
    for made in context.problems(context.preset.sweep_samples):
        twice = np.concatenate([made.inputs, made.inputs[:1]])
        premise = Condition("no two inputs are parallel", bool(made.dataset.two_sided_separation > SAME_ROW))
        yield _positivity("K2", str(made), made.inputs, premise, twice, "the first input repeated")


@claim(
    "K2-sharp",
    "H^∞ is singular iff an input repeats or the directions of the antipodal pairs are linearly dependent",
    letter="D",
    source="docs/theory.md, K2",
)
def positivity_sharp(context: Context) -> Iterator[Evidence]:
    """One antipodal pair is harmless, three coplanar pairs are singular."""
    for made in context.problems(context.preset.sweep_samples):
        x = made.inputs
        pairs = np.concatenate([x, _coplanar_pairs(x)])
        one = np.concatenate([x, -x[:1]])
        # With a single antipodal pair, its direction is independent by itself.
        premise = Condition(
            "no input repeats, directions of antipodal pairs independent",
            bool(closest_pair(one, 1.0).distance > SAME_ROW),
        )
        yield _positivity("K2-sharp", f"{made} and −x_1", one, premise, pairs, "three antipodal pairs in one plane")


def _coplanar_pairs(inputs: np.ndarray) -> np.ndarray:
    """Three antipodal pairs, none of them close to another, in the plane of the first two inputs."""
    plane, _ = np.linalg.qr(inputs[:2].T)
    angles = np.pi * np.array([0.1, 0.4, 0.8])
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane.T
    return datasets.from_arrays(np.concatenate([directions, -directions]), np.zeros(6)).inputs


def _positivity(
    claim_id: str, setting: str, inputs: np.ndarray, premise: Condition, broken: np.ndarray, how: str
) -> Evidence:
    smallest, control = _lambda0(inputs), _lambda0(broken)
    # Singular, as far as an enclosure can say: no positive lower bound, and the upper end at rounding level.
    singular = control.lower <= 0 and control.upper < 1e-10
    return Evidence(
        claim_id, setting, premise, Condition("certified lower bound of λ0 > 0", smallest.lower > 0),
        smallest.lower, 0.0, Control(how, singular, control.lower), interval=(smallest.lower, smallest.upper),
    )  # fmt: skip


def _lambda0(inputs: np.ndarray) -> kernels.Enclosure:
    return kernels.smallest_eigenvalue(kernels.infinite_gram(inputs), error=kernels.infinite_gram_error(*inputs.shape))


@claim(
    "K3",
    "λ0 ≥ φ± / (100 n²), φ± = min_{i≠j} min(‖x_i − x_j‖, ‖x_i + x_j‖)",
    letter="R",
    source=BOUNDS["K3"].source,
)
def separation(context: Context) -> Iterator[Evidence]:
    """Certified λ0 over the bound, down to nearly parallel pairs; in the control separation counts distances alone."""
    bound = lambda x, phi: BOUNDS["K3"].evaluate(n=len(x), phi=phi)  # noqa: E731
    for made in context.problems(context.preset.sweep_samples):
        data = [made.inputs, *(with_close_pair(made.inputs, distance) for distance in _DISTANCES)]
        phis = [min(closest_pair(x, sign).distance for sign in (1.0, -1.0)) for x in data]
        sides = [(_lambda0(x).lower, bound(x, phi)) for x, phi in zip(data, phis, strict=True)]
        worst = min(range(len(data)), key=lambda k: sides[k][0] / sides[k][1])
        # H^∞ of these points is singular (K2-sharp), yet no two of them are close: the upper end lies below the bound.
        pairs = _coplanar_pairs(made.inputs)
        broken = _lambda0(pairs).upper / bound(pairs, closest_pair(pairs, 1.0).distance)
        yield Evidence(
            "K3", f"{made}, as it is and with a pair at {_DISTANCES[0]:g} … {_DISTANCES[-1]:g}",
            Condition("no two inputs are parallel", bool(min(phis) > SAME_ROW)),
            Condition(f"certified lower bound of λ0 ≥ φ±/(100 n²); closest at φ± = {phis[worst]:.2g}",
                      all(lower >= least for lower, least in sides)),
            *sides[worst],
            Control("three antipodal pairs in a plane, ‖x_i + x_j‖ left out of the separation: upper end over the "
                    "bound", broken < 1, broken),
        )  # fmt: skip


@claim(
    "K4a",
    "with probability ≥ 1 − δ: max_ij |H_ij(0) − H^∞_ij| ≤ √(log(2n²/δ) / 2m)",
    letter="P",
    source=BOUNDS["K4a"].source,
)
def concentration_entries(context: Context) -> Iterator[Evidence]:
    """Hoeffding's bound for all entries; it needs independent neurons."""
    for made in context.problems(context.preset.kernel_samples):
        yield entries_near_limit(context, "K4a", made)


def entries_near_limit(context: Context, claim_id: str, made: Problem, *, width: int = 4096) -> Evidence:
    """K4a's bound on all entries of H(0), one network a seed."""
    bound = BOUNDS["K4a"].evaluate(n=made.num_samples, m=width, delta=DELTA)
    gaps, control = (_entry_gaps(context, claim_id, made, width, copies=copies) for copies in (1, 64))
    return with_probability(
        claim_id, f"{made}, m = {width}", Condition("independent neurons", True),
        f"max_ij |H_ij(0) − H^∞_ij| ≤ {bound:.4g}", gaps, bound,
        control=control, control_setting="every neuron occurs 64 times",
    )  # fmt: skip


def _entry_gaps(context: Context, claim_id: str, made: Problem, width: int, *, copies: int) -> np.ndarray:
    """max_ij |H_ij(0) − H^∞_ij| for each seed; a network of repeated neurons has the Gram matrix of one copy."""
    inner, limit = jnp.asarray(made.inner), jnp.asarray(made.gram)
    nets = initial_networks(context, claim_id, made, width // copies, context.preset.trials)
    counts = (kernels.pattern_counts(net, made.inputs) for net in nets)
    return np.array([float(_largest_gap(each, inner, limit, width // copies)) for each in counts])


@jax.jit
def _largest_gap(
    counts: Int[Array, "n n"], inner: Float[Array, "n n"], limit: Float[Array, "n n"], width: int
) -> Float[Array, ""]:
    """In float64, on the device that holds the counts: there may be many millions of them."""
    return jnp.max(jnp.abs(inner * counts.astype(inner.dtype) / width - limit))


@claim(
    "K4a-width",
    "m ≥ 8n² log(2n²/δ)/λ0² ⇒ λ_min(H(0)) ≥ ¾λ0 with probability ≥ 1 − δ",
    letter="D",
    source="K4a and Weyl's inequality, docs/theory.md K4",
)
def concentration_hoeffding(context: Context) -> Iterator[Evidence]:
    """At the width that Hoeffding's bound asks for."""
    # n²/λ0² neurons a seed: half the samples keep this to seconds.
    for made in context.problems(context.preset.kernel_samples // 2):
        yield _smallest_at_width(
            context, "K4a-width", BOUNDS["K4a-width"], made, {"n": made.num_samples, "lambda0": made.lambda0.lower}
        )


@claim(
    "K4b",
    "m ≥ 32 ‖X‖² log(n/δ)/λ0 ⇒ λ_min(H(0)) ≥ ¾λ0 with probability ≥ 1 − δ",
    letter="P",
    source=BOUNDS["K4b"].source,
)
def concentration_chernoff(context: Context) -> Iterator[Evidence]:
    """At the width that the matrix Chernoff bound asks for, which is far smaller."""
    for made in context.problems(context.preset.kernel_samples):
        yield chernoff_row(context, "K4b", made)


def chernoff_row(context: Context, claim_id: str, made: Problem, **settings: Any) -> Evidence:
    """λ_min of H(0) at the width of K4b, one network a seed; settings as below."""
    numbers = {"n": made.num_samples, "lambda0": made.lambda0.lower, "spectral": made.spectral_norm}
    return _smallest_at_width(context, claim_id, BOUNDS["K4b"], made, numbers, **settings)


def _smallest_at_width(
    context: Context, claim_id: str, bound: Bound, made: Problem, numbers: dict[str, float], *, delta: float = DELTA,
    trials: int | None = None, fewer: int | None = None,
) -> Evidence:  # fmt: skip
    """The control has ``fewer`` times fewer neurons; None: two."""
    width = bound.smallest_width(delta=delta, **numbers)
    threshold = 0.75 * made.lambda0.upper
    values, control = (
        np.array(
            [
                smallest_lower(gram_at(net, made), made)
                for net in initial_networks(context, claim_id, made, neurons, trials or context.preset.trials)
            ]
        )
        for neurons in (width, -(-width // fewer) if fewer else 2)
    )
    return with_probability(
        claim_id, f"{made}, m = {width}",
        Condition(f"m ≥ {width}", bound.premise_met(m=width, delta=delta, **numbers)),
        f"λ_min(H(0)) ≥ ¾λ0 = {threshold:.4g}", values, threshold,
        control=control, control_setting=f"m {fewer} times smaller" if fewer else "m = 2", at_least=True, delta=delta,
    )  # fmt: skip


@claim(
    "K5",
    "w ~ N(0, I), ‖x‖ = 1 ⇒ P(|w·x| ≤ R) = erf(R/√2) ≤ 2R/√(2π)",
    letter="P",
    source=BOUNDS["K5"].source,
)
def anti_concentration(context: Context) -> Iterator[Evidence]:
    """Frequencies of near-kink pre-activations against the error function and its linear bound."""
    for made in context.problems(context.preset.kernel_samples):
        rates, control = _near_kink_rates(context, made), _near_kink_rates(context, made, scale=0.5)
        bounds = np.array([BOUNDS["K5"].evaluate(R=radius) for radius in _RADII])
        exact = np.array([anti_concentration_exact().evaluate(R=radius) for radius in _RADII])
        agree = all(rate.lower <= value <= rate.upper for rate, value in zip(rates, exact, strict=True))
        worst = int(np.argmax([rate.estimate / bound for rate, bound in zip(rates, bounds, strict=True)]))
        broke = any(rate.lower > bound for rate, bound in zip(control, bounds, strict=True))
        yield Evidence(
            "K5", f"{made}, {_NEURONS} neurons, R = {', '.join(f'{r:g}' for r in _RADII)}",
            Condition("w ~ N(0, I), ‖x‖ = 1", True),
            Condition(
                f"frequencies agree with erf(R/√2) at level {EQUALITY_LEVEL:.1%}, and erf(R/√2) ≤ 2R/√(2π)",
                agree and bool((exact <= bounds).all()),
            ),
            rates[worst].estimate, float(bounds[worst]),
            Control("w ~ N(0, I/4)", broke, control[worst].estimate),
            interval=(rates[worst].lower, rates[worst].upper), trials=_NEURONS,
        )  # fmt: skip


_RADII = (0.01, 0.05, 0.2, 0.5, 1.0)
_NEURONS = 500_000


def _near_kink_rates(context: Context, made: Problem, *, scale: float = 1.0) -> list[Interval]:
    weights = scale * context.rng(f"K5 {made.kind}").standard_normal((_NEURONS, made.dataset.input_dim))
    distance = np.abs(weights @ made.inputs[0])
    level = 1 - (1 - EQUALITY_LEVEL) / len(_RADII)
    return [failure_interval(int((distance <= radius).sum()), _NEURONS, level=level) for radius in _RADII]


@claim(
    "K7",
    "with probability ≥ 1 − δ: ‖y − f(0)‖² ≤ n(C² + ½)/δ",
    letter="D",
    source="Markov's inequality, docs/theory.md K7",
)
def loss_at_init(context: Context) -> Iterator[Evidence]:
    """The loss at initialization, against networks started at twenty times the weights."""
    for made in context.problems(context.preset.kernel_samples):
        bound = BOUNDS["K7"].evaluate(n=made.num_samples, C=made.largest_target, delta=DELTA)
        squares, control = (
            ((made.dataset.targets - _outputs(context, made, context.preset.trials, scale=scale)) ** 2).sum(axis=1)
            for scale in (1.0, 20.0)
        )
        yield with_probability(
            "K7", f"{made}, m = {_OUTPUT_WIDTH}", Condition("w ~ N(0, I), |y_i| ≤ C", True),
            f"‖y − f(0)‖² ≤ {bound:.4g}", squares, bound, control=control, control_setting="w ~ N(0, 400 I)",
        )  # fmt: skip


@claim("K7-mean", "w ~ N(0, I), ‖x_i‖ = 1 ⇒ E f_i(0)² = ½", letter="D", source="docs/theory.md, K7")
def output_at_init(context: Context) -> Iterator[Evidence]:
    """Mean squared output over many seeds, with Student's interval."""
    trials = 20 * context.preset.trials
    for made in context.problems(context.preset.kernel_samples):
        means, control = (
            mean_interval((_outputs(context, made, trials, scale=s) ** 2).mean(axis=1), level=EQUALITY_LEVEL)
            for s in (1.0, 20.0)
        )
        yield Evidence(
            "K7-mean", f"{made}, m = {_OUTPUT_WIDTH}",
            Condition("w ~ N(0, I), ‖x_i‖ = 1", True),
            Condition(f"½ inside the {EQUALITY_LEVEL:.1%} interval of mean f_i(0)²", 0.5 in means),
            means.estimate, 0.5, Control("w ~ N(0, 400 I)", 0.5 not in control, control.estimate),
            interval=(means.lower, means.upper), trials=trials,
        )  # fmt: skip


_OUTPUT_WIDTH = 256


def _outputs(context: Context, made: Problem, trials: int, *, scale: float) -> np.ndarray:
    """f(0) of each seed, [trials n], for initial weights multiplied by ``scale`` (f is homogeneous in them)."""
    nets = initial_networks(context, "K7", made, _OUTPUT_WIDTH, trials)
    return scale * np.array([np.asarray(net(made.inputs), np.float64) for net in nets])
