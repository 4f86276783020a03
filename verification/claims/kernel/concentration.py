"""The kernel at initialization concentrates about its limit: K4a, K4a-width, K4b, with few samples and with many."""

import dataclasses
import itertools
from collections.abc import Iterator

from ntk_localsgd.bounds import BOUNDS, Bound
from ntk_localsgd.evidence import Condition, Evidence
from verification.context import Context
from verification.data import Problem, Source
from verification.engine import Results
from verification.jobs.initial import EntryGaps, SmallestEigenvalues
from verification.judging import DELTA, with_probability
from verification.papers import CLASSICAL, OWN
from verification.registry import claim

__all__: list[str] = []

_WIDTH, _COPIES = 4096, 64

# All there are: scikit-learn's digits.
_DIGITS = 1797

# In ℝ²⁵⁶, many points still have an H^∞ far from singular, and K4b asks for a width that fits.
_INPUT_DIM = 256

# Every network's smallest eigenvalue takes factorisations of an n × n matrix. Seven networks, none of which fails,
# decide a failure probability of one half: their interval's upper end is 0.41.
_NETWORKS, _HALF = 7, 0.5

# How many times fewer neurons the control has. K4b becomes more cautious with n: at n = 10,000 a 256th still does.
_FEWER = 1024


def _gaps(context: Context, source: Source, purpose: str) -> tuple[EntryGaps, EntryGaps]:
    """Independent neurons, and every neuron 64 times."""
    gaps = EntryGaps(source, _WIDTH, context.preset.trials, context.seed, purpose)
    return gaps, dataclasses.replace(gaps, copies=_COPIES)


def _few_samples(context: Context) -> list[tuple[EntryGaps, EntryGaps]]:
    problems = context.problems(context.preset.kernel_samples)
    return [_gaps(context, problem.source, f"K4a {problem.source.kind}") for problem in problems]


def _sphere(context: Context) -> Source:
    return Source("sphere", context.preset.many_samples, context.seed, input_dim=_INPUT_DIM)


def _many_samples(context: Context) -> list[tuple[EntryGaps, EntryGaps]]:
    digits = Source("digits10", min(context.preset.many_samples, _DIGITS), context.seed)
    named = {"digits10": digits, f"sphere {_INPUT_DIM}": _sphere(context)}
    return [_gaps(context, source, f"K4a-many {name}") for name, source in named.items()]


@claim(
    "K4a",
    "with probability ≥ 1 − δ: max_ij |H_ij(0) − H^∞_ij| ≤ √(log(2n²/δ) / 2m)",
    letter="P",
    source=BOUNDS["K4a"].source,
    paper=CLASSICAL,
    needs=lambda context: itertools.chain(*_few_samples(context)),
)
def entries(context: Context, results: Results) -> Iterator[Evidence]:
    """Hoeffding's bound for all entries; it needs independent neurons."""
    return (_entries_near_limit(results, *jobs) for jobs in _few_samples(context))


@claim(
    "K4a-many",
    "many samples, with probability ≥ 1 − δ: max_ij |H_ij(0) − H^∞_ij| ≤ √(log(2n²/δ) / 2m)",
    letter="P",
    source=BOUNDS["K4a"].source,
    paper=CLASSICAL,
    needs=lambda context: itertools.chain(*_many_samples(context)),
)
def many_entries(context: Context, results: Results) -> Iterator[Evidence]:
    """K4a where the union bound runs over many more entries."""
    return (_entries_near_limit(results, *jobs) for jobs in _many_samples(context))


def _entries_near_limit(results: Results, gaps: EntryGaps, repeated: EntryGaps) -> Evidence:
    bound = BOUNDS["K4a"].evaluate(n=gaps.data.num_samples, m=gaps.width, delta=DELTA)
    return with_probability(
        gaps.data.load().setting | {"m": gaps.width},
        Condition("independent neurons", gaps.copies == 1),
        f"max_ij |H_ij(0) − H^∞_ij| ≤ {bound:.4g}",
        results[gaps].gap.values,
        bound,
        control=results[repeated].gap.values,
        control_setting=f"every neuron occurs {repeated.copies} times",
    )


def _numbers(bound: Bound, problem: Problem, delta: float) -> dict[str, float]:
    known = {"n": problem.num_samples, "lambda0": problem.lambda0.lower, "spectral": problem.spectral_norm}
    return {name: value for name, value in known.items() if name in bound.needs} | {"delta": delta}


def _at_width(context: Context, bound: Bound, problem: Problem, purpose: str) -> tuple[SmallestEigenvalues, ...]:
    """At the width that a bound asks for, and with two neurons."""
    width = bound.smallest_width(**_numbers(bound, problem, DELTA))
    asked = SmallestEigenvalues(problem.source, width, context.preset.trials, context.seed, purpose)
    return asked, dataclasses.replace(asked, width=2)


def _hoeffding(context: Context) -> Iterator[tuple[SmallestEigenvalues, ...]]:
    # n²/λ0² neurons a seed: half the samples keep this to seconds.
    for problem in context.problems(context.preset.kernel_samples // 2):
        yield _at_width(context, BOUNDS["K4a-width"], problem, f"K4a-width {problem.source.kind}")


def _chernoff(context: Context) -> Iterator[tuple[SmallestEigenvalues, ...]]:
    for problem in context.problems(context.preset.kernel_samples):
        yield _at_width(context, BOUNDS["K4b"], problem, f"K4b {problem.source.kind}")


def _many_chernoff(context: Context) -> tuple[SmallestEigenvalues, SmallestEigenvalues]:
    """At the width that K4b asks for at δ = ½, and with 1024 times fewer neurons."""
    problem, purpose = _sphere(context).load(), f"K4b-many sphere {_INPUT_DIM}"
    width = BOUNDS["K4b"].smallest_width(**_numbers(BOUNDS["K4b"], problem, _HALF))
    asked = SmallestEigenvalues(problem.source, width, _NETWORKS, context.seed, purpose)
    return asked, dataclasses.replace(asked, width=-(-width // _FEWER))


@claim(
    "K4a-width",
    "m ≥ 8n² log(2n²/δ)/λ0² ⇒ λ_min(H(0)) ≥ ¾λ0 with probability ≥ 1 − δ",
    letter="D",
    source="K4a and Weyl's inequality, docs/theory.md K4",
    paper=OWN,
    needs=lambda context: itertools.chain(*_hoeffding(context)),
)
def hoeffding_width(context: Context, results: Results) -> Iterator[Evidence]:
    """At the width that Hoeffding's bound asks for."""
    return (_well_conditioned(results, BOUNDS["K4a-width"], *jobs) for jobs in _hoeffding(context))


@claim(
    "K4b",
    "m ≥ 32 ‖X‖² log(n/δ)/λ0 ⇒ λ_min(H(0)) ≥ ¾λ0 with probability ≥ 1 − δ",
    letter="P",
    source=BOUNDS["K4b"].source,
    paper=CLASSICAL,
    needs=lambda context: itertools.chain(*_chernoff(context)),
)
def chernoff_width(context: Context, results: Results) -> Iterator[Evidence]:
    """At the width that the matrix Chernoff bound asks for, which is far smaller."""
    return (_well_conditioned(results, BOUNDS["K4b"], *jobs) for jobs in _chernoff(context))


@claim(
    "K4b-many",
    "many samples, m ≥ 32 ‖X‖² log(n/δ)/λ0 ⇒ λ_min(H(0)) ≥ ¾λ0 with probability ≥ 1 − δ, δ = ½",
    letter="P",
    source=BOUNDS["K4b"].source,
    paper=CLASSICAL,
    needs=_many_chernoff,
)
def many_chernoff_width(context: Context, results: Results) -> Iterator[Evidence]:
    """Gram matrices from counts on the device, exact in float32; λ_min of each enclosed in float64."""
    jobs, fewer = _many_chernoff(context), f"m {_FEWER} times smaller"
    yield _well_conditioned(results, BOUNDS["K4b"], *jobs, delta=_HALF, control_setting=fewer)


def _well_conditioned(
    results: Results,
    bound: Bound,
    asked: SmallestEigenvalues,
    narrow: SmallestEigenvalues,
    *,
    delta: float = DELTA,
    control_setting: str = "m = 2",
) -> Evidence:
    problem = asked.data.load()
    least, numbers = 0.75 * problem.lambda0.upper, _numbers(bound, problem, delta)
    return with_probability(
        problem.setting | {"m": asked.width},
        Condition(f"m ≥ {bound.smallest_width(**numbers)}", bound.premise_met(m=asked.width, **numbers)),
        f"λ_min(H(0)) ≥ ¾λ0 = {least:.4g}",
        results[asked].smallest.values,
        least,
        control=results[narrow].smallest.values,
        control_setting=control_setting,
        relation="≥",
        delta=delta,
    )
