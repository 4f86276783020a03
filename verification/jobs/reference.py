"""Local SGD once more, in NumPy's float64 and nothing else: what certificates are held against."""

import dataclasses
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd import LocalSGD

__all__ = ["CHOICES", "Case", "Choice", "Observed", "Order", "follow"]

#: Which samples a step takes, and which clients a round: drawn, those with the largest |r|, or with the largest or
#: smallest r, which push everything one way.
Choice = Literal["drawn", "largest", "rising", "falling"]

#: In which order the batches come.
CHOICES: tuple[Choice, ...] = get_args(Choice)


class Case(NamedTuple):
    """A network, its data, its clients and the run to come."""

    inputs: Float[ndarray, "n d"]
    targets: Float[ndarray, " n"]
    clients: Clients
    weights: Float[ndarray, "m d"]
    signs: Float[ndarray, " m"]
    step_size: float
    local_steps: int | tuple[int, ...]
    batch_size: int | None = None
    server_step_size: float = 1.0
    participants: int | None = None

    @property
    def config(self) -> LocalSGD:
        """All settings of the run, which has no end."""
        return LocalSGD(self.step_size, self.local_steps, 0, self.batch_size, self.server_step_size, self.participants)

    @property
    def outputs(self) -> Float[ndarray, " n"]:
        """f(W, x_i)."""
        return np.maximum(self.weights @ self.inputs.T, 0).T @ self.signs / np.sqrt(len(self.signs))

    @property
    def gram(self) -> Float[ndarray, "n n"]:
        """H(W) = G ∘ (patterns' products)/m."""
        active = (self.weights @ self.inputs.T >= 0).astype(float)
        return (self.inputs @ self.inputs.T) * (active.T @ active) / len(self.signs)


class Observed(NamedTuple):
    """A run as it happened.

    ``lowest`` and ``highest``: extremes of every pre-activation over the averaged models and over the local models of
    the sample's own client; ``switched``: whether its sign ever differed from the start's.
    """

    residual_norms: Float[ndarray, "R+1"]
    movement: float  # max_r ‖w_r − w_r(0)‖ over all models
    lowest: Float[ndarray, "m n"]
    highest: Float[ndarray, "m n"]
    switched: Bool[ndarray, "m n"]
    weights: Float[ndarray, "m d"]


@dataclasses.dataclass(frozen=True)
class Order:
    """Who takes part and which samples are taken, by chance or against the certificate; the generator breaks ties."""

    choice: Choice
    generator: np.random.Generator

    def pick(self, residuals: Float[ndarray, " k"], size: int) -> ndarray:
        """``size`` of the places."""
        score = self.generator.random(len(residuals))
        if self.choice != "drawn":
            score = {"largest": np.abs(residuals), "rising": residuals, "falling": -residuals}[self.choice]
        return np.argsort(-score)[:size]


def follow(case: Case, rounds: int, order: Order | None = None) -> Observed:
    """Run the case for some rounds, watching every model of every client; without an order all take everything."""
    size = max(case.clients.sizes) if case.batch_size is None else case.batch_size
    steps, taking_part = case.config.steps_of(case.clients), case.config.participants_of(case.clients)
    x, scale = case.inputs, case.signs / np.sqrt(len(case.signs))
    start = case.weights @ x.T
    weights, low, high, norms, movement = case.weights, start.copy(), start.copy(), [], 0.0

    def see(models: ndarray, samples: ndarray) -> ndarray:
        nonlocal movement
        z = models @ x[samples].T
        low[:, samples], high[:, samples] = np.minimum(low[:, samples], z), np.maximum(high[:, samples], z)
        moved = models - case.weights
        movement = max(movement, float(np.sqrt(np.einsum("rd,rd->r", moved, moved).max())))
        return z

    everything = np.arange(len(x))
    for t in range(rounds + 1):
        z = see(weights, everything)
        left = np.maximum(z, 0).T @ scale - case.targets
        norms.append(float(np.linalg.norm(left)))
        if t == rounds:
            break
        total = np.zeros_like(weights)
        worst = np.array([left[part][np.argmax(np.abs(left[part]))] for part in case.clients.indices])
        for c in range(len(worst)) if order is None else order.pick(worst, taking_part):
            local, part = weights, case.clients.indices[c]
            for _ in range(steps[c]):
                z = see(local, part)
                residual = np.maximum(z, 0).T @ scale - case.targets[part]
                chosen = slice(None) if order is None else order.pick(residual, size)
                taken = ((z >= 0) * residual)[:, chosen] @ x[part[chosen]]
                local = local - case.step_size * scale[:, None] * taken
            see(local, part)
            total += local - weights
        weights = weights + case.server_step_size / taking_part * total
    switched = np.where(start >= 0, low < 0, high >= 0)
    return Observed(np.array(norms), movement, low, high, switched, weights)
