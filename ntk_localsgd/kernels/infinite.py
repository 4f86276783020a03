"""The Gram matrix of an infinitely wide network at its initialization."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.distance import cdist

from ntk_localsgd.errors import InputError

__all__ = ["infinite_gram", "infinite_gram_error", "infinite_gram_neural_tangents"]

_UNIT_ROUNDOFF = np.finfo(np.float64).eps / 2


def infinite_gram(inputs: Any) -> Float[ndarray, "n n"]:
    """Gram matrix H^∞ of the infinitely wide two-layer ReLU network on unit-norm rows.

    H^∞_ij = E_w[⟨x_i, x_j⟩ 1{w·x_i ≥ 0} 1{w·x_j ≥ 0}] = ⟨x_i, x_j⟩ (π − θ_ij) / 2π, w ~ N(0, I), θ_ij the angle.

    The angle is 2·atan2(‖x_i − x_j‖, ‖x_i + x_j‖), accurate for near-equal and near-opposite rows, where arccos of the
    inner product loses half the digits. The diagonal is exactly ½.

    Parameters
    ----------
    inputs
        Rows of unit norm, [n d].

    Returns
    -------
    [n n] symmetric float64 matrix; each entry is within (d + 12)·u of the truth, see `infinite_gram_error`.

    Raises
    ------
    InputError
        If a row is not of unit norm.

    References
    ----------
    Cho and Saul (2009), eq. 6; Arora et al. (2019), eq. 12. Claim K1 [P].
    """
    x = np.asarray(inputs, np.float64)
    norms = np.linalg.norm(x, axis=1)
    # float32 rows are accepted: their norm is off by 2⁻²⁴, and the kernel of their directions is what is computed.
    if (worst := int(np.argmax(np.abs(norms - 1)))) >= 0 and not abs(norms[worst] - 1) <= 1e-6:
        raise InputError(f"inputs row {worst} has norm {norms[worst]:.6g}, needs 1: datasets.from_arrays normalises.")
    x = x / norms[:, None]
    angles = 2 * np.arctan2(cdist(x, x), cdist(x, -x))
    gram = (x @ x.T) * (np.pi - angles) / (2 * np.pi)
    np.fill_diagonal(gram, 0.5)
    # A matrix product need not round (i, j) and (j, i) alike.
    return (gram + gram.T) / 2


def infinite_gram_error(num_samples: int, input_dim: int) -> float:
    """Spectral-norm bound on the rounding error of `infinite_gram`, n·(d + 12)·u.

    Entry by entry, with u = 2⁻⁵³ and first-order terms rounded up (``docs/theory.md``, appendix A): the inner product
    is off by (d + 5)·u (summation d·u, norms of the stored rows 5u), times a weight of at most ½; the angle by
    (d + 12)·u from the two distances ((d/2 + 3)·u each, relative, and the norms again) and 2u·π from atan2 and the
    subtraction, divided by 2π; multiplying out rounds three times more. The sum is below (0.66·d + 8)·u. An n × n
    matrix of such entries has spectral norm at most n times that. The test suite compares with ball arithmetic.

    Parameters
    ----------
    num_samples, input_dim
        n and d.

    Returns
    -------
    The bound, to be passed to `smallest_eigenvalue` as ``error``.
    """
    return num_samples * (input_dim + 12) * _UNIT_ROUNDOFF


def infinite_gram_neural_tangents(inputs: Any) -> Float[ndarray, "n n"]:
    """H^∞ by a second route: neural-tangents' infinite-width kernel with the readout frozen.

    The NTK of ``Dense → Relu → Dense`` is the sum of the kernel of the trained first layer and the NNGP kernel, which
    is what training the readout contributes; H^∞ is the difference. Its parameterization='ntk' with W_std = 1 has the
    scaling of this project, factor 1. On the diagonal it is about 1e-8 off: its arccos amplifies rounding at 1.

    Parameters
    ----------
    inputs
        Rows of unit norm, [n d]. JAX's x64 mode must be on for float64.

    Returns
    -------
    [n n]
    """
    from ntk_localsgd.kernels._neural_tangents import neural_tangents

    stax = neural_tangents().stax
    _, _, kernel = stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1))
    # W_std = 1 and trace over d inputs: neural-tangents divides the input product by d, so scale the rows by √d.
    x = np.asarray(inputs, np.float64)
    both = kernel(x * np.sqrt(x.shape[1]), None, get=("ntk", "nngp"))
    return np.asarray(both.ntk) - np.asarray(both.nngp)
