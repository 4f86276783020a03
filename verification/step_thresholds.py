"""The tightness map of step sizes: how large η may be, and whether it must shrink like 1/τ: C6-stability, C6-step."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Control, Evidence
from verification.claims import claim
from verification.context import Context, Problem, problem
from verification.federated_convergence import numbers, worst_ratio
from verification.runs import RunSpec
from verification.thresholds import (
    DELTA,
    TRIALS,
    Sweep,
    Threshold,
    failing_seeds,
    first_to_hold,
    holds_up_to,
    measure,
    no_faster,
    seeds,
)

__all__ = ["Sizes", "sizes_of", "stored_steps"]

# η max_c λ_max(H^∞_cc) from 32 down to 2^-10 in steps of √2: in the kernel regime runs are stable below 2. Stability is
# tried from ½ to 4, where losses fall below `_SHARE` well within `_ROUNDS`.
_STEPS = tuple(2 ** (5 - k / 2) for k in range(31))
_UPWARDS = tuple(sorted(step for step in _STEPS if 0.5 <= step <= 4))

# Values of a parameter and the points at them.
_Varied = tuple[Sequence[float], list[tuple[Problem, RunSpec]]]

# A run is stable if its loss falls below this share of its start within these rounds; a network that one huge step has
# killed, f = 0, stays above it.
_ROUNDS, _SHARE = 40, 0.5

# In the kernel regime η max_c λ_max(Θ_cc) < 2 is stable; one step of the grid for the distance of Θ from H^∞.
_STABLE = math.sqrt(2)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Values of every parameter, the first of each being where the others are varied."""

    kinds: tuple[str, ...]
    samples: tuple[int, ...]
    separations: tuple[float, ...]
    local_steps: tuple[int, ...]
    widths: tuple[int, ...]
    repeats: int


_FULL = Sizes(("digits", "planted"), (8, 4, 16), (0.8, 0.4, 0.2), (5, 1, 25), (1024, 64, 16), 3)
_SIZES = {
    "smoke": Sizes(("planted",), (4,), (0.8,), (1, 8), (256,), 2),
    "quick": Sizes(("planted",), (4,), (0.8,), (1, 16), (256,), 2),
    "full": _FULL,
}


@claim(
    "C6-stability",
    "kernel regime ⇒ Local GD is stable at every η < 2/max_c λ_max(Θ_cc), whatever τ: the largest stable step size "
    "does not fall like 1/τ",
    letter="D",
    source="docs/theory.md §4",
)
def stability(context: Context) -> Iterator[Evidence]:
    """Largest stable η at every τ; the control asks for C4's rate besides, which is linear in τ."""
    sizes = sizes_of(context)
    for kind in sizes.kinds:
        for width in sizes.widths:
            stable, rate = (stored_steps(context, kind, width, name) for name in ("stable", "rate"))
            smallest, other = (float(steps.threshold.values[:, steps.parameter.values == "τ"].min())
                               for steps in (stable, rate))  # fmt: skip
            yield Evidence(
                "C6-stability",
                f"{_data(kind)}, n = {sizes.samples[0]}, m = {width}, K = {min(4, sizes.samples[0])}; "
                f"{len(stable.repeat)} data sets, {TRIALS} seeds each, δ = {DELTA:g}",
                Condition("kernel regime: Θ stays as it is, which it does at no finite width", False),
                Condition(
                    "stable from η max_c λ_max(H^∞_cc) = ½ up to ≥ √2, a grid's step below 2, at every τ; tried up to "
                    f"4: {_listed(stable)}",
                    smallest >= _STABLE,
                ),
                smallest, _STABLE,
                Control(f"C4's rate ‖r(t)‖² ≤ (1 − ηλ0τ/(2K))^t ‖r(0)‖² is asked for: {_listed(rate)}",
                        other < _STABLE, other),
                trials=stable.threshold.size * TRIALS,
            )  # fmt: skip


@claim(
    "C6-step",
    "the largest step size at which C4's rate holds with probability ≥ 1 − δ is at least the one that C4 asks for, and "
    "falls no faster in n, τ and 1/λ0",
    letter="R",
    source="step size asked for: bound of C4, constants 1",
)
def steps(context: Context) -> Iterator[Evidence]:
    """Measured over asked, and exponents beside asked ones; the control puts 8 λ_max(H^∞) in λ0's place."""
    sizes = sizes_of(context)
    for kind in sizes.kinds:
        found = stored_steps(context, kind, sizes.widths[0], "rate")
        ratio = float((found.threshold.values / found.asked.values).min())
        holds, powers = no_faster(found, step=True)
        spoiled = _control(context, kind)
        yield Evidence(
            "C6-step",
            f"{_data(kind)}, m = {sizes.widths[0]}; {len(found.repeat)} data sets, {TRIALS} seeds each, δ = {DELTA:g}",
            Condition("all but η and one parameter fixed", True),
            Condition(
                f"largest η over the one asked for: {ratio:.3g} … "
                f"{float((found.threshold.values / found.asked.values).max()):.3g}; exponents measured beside asked: "
                f"{powers}",
                holds if ratio >= 1 else False,
            ),
            ratio, 1.0,
            Control("8 λ_max(H^∞) in λ0's place, faster than any direction: largest η over the one asked for",
                    spoiled < 1, spoiled),
            trials=found.threshold.size * TRIALS,
        )  # fmt: skip


def stored_steps(context: Context, kind: str, width: int, conclusion: str) -> xr.Dataset:
    """Largest η max_c λ_max(H^∞_cc) [repeat point], 0 if none will do, and what C4 asks for; measured unless stored.

    ``conclusion`` is "stable" or "rate"; stability is measured over τ alone.
    """

    def made() -> xr.Dataset:
        return measure(_sweeps(context, kind, width, conclusion), lambda *at: _threshold(conclusion, *at), _asked)

    return context.stored(__file__, f"step thresholds {kind} {width} {conclusion}", made)


def sizes_of(context: Context) -> Sizes:
    """The sizes of the context's preset."""
    return _SIZES.get(context.preset.name, _FULL)


def _data(kind: str) -> str:
    return kind if kind == "digits" else "sphere with a close pair"


def _sweeps(context: Context, kind: str, width: int, conclusion: str) -> list[list[Sweep]]:
    sizes = sizes_of(context)

    def point(seed: int, n: int = sizes.samples[0], phi: float = sizes.separations[0], tau: int = sizes.local_steps[0],
              ) -> tuple[Problem, RunSpec]:  # fmt: skip
        made = problem(kind if kind == "digits" else f"{kind} {phi:g}", n, seed)
        return made, RunSpec(made.kind, n, seed, min(4, n), width, 1 / made.largest_client_eigenvalue(min(4, n)), tau,
                             _ROUNDS, seeds(context, 23_000))  # fmt: skip

    found = []
    for seed in range(2000 * (context.seed + 1), 2000 * (context.seed + 1) + sizes.repeats):
        varied: dict[str, _Varied] = {
            "τ": (sorted(sizes.local_steps), [point(seed, tau=tau) for tau in sorted(sizes.local_steps)])
        }
        if conclusion == "rate":
            varied["n"] = (sorted(sizes.samples), [point(seed, n=n) for n in sorted(sizes.samples)])
            if kind == "planted":
                close = [point(seed, phi=phi) for phi in sizes.separations]
                varied["λ0"] = ([made.lambda0.lower for made, _ in close], close)
        found.append([Sweep(name, tuple(values), tuple(points))
                      for name, (values, points) in varied.items() if len(points) > 1])  # fmt: skip
    return found


def _threshold(conclusion: str, made: Problem, spec: RunSpec) -> Threshold:
    """In units of 1/max_c λ_max(H^∞_cc), 0 where no step size will do; the control's conclusion is "too fast"."""
    lambda0 = 8 * float(np.linalg.eigvalsh(made.gram)[-1]) if conclusion == "too fast" else None

    def holds(made: Problem, spec: RunSpec, losses: np.ndarray) -> bool:
        if conclusion == "stable":
            return bool(losses[-1] <= _SHARE * losses[0])
        return bool(worst_ratio(made, spec, losses[None], lambda0=lambda0)[0] <= 1)

    def failures(factor: float, enough: int) -> int:
        at = dataclasses.replace(spec, step_size=factor * spec.step_size)
        return failing_seeds(made, at, holds, enough)

    found = holds_up_to(_UPWARDS, failures) if conclusion == "stable" else first_to_hold(_STEPS, failures)
    return found if math.isfinite(found.value) else dataclasses.replace(found, value=0.0)


def _asked(made: Problem, spec: RunSpec) -> float:
    known = {k: v for k, v in numbers(made, spec).items() if k in ("n", "lambda0", "kappa", "tau")}
    return BOUNDS["C4"].largest_step(**known) / spec.step_size


def _control(context: Context, kind: str) -> float:
    """The same at the first point with a bound that nothing satisfies: 0 where no step size of the grid does."""
    made, spec = _sweeps(context, kind, sizes_of(context).widths[0], "rate")[0][0].points[0]
    return _threshold("too fast", made, spec).value / _asked(made, spec)


def _listed(found: xr.Dataset) -> str:
    """Geometric means over data sets by τ."""
    which = found.parameter.values == "τ"
    with np.errstate(divide="ignore"):  # a step size of 0 has the mean 0
        means = np.exp(np.log(found.threshold.values[:, which]).mean(axis=0))
    values = found["at"].values[0, which]
    return ", ".join(f"{mean:.2g} at τ = {tau:g}" for tau, mean in zip(values, means, strict=True))
