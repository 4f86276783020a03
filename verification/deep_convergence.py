"""Geometric decay of the loss of deep networks under Local GD and Local SGD, in every sweep: C2, C3."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.evidence import Condition, Control, Evidence
from ntk_localsgd.statistics import mean_interval
from verification.claims import claim
from verification.context import Context, Problem, problem
from verification.deep_training import spec_of
from verification.runs import RunSpec

# Forty times the step size of the runs: twenty over m λ_max(Θ^∞_cc), where two would be the end of stability.
_TOO_LARGE = 40.0


def _sweeps(context: Context, made: Problem, *, minibatch: bool) -> dict[str, list[tuple[Problem, RunSpec]]]:
    """By what is varied: the data and runs of the sweep. All start from one setting, that of the first in each."""
    sizes = context.preset.deep
    base = spec_of(context, made)
    found = {
        "m": [(made, spec_of(context, made, width=m)) for m in sizes.widths[:2]],
        "L": [(made, spec_of(context, made, depth=depth)) for depth in sorted(sizes.depths)],
        "τ": [(made, spec_of(context, made, local_steps=tau)) for tau in sorted(sizes.local_steps)],
        "K": [(made, spec_of(context, made, clients=k)) for k in sorted(sizes.clients)],
        "split": [(made, spec_of(context, made, split=how)) for how in ("label", "iid")],
        "n": [(other, spec_of(context, other)) for n in sorted(sizes.samples)
              for other in [problem(made.kind, n, made.seed)]],
    }  # fmt: skip
    if made.kind.startswith("planted"):
        found["φ"] = [(other, spec_of(context, other)) for phi in sorted(sizes.separations)
                      for other in [problem(f"planted {phi:g}", made.num_samples, made.seed)]]  # fmt: skip
    if minibatch:  # half of each client's samples; the cheapest sweeps tell, since every batch size is a new shape
        kept = {name: found[name] for name in ("m", "split", "φ") if name in found}
        batch = base.num_clients and min(made.split(base.num_clients).sizes) // 2
        return {name: [(data, dataclasses.replace(spec, batch_size=batch)) for data, spec in sweep]
                for name, sweep in kept.items()}  # fmt: skip
    return found


def _too_large(context: Context, made: Problem, *, minibatch: bool) -> RunSpec:
    (_, base), *_ = _sweeps(context, made, minibatch=minibatch)["split"]
    return dataclasses.replace(base, step_size=_TOO_LARGE * base.step_size)


def _runs(context: Context, *, minibatch: bool) -> Iterator[RunSpec]:
    for made in context.deep_problems():
        for sweep in _sweeps(context, made, minibatch=minibatch).values():
            yield from (spec for _, spec in sweep)
        yield _too_large(context, made, minibatch=minibatch)


def _numbers(made: Problem, spec: RunSpec) -> dict[str, float]:
    targets = made.dataset.targets
    return {
        "n": made.num_samples, "m": spec.width, "L": spec.depth, "o": targets.shape[1] if targets.ndim == 2 else 1,
        "K": spec.num_clients, "phi": made.dataset.separation, "tau": spec.local_steps, "eta": spec.step_size,
    }  # fmt: skip


def _premise(claim_id: str, sweep: list[tuple[Problem, RunSpec]]) -> Condition:
    """Width and step size, constants 1, at every point of the sweep; what the least demanding one asks for."""
    bound = BOUNDS[claim_id]
    numbers = [{k: v for k, v in _numbers(*point).items() if k in (*bound.needs, "eta")} for point in sweep]
    # Theorems 1 and 2 are for the mean loss: a step η of the sum loss is a step ηn of the mean.
    met = all(bound.premise_met(**(at | {"eta": at["eta"] * at["n"]})) for at in numbers)
    widths = [bound.smallest_width(**at) for at in numbers]
    steps = f", η n ≤ {max(bound.largest_step(**at) for at in numbers):.2g}" if bound.step is not None else ""
    return Condition(f"m ≥ {min(widths):.2g}{steps} or more, constants 1", met)


def _decay(context: Context, spec: RunSpec) -> np.ndarray:
    """F(t+1)/F(t) by seed and round; a diverged run's are infinite."""
    losses = context.run(spec).loss.transpose("seed", "round").values
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(losses[:, 1:] / losses[:, :-1], nan=np.inf)


def _bounded(claim_id: str, made: Problem, spec: RunSpec, losses: np.ndarray) -> bool:
    """Whether F(t) ≤ the theorem's at every round, by seed and round, constants 1."""
    bound = BOUNDS[claim_id]
    numbers = {k: v for k, v in _numbers(made, spec).items() if k in bound.needs} | {"loss": 1.0}
    right = [bound.evaluate(**{k: v for k, v in (numbers | {"rounds": t}).items() if k in bound.needs})
             for t in range(losses.shape[1])]  # fmt: skip
    # The theorem's factor at t = 0 is 1 for Local GD, which is compared with itself.
    return bool((losses <= np.array(right) * losses[:, :1] * (1 + 1e-6)).all())


def _check(context: Context, claim_id: str, *, minibatch: bool) -> Iterator[Evidence]:
    n_power = 7 if minibatch else 5
    for made in context.deep_problems():
        control = _decay(context, _too_large(context, made, minibatch=minibatch))
        broken = _rate(control)
        for name, sweep in _sweeps(context, made, minibatch=minibatch).items():
            decays = [_decay(context, spec) for _, spec in sweep]
            rates = [_rate(decay) for decay in decays]
            below = all(
                _bounded(claim_id, data, spec, context.run(spec).loss.transpose("seed", "round").values)
                for data, spec in sweep
            )
            theirs = [data.num_samples**n_power * np.log(spec.width) ** 2 / data.dataset.separation**2
                      for data, spec in sweep]  # fmt: skip
            values = ", ".join(f"{_value(name, *at)}: {rate:.3f}" for at, rate in zip(sweep, rates, strict=True))
            seeds, rounds = len(decays[0]), sweep[0][1].num_rounds
            yield Evidence(
                claim_id, f"{made.dataset.name}, sweep over {name}; {seeds} seeds, {rounds} rounds",
                _premise(claim_id, sweep),
                Condition(
                    "upper 95% end of the mean rate per round below 1 in both halves of the run, every F(t) below the "
                    f"theorem's. Rates at {name} = {values}; the theorem's 1 − {1 / max(theirs):.1g} … "
                    f"1 − {1 / min(theirs):.1g}",
                    bool(max(rates) < 1 and below),
                ),
                max(rates), 1.0, Control(f"step size {_TOO_LARGE:g} times as large", not broken < 1, broken),
                trials=sum(len(decay) for decay in decays),
            )  # fmt: skip


def _rate(decay: np.ndarray) -> float:
    """Upper 95% end, over seeds, of a run's geometric mean rate per round, in the slower half of its rounds.

    A network that one huge step has killed loses what its outputs had cost and then stays where it is: rate 1.
    """
    if not (np.isfinite(decay) & (decay > 0)).all():
        return float("inf")
    halves = np.array_split(np.log(decay), 2, axis=1)
    return float(np.exp(max(mean_interval(half.mean(axis=1)).upper for half in halves)))


def _value(name: str, made: Problem, spec: RunSpec) -> str:
    known = {"m": spec.width, "L": spec.depth, "τ": spec.local_steps, "K": spec.num_clients, "split": spec.split,
             "n": made.num_samples, "φ": f"{made.dataset.separation:.2g}"}  # fmt: skip
    return str(known[name])


@claim(
    "C2",
    "m ≥ Ω(K n^16 L^12 o log³ m/φ⁵), η = O(oφ/(m τ n³ log² m)) ⇒ Local GD: L(W(t)) ≤ exp(−Ω(t/R_0)) L(W(0)), "
    "R_0 = n⁵ log² m/φ²",
    letter="R",
    source=BOUNDS["C2"].source,
    runs=lambda context: _runs(context, minibatch=False),
)
def local_gd(context: Context) -> Iterator[Evidence]:
    """Rate per round in sweeps over m, L, τ, K, n, φ, and by-label beside iid clients."""
    yield from _check(context, "C2", minibatch=False)


@claim(
    "C3",
    "m ≥ Ω(K n^18 L^12 log⁵ m/φ³) ⇒ Local SGD: L(W(t)) ≤ n log² m exp(−Ω(t/R_0)) L(W(0)), R_0 = n⁷ log² m/φ²",
    letter="R",
    source=BOUNDS["C3"].source,
    runs=lambda context: _runs(context, minibatch=True),
)
def local_sgd(context: Context) -> Iterator[Evidence]:
    """The same with batches of half of each client's samples."""
    yield from _check(context, "C3", minibatch=True)
