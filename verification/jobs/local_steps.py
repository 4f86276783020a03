"""One client's local steps on a two-layer network, in NumPy's float64 and nothing else."""

import dataclasses
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import kernels
from verification.jobs.initial import InitialNetworks
from verification.jobs.perturbed import pair_counts, union_counts

__all__ = ["LocalShrinkage", "LocalSteps", "local_steps", "shrinkage_bound"]


@dataclasses.dataclass(frozen=True)
class LocalShrinkage(InitialNetworks):
    """Every client of every network takes ``steps`` local steps of ``relative_step``/λ_max(Θ_cc)."""

    num_clients: int = 2
    steps: int = 10
    relative_step: float = 0.9

    def compute(self) -> xr.Dataset:
        """`LocalSteps` of every network and client, by their names; ``residual`` [trial client step]."""
        problem = self.data.load()
        parts = problem.split(self.num_clients).indices
        rows = []
        for net in self:
            weights, signs = np.asarray(net.weights, np.float64), np.asarray(net.signs, np.float64)
            for part in parts:
                x, y = problem.inputs[part], problem.dataset.targets[part]
                rows.append(local_steps(x, y, weights, signs, self.relative_step, self.steps))
        shape = (self.trials, self.num_clients)
        columns = {
            name: np.array(values) for name, values in zip(LocalSteps._fields, zip(*rows, strict=True), strict=True)
        }
        dims = ("trial", "client", "step")
        return xr.Dataset({n: (dims[: c.ndim + 1], c.reshape(*shape, *c.shape[1:])) for n, c in columns.items()})


class LocalSteps(NamedTuple):
    """Local steps as they happened, and what S2's bound is made of, all at their start.

    ``residual``: ‖r^k‖, k = 0 … steps; ``smallest`` and ``largest``: a certified lower bound of λ_min(Θ_cc), and
    λ_max(Θ_cc); ``error``: ε_cc = ‖E_cc(R)‖₂ for the movement R that was seen.
    """

    residual: Float[ndarray, " steps+1"]
    step_size: float
    smallest: float
    largest: float
    error: float


def local_steps(
    inputs: Float[ndarray, "n d"],
    targets: Float[ndarray, " n"],
    weights: Float[ndarray, "m d"],
    signs: Float[ndarray, " m"],
    relative_step: float,
    steps: int,
) -> LocalSteps:
    """Gradient descent on one client's data at η = ``relative_step``/λ_max(Θ_cc)."""
    width, inner, start = len(signs), inputs @ inputs.T, weights @ inputs.T
    gram = inner * pair_counts(start >= 0) / width
    largest = float(np.linalg.eigvalsh(gram)[-1])
    scale, eta = signs / np.sqrt(width), relative_step / largest
    residuals, movement, local = [], 0.0, weights
    for step in range(steps + 1):
        z = local @ inputs.T
        movement = max(movement, float(np.linalg.norm(local - weights, axis=1).max()))
        residual = np.maximum(z, 0).T @ scale - targets
        residuals.append(np.linalg.norm(residual))
        if step < steps:
            local = local - eta * scale[:, None] * (((z >= 0) * residual) @ inputs)
    error = np.linalg.norm(np.abs(inner) * union_counts(np.abs(start) <= movement) / width, 2)
    smallest = kernels.smallest_eigenvalue((gram + gram.T) / 2).lower
    return LocalSteps(np.array(residuals), eta, smallest, largest, float(error))


def shrinkage_bound(
    step_size: Float[ndarray, "..."], eigenvalue: Float[ndarray, "..."], error: Float[ndarray, "..."], steps: int
) -> Float[ndarray, "... steps"]:
    """S2's (1 − η(λ_c − ε_cc))^k for k = 1 … steps; controls put another eigenvalue in λ_c's place."""
    factor = 1 - np.asarray(step_size) * (np.asarray(eigenvalue) - np.asarray(error))
    return factor[..., None] ** np.arange(1, steps + 1)
