"""Rows that nobody trains on, in the kernel regime: how their outputs move while others are fitted."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd import prediction
from ntk_localsgd.arrays import real_array
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.config import LocalSGD

__all__ = ["output_changes"]


def output_changes(
    cross: Any, gram: Any, clients: Clients, residual: Any, config: LocalSGD
) -> Float[ndarray, "rounds+1 k"]:
    """f(W(t), x*) − f(W(0), x*) = −Θ(x*, X) a(t) of other rows, a(t) the weights that samples have gained.

    Gradient descent without end gives −Θ(x*, X) Θ⁻¹ r(0), kernel regression.

    Parameters
    ----------
    cross
        Θ between other rows and the samples, [k n], as ``kernels.empirical_gram(net, others, inputs)`` gives it.
    gram, clients, residual, config
        As of `prediction.local_sgd_mean`; the mean over what is drawn.

    Returns
    -------
    [R + 1, k] float64; NaN from where a run has diverged on.

    Raises
    ------
    InputError
        As `prediction.local_sgd_mean`, and if the shapes do not fit.

    References
    ----------
    ``docs/theory.md`` §4, [D]: f is linear in W, and W(t) = W(0) − Jᵀ a(t).
    """
    kernel = real_array("cross", cross, ndim=2)
    if kernel.shape[1] != clients.num_samples:
        raise InputError(f"cross has shape {kernel.shape}, needs a column for each of {clients.num_samples} samples.")
    residuals, gained = prediction.residuals_and_weights(gram, clients, residual, config)
    changes: ndarray = -gained @ kernel.T
    changes[~np.isfinite(residuals).all(axis=1)] = np.nan
    return changes
