"""Local GD beside gradient descent with as many steps, in the kernel regime: exactly, from H^∞ alone."""

import dataclasses

import numpy as np
import scipy.linalg
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import clients, prediction
from ntk_localsgd.local_sgd import LocalSGD
from verification.data import Source, Split

__all__ = ["Centralized", "gap_bound"]


@dataclasses.dataclass(frozen=True)
class Centralized:
    """R rounds of τ local steps η on K clients beside Rτ steps η/K on everything, at the same time ηRτ.

    Attributes
    ----------
    data, num_clients, split, local_steps
        As in `Training`; the clients' samples have H^∞ as Gram matrix, residuals start at −y.
    shares, rounds
        η in units of 1/max_c λ_max(Θ_cc), falling by whole factors, and R at the first of them.
    factor
        Of the central step: 1, or a control.
    """

    data: Source
    num_clients: int
    split: Split
    local_steps: int
    shares: tuple[float, ...]
    rounds: int
    factor: float = 1.0

    def compute(self) -> xr.Dataset:
        """By share: ``difference``, the largest over rounds of ‖r_FL − r_C‖_* / ‖r(0)‖_*, ‖v‖_*² = vᵀΘ⁻¹v.

        ``bound``: `gap_bound`; ``loss_ratio``: Local GD's loss over gradient descent's at the end.
        """
        problem = self.data.load()
        gram, targets = np.asarray(problem.gram), np.asarray(problem.dataset.targets, np.float64)
        split = problem.split(self.num_clients, self.split)
        whole = clients.Clients((np.arange(len(gram)),))
        largest = max(float(np.linalg.eigvalsh(gram[np.ix_(part, part)])[-1]) for part in split.indices)
        rows = []
        for share in self.shares:
            eta, rounds = share / largest, round(self.rounds * self.shares[0] / share)
            local = LocalSGD(eta, self.local_steps, rounds)
            central = LocalSGD(self.factor * eta / self.num_clients, self.local_steps, rounds)
            paths = [
                prediction.local_gd(gram, held, -targets, config) for held, config in ((split, local), (whole, central))
            ]
            start = energy_norms(gram, -targets[None])[0]
            difference = float(energy_norms(gram, paths[0] - paths[1]).max() / start)
            losses = [float(np.square(path[-1]).sum()) for path in paths]
            bound = gap_bound(eta, self.local_steps, largest, float(np.linalg.eigvalsh(gram)[-1]), self.num_clients)
            rows.append((difference, bound, losses[0] / losses[1]))
        columns = zip(("difference", "bound", "loss_ratio"), zip(*rows, strict=True), strict=True)
        return xr.Dataset({name: ("share", np.array(v)) for name, v in columns}, {"share": list(self.shares)})


def energy_norms(gram: Float[ndarray, "n n"], vectors: Float[ndarray, "t n"]) -> Float[ndarray, " t"]:
    """‖v‖_* = (vᵀΘ⁻¹v)^{1/2} of each row."""
    solved = scipy.linalg.solve_triangular(np.linalg.cholesky(gram), vectors.T, lower=True)
    return np.linalg.norm(solved, axis=0)


def gap_bound(step_size: float, local_steps: int, client: float, whole: float, num_clients: int) -> float:
    """η²τ(τ − 1)Λ/(2√(μ_M μ_N)), which bounds ‖B^R − C^R‖_* for every R.

    Λ = max_c λ_max(Θ_cc), μ_M = (1 − (1 − ηΛ)^τ)/Λ, and μ_N the same of λ_max(Θ)/K; proof in ``docs/theory.md`` §4.

    >>> gap_bound(0.1, 1, 1.0, 2.0, 4)
    0.0
    >>> round(gap_bound(1e-3, 5, 1.0, 2.0, 4) / (0.5e-3 * 4), 2)
    1.0
    """
    least = [(1 - (1 - step_size * size) ** local_steps) / size for size in (client, whole / num_clients)]
    return float(step_size**2 * local_steps * (local_steps - 1) * client / (2 * np.sqrt(least[0] * least[1])))
