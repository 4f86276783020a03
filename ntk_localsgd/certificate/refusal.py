"""What no theorem here can speak of, in one sentence."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import kernels
from ntk_localsgd.certificate.model import Rounds
from ntk_localsgd.certificate.rounding import LARGEST, SMALLEST, largest_eigenvalue
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError, rounded_down

__all__ = ["check_range", "check_weights", "refusal"]


def check_range(norm: float) -> None:
    """Refuse residuals of norms beyond which squares and products under- or overflow."""
    if not SMALLEST <= norm <= LARGEST:
        raise InputError(
            f"residual has the norm {norm:.3g}, the certificate needs it between {SMALLEST:g} and {LARGEST:g}: "
            f"multiply weights and targets by one number, by which all movement is multiplied then."
        )


def check_weights(*arrays: ndarray) -> None:
    """Refuse weights that are so large."""
    largest = max(float(np.abs(weights).max()) for weights in arrays)
    if not largest <= LARGEST:
        raise InputError(
            f"weights hold {largest:.3g}, the certificate needs them to be at most {LARGEST:g}: divide weights and "
            f"targets by one number, by which all movement is divided then."
        )


def refusal(gram: Float[ndarray, "N N"], rounds: Rounds, dataset: Dataset, reason: str) -> str:
    """Why the frozen round contracts in no norm: the step size, a row without active neurons, or nearly parallel rows.

    Parameters
    ----------
    gram
        Θ, its rows sample by sample (all outputs of the first one, then of the second, …).
    """
    largest = [largest_eigenvalue(gram[np.ix_(part, part)]) for part in rounds.clients.indices]
    outputs = len(gram) // dataset.num_samples
    off = np.flatnonzero(np.diagonal(gram)[::outputs] == 0)
    allowed = (1 - 1e-8) / max(largest) if max(largest) > 0 else np.inf
    if rounds.step_size > allowed:
        worst = int(np.argmax(largest))
        return (
            f"step_size is {rounds.step_size:.6g}, but the theorem asks for at most 1/λ_max of every "
            f"client: at most {rounded_down(allowed)}, by client {worst + 1} (counted from 1)."
        )
    if dataset.num_samples < 2:
        return f"{reason}: the network is off on the only sample."
    if off.size:
        return f"the Gram matrix is singular: no neuron is active on row {dataset.number_of(off[0])} (counted from 1)."
    smallest, one = kernels.smallest_eigenvalue(gram), gram[::outputs, ::outputs]
    for pair, sign in ((dataset.closest_pair, 1), (dataset.most_opposite_pair, -1)):
        i, j = pair.rows
        # λ_min is at most vᵀΘv/vᵀv for v = e_i − sign·e_j; the pair explains what no enclosure can exclude.
        if (one[i, i] + one[j, j] - 2 * sign * one[i, j]) / 2 <= 2 * (smallest.upper - smallest.lower):
            return (
                f"{reason}: rows {dataset.number_of(i)} and {dataset.number_of(j)} (counted from 1) are the most "
                f"nearly parallel, {pair.distance:.3g} apart."
            )
    return (
        f"{reason}, although no two rows are nearly parallel: its neurons have too few patterns left, a wider "
        f"network or smaller targets are needed."
    )
