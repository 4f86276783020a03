"""Convergence of Local GD on the two-layer network to zero loss, at a rate linear in the local steps: C4."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Evidence
from verification.claims import claim
from verification.context import Context, Problem
from verification.runs import RunSpec
from verification.sampling import DELTA, with_probability, worst_over_decay

__all__ = ["numbers", "worst_ratio"]

_CLIENTS, _WIDTH = 4, 256


def numbers(made: Problem, spec: RunSpec) -> dict[str, float]:
    """What C4's premise and conclusion are about, all but the rounds."""
    lambda0, largest = made.lambda0.lower, float(np.linalg.eigvalsh(made.gram)[-1])
    return {
        "n": made.num_samples, "lambda0": lambda0, "kappa": largest / lambda0, "delta": DELTA, "K": spec.num_clients,
        "tau": spec.local_steps, "eta": spec.step_size, "eta_g": spec.server_step_size, "m": spec.width,
    }  # fmt: skip


def worst_ratio(made: Problem, spec: RunSpec, losses: np.ndarray, *, lambda0: float | None = None) -> np.ndarray:
    """Worst ‖r(t)‖² over C4's bound, per seed, from losses [seed round]; controls put another number in λ0's place."""
    rate = _rate(spec, made.lambda0.lower if lambda0 is None else lambda0)
    return worst_over_decay(losses, rate, made, spec.width)


@functools.cache
def _rate(spec: RunSpec, lambda0: float) -> float:
    """C4's factor of ‖r‖² a round; a step size for which it is none, because it is not positive, gets nearly 0."""
    known = {"eta": spec.step_size, "eta_g": spec.server_step_size, "tau": spec.local_steps, "K": spec.num_clients}
    return max(BOUNDS["C4"].evaluate(**known, lambda0=lambda0, rounds=1, residual=1.0), np.finfo(float).tiny)


def _specs(context: Context, made: Problem) -> dict[str, RunSpec]:
    """Local GD at C4's step size and at one that is usual, by label and iid, with two server step sizes."""
    preset = context.preset
    seeds = tuple(11000 * (context.seed + 1) + s for s in range(preset.trials))
    usual = RunSpec(
        made.kind, made.num_samples, made.seed, _CLIENTS, _WIDTH, 0.2 / made.largest_client_eigenvalue(_CLIENTS),
        local_steps=5, num_rounds=preset.gd_rounds, seeds=seeds, dtype="float64",
    )  # fmt: skip
    asked = BOUNDS["C4"].largest_step(**{k: v for k, v in numbers(made, usual).items() if k in _STEP_NEEDS})
    return {
        "η = λ0/(κτn²), by label": dataclasses.replace(usual, step_size=asked),
        "η = 0.2/max λ_max(H^∞_cc), by label": usual,
        "the same η, iid, η_g = 1.5": dataclasses.replace(usual, split="iid", server_step_size=1.5),
    }


_STEP_NEEDS = ("lambda0", "kappa", "tau", "n")


def _too_many_steps(spec: RunSpec, made: Problem) -> RunSpec:
    """The control: so many local steps that the bound falls to a tenth a round, which averaging K clients forbids."""
    step = 0.2 / made.largest_client_eigenvalue(_CLIENTS)
    rate_of_one = spec.server_step_size * step * made.lambda0.lower / (2 * _CLIENTS)
    return dataclasses.replace(spec, step_size=step, local_steps=round(0.9 / rate_of_one), num_rounds=2)


def _runs(context: Context) -> Iterator[RunSpec]:
    for made in context.problems(context.preset.kernel_samples):
        for spec in _specs(context, made).values():
            yield spec
            yield _too_many_steps(spec, made)


@claim(
    "C4",
    "m = Ω(n⁴ log(n/δ)/λ0⁴), η = O(λ0/(κτn²)), η_g = O(1) ⇒ Local GD with K clients and τ local steps: "
    "‖r(t)‖² ≤ (1 − η_g η λ0 τ/(2K))^t ‖r(0)‖² for all t, with probability ≥ 1 − δ",
    letter="R",
    source=BOUNDS["C4"].source,
    runs=_runs,
)
def linear_rate(context: Context) -> Iterator[Evidence]:
    """Every recorded loss against the theorem's, at its step size and at larger ones."""
    for made in context.problems(context.preset.kernel_samples):
        for name, spec in _specs(context, made).items():
            known = {k: v for k, v in numbers(made, spec).items() if k in BOUNDS["C4"].needs}
            asked = {k: v for k, v in known.items() if k not in ("m", "eta")}
            over = _too_many_steps(spec, made)
            yield with_probability(
                "C4", f"{made}, m = {_WIDTH}, K = {_CLIENTS}, τ = {spec.local_steps}, {name}, {spec.num_rounds} rounds",
                Condition(
                    f"m ≥ {BOUNDS['C4'].smallest_width(**asked):.2g}, η ≤ {BOUNDS['C4'].largest_step(**asked):.2g}, "
                    "constants 1",
                    BOUNDS["C4"].premise_met(**known, m=spec.width),
                ),
                "‖r(t)‖² / bound ≤ 1 at every round", worst_ratio(made, spec, context.run(spec).loss.values), 1.0,
                control=worst_ratio(made, over, context.run(over).loss.values),
                control_setting=f"τ = {over.local_steps} at η = {over.step_size:.2g}: the bound of these falls to a "
                "tenth a round",
            )  # fmt: skip
