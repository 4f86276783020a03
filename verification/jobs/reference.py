"""Local GD once more, in NumPy's float64 and nothing else: what certificates are held against."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd import LocalSGD

__all__ = ["Case", "Observed", "follow"]


class Case(NamedTuple):
    """A network, its data, its clients and the run to come."""

    inputs: Float[ndarray, "n d"]
    targets: Float[ndarray, " n"]
    clients: Clients
    weights: Float[ndarray, "m d"]
    signs: Float[ndarray, " m"]
    step_size: float
    local_steps: int

    @property
    def config(self) -> LocalSGD:
        """η and τ."""
        return LocalSGD(self.step_size, self.local_steps, 0)

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


def follow(case: Case, rounds: int) -> Observed:
    """Run the case for some rounds, watching every model of every client."""
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
        norms.append(float(np.linalg.norm(np.maximum(z, 0).T @ scale - case.targets)))
        if t == rounds:
            break
        total = np.zeros_like(weights)
        for part in case.clients.indices:
            local = weights
            for _ in range(case.local_steps):
                z = see(local, part)
                residual = np.maximum(z, 0).T @ scale - case.targets[part]
                local = local - case.step_size * scale[:, None] * (((z >= 0) * residual) @ x[part])
            see(local, part)
            total += local - weights
        weights = weights + total / case.clients.num_clients
    switched = np.where(start >= 0, low < 0, high >= 0)
    return Observed(np.array(norms), movement, low, high, switched, weights)
