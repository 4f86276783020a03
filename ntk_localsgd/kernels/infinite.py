"""The Gram matrix of an infinitely wide network at its initialization."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.distance import cdist

from ntk_localsgd.errors import InputError
from ntk_localsgd.rounding import UNIT

__all__ = [
    "infinite_deep_gram",
    "infinite_deep_gram_neural_tangents",
    "infinite_gram",
    "infinite_gram_error",
    "infinite_gram_neural_tangents",
]


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
    x, angles = _unit_rows_and_angles(inputs)
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
    return num_samples * (input_dim + 12) * UNIT


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


def infinite_deep_gram(inputs: Any, depth: int) -> Float[ndarray, "n n"]:
    """Limit Θ^∞ of Θ(W(0))/m for a `DeepReLU` with one output as its width m → ∞.

    Θ^∞ = ½ Σ_{l=1}^{L} Σ_{l−1} ∘ κ0(Σ_{l−1}) ∘ … ∘ κ0(Σ_{L−1}), where Σ_0 = κ1(G) and Σ_l = κ1(Σ_{l−1}) are the
    limits of ⟨h_l(x_i), h_l(x_j)⟩, κ0 = (π − θ)/π and κ1 = (sin θ + (π − θ) cos θ)/π for an inner product cos θ.

    For o outputs the blocks of the limit are Θ^∞/o on the diagonal and 0 off it. Angles are carried instead of inner
    products, so that near-equal rows keep their digits. The diagonal is exactly L/2.

    Parameters
    ----------
    inputs
        Rows of unit norm, [n d].
    depth
        Number L of trained layers.

    Returns
    -------
    [n n] symmetric float64 matrix.

    Raises
    ------
    InputError
        If a row is not of unit norm, or the depth is below 1.

    References
    ----------
    Cho and Saul (2009), eqs. 4–6; ``docs/theory.md``, D5 [P].
    """
    if depth < 1:
        raise InputError(f"depth is {depth}, needs to be at least 1.")
    _, angles = _unit_rows_and_angles(inputs)
    np.fill_diagonal(angles, 0.0)
    hidden, derivatives = [], []
    for _ in range(depth):
        angles = _angles_after_layer(angles)
        hidden.append(np.cos(angles))
        derivatives.append((np.pi - angles) / np.pi)
    total, backward = np.zeros_like(angles), np.full_like(angles, 0.5)
    for inner, derivative in zip(reversed(hidden), reversed(derivatives), strict=True):
        backward = backward * derivative
        total += inner * backward
    return (total + total.T) / 2


def _angles_after_layer(angles: Float[ndarray, "n n"]) -> Float[ndarray, "n n"]:
    """Angle between h_l(x_i) and h_l(x_j) from that between h_{l−1}(x_i) and h_{l−1}(x_j): arccos κ1(cos θ).

    Through half its chord: 1 − κ1 = (2π sin²(θ/2) + θ cos θ − sin θ)/π keeps the digits that arccos loses near 1.
    """
    gap = (2 * np.pi * np.sin(angles / 2) ** 2 + angles * np.cos(angles) - np.sin(angles)) / np.pi
    return 2 * np.arcsin(np.sqrt(np.clip(gap / 2, 0, 1)))


def infinite_deep_gram_neural_tangents(inputs: Any, depth: int) -> Float[ndarray, "n n"]:
    """The same limit by a second route: neural-tangents' infinite-width kernel with A and V frozen.

    A's layer is run and its contribution to the NTK set to 0, the trained layers are run, and what training V would
    contribute, the NNGP kernel, is subtracted. With parameterization='ntk' and W_std = √2 (1 for V) the limit of Θ/m is
    ½ of that kernel: neural-tangents' trained weights are standard normal and multiplied by √(2/m), which its
    derivatives carry as a factor 2/m where Θ/m has 1/m.

    Parameters
    ----------
    inputs
        Rows of unit norm, [n d]. JAX's x64 mode must be on for float64.
    depth
        Number L of trained layers.

    Returns
    -------
    [n n]; off the diagonal to about 1e-12, on it to about 1e-7 (its arccos amplifies rounding at 1, once a layer).
    """
    from ntk_localsgd.kernels._neural_tangents import neural_tangents

    stax = neural_tangents().stax
    x = np.asarray(inputs, np.float64)
    _, _, first = stax.serial(stax.Dense(1, W_std=np.sqrt(2)), stax.Relu())
    trained = [piece for _ in range(depth) for piece in (stax.Dense(1, W_std=np.sqrt(2)), stax.Relu())]
    _, _, rest = stax.serial(*trained, stax.Dense(1))
    frozen = first(x * np.sqrt(x.shape[1]), None)
    both = rest(frozen.replace(ntk=0 * frozen.ntk))
    return (np.asarray(both.ntk) - np.asarray(both.nngp)) / 2


def _unit_rows_and_angles(inputs: Any) -> tuple[Float[ndarray, "n d"], Float[ndarray, "n n"]]:
    """Rows divided by their norms, and the angles between them; refuses rows that are not of unit norm."""
    x = np.asarray(inputs, np.float64)
    norms = np.linalg.norm(x, axis=1)
    # float32 rows are accepted: their norm is off by 2⁻²⁴, and the kernel of their directions is what is computed.
    if (worst := int(np.argmax(np.abs(norms - 1)))) >= 0 and not abs(norms[worst] - 1) <= 1e-6:
        raise InputError(f"inputs row {worst} has norm {norms[worst]:.6g}, needs 1: datasets.from_arrays normalises.")
    x = x / norms[:, None]
    return x, 2 * np.arctan2(cdist(x, x), cdist(x, -x))
