"""Geometric decay of the loss of deep networks under Local GD and Local SGD, in every sweep: C2, C3."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import sympy as sp
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.bounds import BOUNDS, Bound
from ntk_localsgd.bounds.bound import symbols
from ntk_localsgd.evidence import Condition, Evidence
from ntk_localsgd.statistics import mean_interval
from verification.claims.deep.training import deep_training
from verification.context import Context
from verification.data import Problem
from verification.engine import Results
from verification.jobs.training import Training
from verification.judging import at_most
from verification.papers import DENG
from verification.registry import claim

__all__ = ["premise_of", "rate"]

# Forty times the step size of the runs: twenty over m λ_max(Θ^∞_cc), where two would be the end of stability.
_TOO_LARGE = 40.0


def _sweeps(context: Context, problem: Problem, *, minibatch: bool) -> dict[str, list[Training]]:
    """By what is varied: the runs of the sweep. All start from one setting, that of the first in each."""
    sizes, source = context.preset.deep, problem.source
    by_samples = [context.problem(source.kind, n) for n in sorted(sizes.samples)]
    sweeps = {
        "m": [deep_training(context, problem, width=m) for m in sizes.widths[:2]],
        "L": [deep_training(context, problem, depth=depth) for depth in sorted(sizes.depths)],
        "τ": [deep_training(context, problem, local_steps=steps) for steps in sorted(sizes.local_steps)],
        "K": [deep_training(context, problem, clients=number) for number in sorted(sizes.clients)],
        "split": [deep_training(context, problem, split="label"), deep_training(context, problem, split="iid")],
        "n": [deep_training(context, other) for other in by_samples],
    }
    if source.kind == "planted":
        apart = [context.problem("planted", source.num_samples, distance=phi) for phi in sorted(sizes.separations)]
        sweeps["φ"] = [deep_training(context, other) for other in apart]
    if not minibatch:
        return sweeps
    # Half of each client's samples; the cheapest sweeps tell, since every batch size is a new shape.
    batch = min(problem.split(sizes.clients[0]).sizes) // 2
    return {
        name: [dataclasses.replace(training, batch_size=batch) for training in sweeps[name]]
        for name in ("m", "split", "φ")
        if name in sweeps
    }


def _too_large(context: Context, problem: Problem, *, minibatch: bool) -> Training:
    base = _sweeps(context, problem, minibatch=minibatch)["split"][0]
    return dataclasses.replace(base, step_size=_TOO_LARGE * base.step_size)


def _full_runs(context: Context) -> Iterator[Training]:
    yield from _runs(context, minibatch=False)


def _minibatch_runs(context: Context) -> Iterator[Training]:
    yield from _runs(context, minibatch=True)


def _runs(context: Context, *, minibatch: bool) -> Iterator[Training]:
    for problem in context.deep_problems():
        for sweep in _sweeps(context, problem, minibatch=minibatch).values():
            yield from sweep
        yield _too_large(context, problem, minibatch=minibatch)


def _numbers(training: Training) -> dict[str, float]:
    problem = training.problem
    of_data = {"n": problem.num_samples, "phi": problem.dataset.separation, "o": problem.num_outputs}
    of_run = {"m": training.width, "L": training.depth or 1, "K": training.num_clients, "tau": training.local_steps}
    # The theorems are for the mean loss: a step η of the sum loss is a step ηn of the mean.
    return of_data | of_run | {"eta": training.step_size * problem.num_samples}


def _needed(claim_id: str, training: Training) -> dict[str, float]:
    return {name: value for name, value in _numbers(training).items() if name in (*BOUNDS[claim_id].needs, "eta")}


def premise_of(claim_id: str, sweep: list[Training]) -> Condition:
    """Width and step size, constants 1, at every point of a sweep; what the least demanding one asks for."""
    bound, numbers = BOUNDS[claim_id], [_needed(claim_id, training) for training in sweep]
    met = all(bound.premise_met(**at) for at in numbers)
    asked = [bound.smallest_width(**{name: value for name, value in at.items() if name != "m"}) for at in numbers]
    steps = ""
    if bound.step is not None:
        largest, own = max(bound.largest_step(**at) for at in numbers), min(at["eta"] for at in numbers)
        steps = f", η n ≤ {largest:.2g} (here {own:.2g})"
    widest = max(training.width for training in sweep)
    return Condition(f"m ≥ {min(asked):.2g} or more (here {widest}){steps}, constants 1", met)


def _decay(run: xr.Dataset) -> Float[ndarray, "seeds rounds"]:
    """F(t+1)/F(t); a diverged run's are infinite."""
    losses = run.loss.transpose("seed", "round").values
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(losses[:, 1:] / losses[:, :-1], nan=np.inf)


def rate(decay: Float[ndarray, "seeds rounds"]) -> float:
    """Upper 95% end, over seeds, of a run's geometric mean rate per round, in the slower half of its rounds.

    A network that one huge step has killed loses what its outputs had cost and then stays where it is: rate 1.
    """
    if not (np.isfinite(decay) & (decay > 0)).all():
        return float("inf")
    halves = np.array_split(np.log(decay), 2, axis=1)
    return float(np.exp(max(mean_interval(half.mean(axis=1)).upper for half in halves)))


def _below_theorem(claim_id: str, training: Training, run: xr.Dataset) -> bool:
    """Whether F(t) ≤ the theorem's at every round and seed, constants 1."""
    losses = run.loss.transpose("seed", "round").values
    numbers = _needed(claim_id, training) | {"loss": 1.0}
    right = [BOUNDS[claim_id].evaluate(**numbers, rounds=t) for t in range(losses.shape[1])]
    # The theorem's factor at t = 0 is 1 for Local GD, which is compared with itself.
    return bool((losses <= np.array(right) * losses[:, :1] * (1 + 1e-6)).all())


def _exponent_of_theorem(claim_id: str, training: Training) -> float:
    """1/R_0: how much the logarithm of the theorem's right-hand side falls in a round."""
    return _fall(claim_id).evaluate(**_needed(claim_id, training))


@functools.cache
def _fall(claim_id: str) -> Bound:
    """−d log(right-hand side)/dt in the right-hand side's place."""
    bound = BOUNDS[claim_id]
    return dataclasses.replace(bound, expression=sp.simplify(-sp.diff(sp.log(bound.expression), symbols("rounds"))))


def _check(context: Context, results: Results, claim_id: str, *, minibatch: bool) -> Iterator[Evidence]:
    for problem in context.deep_problems():
        large = _too_large(context, problem, minibatch=minibatch)
        broken = rate(_decay(results[large]))
        for name, sweep in _sweeps(context, problem, minibatch=minibatch).items():
            rates = np.array([rate(_decay(results[training])) for training in sweep])
            theirs = np.array([_exponent_of_theorem(claim_id, training) for training in sweep])
            worst = int(np.argmax(np.log(rates) + theirs))  # the rate that is closest to its own bound
            own = -np.log(rates[worst])
            listed = ", ".join(f"{_value(name, job)}: {value:.3f}" for job, value in zip(sweep, rates, strict=True))
            yield at_most(
                {"data": problem.dataset.name, "case": f"sweep over {name}"}
                | {"seeds": len(sweep[0].seeds), "rounds": sweep[0].num_rounds},
                premise_of(claim_id, sweep),
                f"upper 95% end of the mean rate per round at most the theorem's, exp(−1/R_0), in both halves of the "
                f"run, every F(t) below the theorem's up to 1e-6, float32's. Rates at {name} = {listed}; that nearest "
                f"to its bound falls by e^−{own:.2g} a "
                f"round, the theorem's by e^−{theirs[worst]:.1g}, {own / theirs[worst]:.1g} times less; m = "
                f"{min(training.width for training in sweep)} is enough for it",
                rates[worst],
                float(np.exp(-theirs[worst])),
                also=all(_below_theorem(claim_id, training, results[training]) for training in sweep),
                control=broken,
                control_also=_below_theorem(claim_id, large, results[large]),
                control_setting=f"step size {_TOO_LARGE:g} times as large",
                trials=sum(len(training.seeds) for training in sweep),
            )


def _value(name: str, training: Training) -> str:
    problem = training.problem
    known = {"m": training.width, "L": training.depth, "τ": training.local_steps, "K": training.num_clients}
    known_of_data = {"split": training.split, "n": problem.num_samples, "φ": f"{problem.dataset.separation:.2g}"}
    return str((known | known_of_data)[name])


@claim(
    "C2",
    "m ≥ Ω(K n^16 L^12 o log³ m/φ⁵), η = O(oφ/(m τ n³ log² m)) ⇒ Local GD: L(W(t)) ≤ exp(−Ω(t/R_0)) L(W(0)), "
    "R_0 = n⁵ log² m/φ²",
    letter="R",
    source=BOUNDS["C2"].source,
    paper=DENG,
    needs=_full_runs,
)
def local_gd(context: Context, results: Results) -> Iterator[Evidence]:
    """Rate per round in sweeps over m, L, τ, K, n, φ, and by-label beside iid clients."""
    yield from _check(context, results, "C2", minibatch=False)


@claim(
    "C3",
    "m ≥ Ω(K n^18 L^12 log⁵ m/φ³) ⇒ Local SGD: L(W(t)) ≤ n log² m exp(−Ω(t/R_0)) L(W(0)), R_0 = n⁷ log² m/φ²",
    letter="R",
    source=BOUNDS["C3"].source,
    paper=DENG,
    needs=_minibatch_runs,
)
def local_sgd(context: Context, results: Results) -> Iterator[Evidence]:
    """The same with batches of half of each client's samples."""
    yield from _check(context, results, "C3", minibatch=True)
