"""Steps of Theorems B and C left out, on rounds and processes that are planted against them."""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.certificate.model import Problem
from ntk_localsgd.certificate.schedule import Schedule
from ntk_localsgd.certificate.two_layer import dominance
from ntk_localsgd.certificate.two_layer.counts import Counts
from ntk_localsgd.certificate.two_layer.envelope import envelope
from ntk_localsgd.certificate.two_layer.neurons import NearKinks, Survey, near_kinks, survey
from ntk_localsgd.clients import Clients
from verification.jobs.certified_cases import off_by
from verification.jobs.reference import Case

__all__ = [
    "LEFT_OUT",
    "Jumps",
    "PlantedRounds",
    "Step",
    "TakenRound",
    "batches_by_chance",
    "compared",
    "corrected_case",
    "parts_of",
    "pushed_case",
    "take_round",
]

#: What may be left out of the comparison matrix.
Step = Literal["averaging", "samples that may switch on", "samples that may switch off"]

#: All of it.
LEFT_OUT: tuple[Step, ...] = get_args(Step)

Batches = Iterable[tuple[int, ndarray | list[int]]]


class TakenRound(NamedTuple):
    """One round: the pairs that changed in it, κ Σ y^± [2 n], and the residuals before and after."""

    changed: Bool[ndarray, "m n"]
    gained: Float[ndarray, "2 n"]
    before: Float[ndarray, " n"]
    after: Float[ndarray, " n"]


def parts_of(case: Case, threshold: float = math.inf) -> tuple[Problem, Survey, NearKinks]:
    """What the theorems are told of a case; neurons whose pre-activations are beyond the threshold are not kept."""
    near = near_kinks(lambda: iter([(case.weights, case.signs)]), case.inputs, np.full(len(case.inputs), threshold))
    found = survey(lambda: iter([(case.weights, case.signs)]), case.inputs, case.targets)
    return Problem.from_inputs(case.inputs, case.clients, case.config), found, near


def compared(
    case: Case, rule: str, chosen: Bool[ndarray, "m n"] | None = None, left_out: Step | None = None
) -> tuple[dominance.Comparison, Counts]:
    """The comparison matrices with these pairs uncertain, and the counts that they come from."""
    problem, found, near = parts_of(case)
    pairs = np.zeros_like(near.patterns) if chosen is None else chosen
    counts, frozen = Counts.of(found, near, pairs), found.counts.astype(np.float64)
    if left_out == "averaging":
        counts, rule = counts._replace(uncertain=np.zeros_like(counts.uncertain)), "gap"
    elif left_out == "samples that may switch on":
        counts = counts._replace(possible=frozen)
    elif left_out == "samples that may switch off":
        counts = counts._replace(certain=frozen)
    schedule = Schedule.of(case.clients, case.config)
    return dominance.compare(problem, schedule, counts, found.width, rule), counts


def take_round(case: Case, batches: Batches) -> TakenRound:
    """A round of these (client, batch), step by step."""
    kappa = case.server_step_size / (case.participants or 1)
    x, scale, weights = case.inputs, case.signs / np.sqrt(len(case.signs)), case.weights
    low, high, gained = weights @ x.T, weights @ x.T, np.zeros((2, len(x)))
    models: dict[int, ndarray] = {}
    for c, batch in batches:
        local = models.get(c, weights)
        z = local @ x.T
        r = (np.maximum(z, 0).T @ scale - case.targets)[batch]
        gained[:, batch] += case.step_size * np.stack([np.maximum(r, 0), np.maximum(-r, 0)])
        models[c] = local - case.step_size * scale[:, None] * (((z[:, batch] >= 0) * r) @ x[batch])
        # Whatever is crossed on the way is between the extremes.
        low, high = np.minimum(low, models[c] @ x.T), np.maximum(high, models[c] @ x.T)
    last = weights + kappa * sum(local - weights for local in models.values())
    low, high = np.minimum(low, last @ x.T), np.maximum(high, last @ x.T)
    before, after = (np.maximum(w @ x.T, 0).T @ scale - case.targets for w in (weights, last))
    return TakenRound((low < 0) & (high >= 0), kappa * gained, before, after)


def batches_by_chance(case: Case, rng: np.random.Generator) -> Iterator[tuple[int, ndarray]]:
    """(client, batch) of every step of a round."""
    assert isinstance(case.local_steps, int)
    for c in rng.choice(case.clients.num_clients, case.participants, replace=False):
        for _ in range(case.local_steps):
            yield c, rng.choice(case.clients.indices[c], case.batch_size, replace=False)


def corrected_case(rng: np.random.Generator) -> Case:
    """Sample 0 pushes sample 1, whose own steps then correct that; most neurons are near the latter's kink; κ = ¼."""
    width, cosine = int(rng.integers(3, 30)), rng.uniform(-0.9, -0.2)
    x = np.array([[1, 0, 0], [cosine, np.sqrt(1 - cosine**2), 0]])
    weights, signs = rng.standard_normal((width, 3)), rng.choice([-1.0, 1.0], width)
    near = rng.random(width) < 0.7
    weights[near] += np.outer(rng.uniform(-0.2, 0.2, near.sum()) - weights[near] @ x[1], x[1])
    case = Case(x, np.zeros(2), Clients((np.arange(2),)), weights, signs, 0.9, int(rng.integers(2, 8)), 1, 0.25)
    return off_by(case, np.array([rng.choice([-1, 1]) * 10 ** rng.uniform(-0.5, 1), 0.0]))


def pushed_case(rng: np.random.Generator) -> Case:
    """Few clients, samples that are alike, few neurons, large residuals: much is crossed in a round."""
    n, num_clients, width = 6, int(rng.integers(1, 4)), int(rng.integers(4, 30))
    x = rng.standard_normal((n, 4)) + rng.choice([0, 1.5]) * rng.standard_normal(4)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    parts = Clients(tuple(np.arange(c, n, num_clients) for c in range(num_clients)))
    weights, signs = 0.5 * rng.standard_normal((width, 4)), rng.choice([-1.0, 1.0], width)
    case = Case(x, np.zeros(n), parts, weights, signs, 0.9, int(rng.integers(2, 7)), int(rng.integers(1, 3)))
    case = case._replace(participants=int(rng.integers(1, num_clients + 1)))
    return off_by(case, 10 ** rng.uniform(-1, 1) * rng.standard_normal(n))


@dataclasses.dataclass(frozen=True)
class PlantedRounds:
    """Theorem C's row inequality r(t+1)^± ≤ r(t)^± − M₂ κ Σ y^± on planted rounds, half of each kind."""

    rounds: int
    left_out: Step | None = None
    rule: str = "smaller"

    def compute(self) -> xr.Dataset:
        """By round: ``excess`` of the left side over the right one, relative to ‖r(t)‖."""
        return xr.Dataset({"excess": ("round", np.array([self._excess(k) for k in range(self.rounds)]))})

    def _excess(self, number: int) -> float:
        rng = np.random.default_rng([number, 9])
        if number % 2:
            case = pushed_case(rng)
            taken = take_round(case, batches_by_chance(case, rng))
        else:
            case = corrected_case(rng)
            assert isinstance(case.local_steps, int)
            taken = take_round(case, [(0, [0] if k == 0 else [1]) for k in range(case.local_steps)])
        comparison, _ = compared(case, self.rule, taken.changed, self.left_out)
        before, after = (np.concatenate([np.maximum(r, 0), np.maximum(-r, 0)]) for r in (taken.before, taken.after))
        allowed = before - comparison.signed @ taken.gained.ravel()
        return float((after - allowed).max() / np.linalg.norm(taken.before))


@dataclasses.dataclass(frozen=True)
class Jumps:
    """The process that Theorem B's envelope has to hold for: V jumps to the worst that a round may do, or to 0.

    ``chances``: whether the envelope pays Ville's 1/δ; without, it is the mean's.
    """

    mean: float
    worst: float
    delta: float
    chances: bool = True

    def compute(self) -> xr.Dataset:
        """The ``probability`` with which V ever exceeds its envelope."""
        held = envelope(self.mean, self.worst, self.delta)
        if held is None:
            return xr.Dataset({"probability": np.nan})
        for k in range(1, 10_000):
            bound = held.factor * held.rate**k if self.chances else self.mean**k
            # The first round at which k jumps in a row lie above it; the mean of a jump is right: P = mean/worst.
            if self.worst**k > bound:
                return xr.Dataset({"probability": (self.mean / self.worst) ** k})
        return xr.Dataset({"probability": 0.0})
