"""Targets on a Gram matrix's eigenvectors: what gradient descent fits first."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError

__all__ = ["Projections", "projections"]


class Projections(NamedTuple):
    """Eigenvalues from the largest on, and the share of ‖y‖² on the eigenvector of each; shares add up to 1."""

    eigenvalues: Float[ndarray, " n"]
    shares: Float[ndarray, " n"]


def projections(gram: Any, y: Any) -> Projections:
    """λ_i and s_i = ⟨v_i, y⟩²/‖y‖² of Θ = Σ_i λ_i v_i v_iᵀ: what gradient descent leaves.

    After t steps from f = 0 that is Σ_i s_i (1 − ηλ_i)^{2t} of the loss, in the kernel regime.

    Parameters
    ----------
    gram
        Θ, symmetric [n n].
    y
        Targets, or a residual, [n].

    Returns
    -------
    Projections

    Raises
    ------
    InputError
        If the shapes do not fit, or y is 0.

    References
    ----------
    Arora, Du, Hu, Li and Wang (2019), theorem 4.1.

    >>> projections([[2.0, 0.0], [0.0, 1.0]], [1.0, 3.0]).shares
    array([0.1, 0.9])
    """
    theta, targets = real_array("gram", gram, ndim=2), real_array("y", y, ndim=1)
    if theta.shape != (len(targets),) * 2:
        raise InputError(f"gram has shape {theta.shape}, needs ({len(targets)}, {len(targets)}) for y.")
    size = float(np.linalg.norm(targets))
    if not size > 0:
        raise InputError("y is 0, which lies on no eigenvector: needs another target.")
    values, vectors = np.linalg.eigh((theta + theta.T) / 2)
    return Projections(values[::-1], np.square(vectors.T @ (targets / size))[::-1])
