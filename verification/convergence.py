"""Convergence to zero loss at a linear rate: C1."""

from collections.abc import Iterator

import numpy as np

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from verification.claims import claim
from verification.context import Context, Problem
from verification.runs import RunSpec
from verification.sampling import DELTA, with_probability, worst_over_decay

# With one client, local steps are gradient steps: 20 a round means that every 20th loss is recorded.
_STEPS = 20
_WIDTH = 256

# Ten times what is stable; a few rounds show what becomes of it.
_TOO_LARGE = "η = 20/λ_max"


def _numbers(made: Problem) -> dict[str, float]:
    return {"n": made.num_samples, "lambda0": made.lambda0.lower, "C": made.largest_target, "delta": DELTA}


def _specs(context: Context, made: Problem) -> dict[str, RunSpec]:
    """Gradient descent at the theorem's step size, at a usual one, and at ten times what is stable."""
    largest = made.largest_client_eigenvalue(1)
    steps = {
        "η = λ0/8n²": BOUNDS["C1"].largest_step(**_numbers(made)),
        "η = 0.9/λ_max": 0.9 / largest,
        _TOO_LARGE: 20 / largest,
    }
    seeds = tuple(9000 * (context.seed + 1) + s for s in range(context.preset.trials))
    rounds = context.preset.gd_rounds
    return {
        name: RunSpec(made.kind, made.num_samples, made.seed, 1, _WIDTH, step, _STEPS,
                      num_rounds=5 if name == _TOO_LARGE else rounds, seeds=seeds,
                      dtype="float64")
        for name, step in steps.items()
    }  # fmt: skip


def _runs(context: Context) -> Iterator[RunSpec]:
    for made in context.problems(_samples(context)):
        yield from _specs(context, made).values()


def _samples(context: Context) -> int:
    # The theorem asks for n > 3; its step size λ0/8n² makes larger n a matter of millions of steps.
    return max(4, context.preset.kernel_samples // 2)


@claim(
    "C1",
    "n > 3, η ≤ λ0/8n², m ≥ 4⁵·16² (C² + 1)/(2π) · n⁶/(λ0⁴δ³) ⇒ ‖f(k) − y‖² ≤ (1 − ηλ0/2)^k ‖f(0) − y‖² for all k, "
    "with probability ≥ 1 − δ",
    letter="P",
    source=BOUNDS["C1"].source,
    runs=_runs,
)
def gradient_descent(context: Context) -> Iterator[Evidence]:
    """Every recorded loss against the theorem's, at two step sizes; the control has one ten times too large."""
    for made in context.problems(_samples(context)):
        specs = _specs(context, made)
        for name in ("η = λ0/8n²", "η = 0.9/λ_max"):
            spec = specs[name]
            asked = BOUNDS["C1"].smallest_width(**_numbers(made))
            met = BOUNDS["C1"].premise_met(m=spec.width, eta=spec.step_size, **_numbers(made))
            yield with_probability(
                "C1", f"{made}, m = {_WIDTH}, {name}, {spec.num_rounds * _STEPS} steps",
                Condition(f"n > 3, η ≤ {BOUNDS['C1'].largest_step(**_numbers(made)):.2g}, m ≥ {asked:.2g}", met),
                "‖f(k) − y‖² / bound ≤ 1 at every recorded k", _worst_ratio(context, made, spec, spec.step_size), 1.0,
                control=_worst_ratio(context, made, specs[_TOO_LARGE], spec.step_size),
                control_setting=f"the run's {_TOO_LARGE}, ten times what is stable; same bound",
            )  # fmt: skip


def _worst_ratio(context: Context, made: Problem, spec: RunSpec, step_size: float) -> np.ndarray:
    """Worst ‖f(k) − y‖² over the bound at a step size, per seed."""
    rate = (1 - step_size * made.lambda0.lower / 2) ** _STEPS
    return worst_over_decay(context.run(spec).loss.values, rate, made, _WIDTH)
