"""Gram matrices of infinitely wide networks at their initialization, and proved bounds on their rounding errors."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.distance import cdist

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import RELU, Activation, LeakyReLU
from ntk_localsgd.rounding import UNIT
from ntk_localsgd.scalars import whole_number

__all__ = [
    "infinite_deep_gram",
    "infinite_deep_gram_error",
    "infinite_deep_gram_neural_tangents",
    "infinite_gram",
    "infinite_gram_all_layers",
    "infinite_gram_error",
    "infinite_gram_neural_tangents",
]


def infinite_gram(x: Any, y: Any = None, *, activation: Activation = RELU) -> Float[ndarray, "n k"]:
    """Gram matrix of the infinitely wide two-layer network on unit-norm rows; H^∞ for ReLU.

    H^∞_ij = E_w[⟨x_i, y_j⟩ σ'(w·x_i) σ'(w·y_j)], w ~ N(0, I): for ReLU ⟨x_i, y_j⟩ (π − θ_ij) / 2π, θ_ij the angle.

    The angle is 2·atan2(‖x_i − y_j‖, ‖x_i + y_j‖), accurate for near-equal and near-opposite rows, where arccos of the
    inner product loses half the digits. For ReLU the diagonal is exactly ½ where y is None.

    Parameters
    ----------
    x, y
        Rows of unit norm, [n d] and [k d]; y = None means y = x.
    activation
        σ.

    Returns
    -------
    [n k] in float64, symmetric where y is None; for ReLU within (d + 12)·u of the truth, see `infinite_gram_error`.

    Raises
    ------
    InputError
        If a row is not of unit norm, or inputs are no rows of finite real numbers.

    References
    ----------
    Cho and Saul (2009), eq. 6; Arora et al. (2019), eq. 12. Claim K1 [P].

    >>> infinite_gram([[1.0, 0.0], [0.0, 1.0]])
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    rows, others, angles = _unit_rows_and_angles(x, y)
    inner = rows @ others.T
    if isinstance(activation, LeakyReLU):
        gram = inner * activation.agreement(angles) / (2 * np.pi)
    else:
        gram = inner * activation.dual(angles).slopes
    if y is not None:
        return gram
    np.fill_diagonal(gram, activation.dual(np.zeros(1)).slopes[0])
    # A matrix product need not round (i, j) and (j, i) alike.
    return (gram + gram.T) / 2


def infinite_gram_all_layers(x: Any, y: Any = None, *, activation: Activation = RELU) -> Float[ndarray, "n k"]:
    """Limit of the kernel of f = m^{-1/2} Σ_r a_r σ(w_r·x) with both layers trained, w_r ~ N(0, I_d), a_r = ±1.

    `infinite_gram` and what the second layer adds, E[σ(w·x_i) σ(w·y_j)]; for ReLU (sin θ + (π − θ) cos θ)/2π.

    Parameters
    ----------
    x, y, activation
        As in `infinite_gram`.

    Returns
    -------
    [n k] in float64, symmetric where y is None.

    Raises
    ------
    InputError
        As `infinite_gram`.

    References
    ----------
    Cho and Saul (2009), eqs. 4–6; Jacot, Gabriel and Hongler (2018).

    >>> infinite_gram_all_layers([[1.0, 0.0], [0.0, 1.0]]).round(4)
    array([[1.    , 0.1592],
           [0.1592, 1.    ]])
    """
    _, _, angles = _unit_rows_and_angles(x, y)
    dual = activation.dual(angles)
    values = dual.square - dual.gap
    added = (values + values.T) / 2 if y is None else values
    return infinite_gram(x, y, activation=activation) + added


def infinite_gram_error(num_samples: int, input_dim: int, num_others: int | None = None) -> float:
    """Spectral-norm bound on the rounding error of `infinite_gram` for ReLU, √(nk)·(d + 12)·u.

    Entry by entry, with u = 2⁻⁵³ and first-order terms rounded up (``docs/theory.md``, appendix A): the inner product
    is off by (d + 5)·u (summation d·u, norms of the stored rows 5u), times a weight of at most ½; the angle by
    (d + 12)·u from the two distances ((d/2 + 3)·u each, relative, and the norms again) and 2u·π from atan2 and the
    subtraction, divided by 2π; multiplying out rounds three times more. The sum is below (0.66·d + 8)·u. An n × k
    matrix of such entries has spectral norm at most √(nk) times that. The test suite compares with ball arithmetic.

    Parameters
    ----------
    num_samples, input_dim, num_others
        n, d and k; None: k = n.

    Returns
    -------
    The bound, to be passed to `smallest_eigenvalue` as ``error``.
    """
    return _spread(num_samples, num_others) * (whole_number("input_dim", input_dim) + 12) * UNIT


def _spread(num_samples: int, num_others: int | None) -> float:
    """√(nk), which times the largest entry bounds the spectral norm; n without rounding for k = n."""
    n = whole_number("num_samples", num_samples)
    k = n if num_others is None else whole_number("num_others", num_others)
    return n if k == n else float(np.sqrt(n * k)) * (1 + 2 * UNIT)


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
    from ntk_localsgd.kernels.neural_tangents import neural_tangents

    stax = neural_tangents().stax
    _, _, kernel = stax.serial(stax.Dense(1), stax.Relu(), stax.Dense(1))
    # W_std = 1 and trace over d inputs: neural-tangents divides the input product by d, so scale the rows by √d.
    x = np.asarray(inputs, np.float64)
    both = kernel(x * np.sqrt(x.shape[1]), None, get=("ntk", "nngp"))
    return np.asarray(both.ntk) - np.asarray(both.nngp)


def infinite_deep_gram(
    x: Any, depth: int, y: Any = None, *, activation: Activation = RELU, residual: bool = False
) -> Float[ndarray, "n k"]:
    """Limit Θ^∞ of Θ(W(0))/m for `networks.deep` (ReLU: `DeepReLU`) with one output as its width m → ∞.

    Θ^∞ = Σ_{l=1}^{L} Σ_{l−1} ∘ S_l ∘ Π_{k>l} c S_k, where Σ_l is the limit of ⟨h_l(x_i), h_l(y_j)⟩ and S_l that of the
    mean of σ'(z_l(x_i)) σ'(z_l(y_j)): means over Gaussian pairs with covariance c Σ_{l−1}, c = σ.weight_variance. For
    ReLU Θ^∞ = ½ Σ_l Σ_{l−1} ∘ κ0(Σ_{l−1}) ∘ … ∘ κ0(Σ_{L−1}), Σ_0 = κ1(G), Σ_l = κ1(Σ_{l−1}), κ0 = (π − θ)/π and κ1 =
    (sin θ + (π − θ) cos θ)/π for an inner product cos θ. With residual connections Σ_l has Σ_{l−1} and the products of
    means added, and c S_k becomes 1 + c S_k.

    For o outputs the blocks of the limit are Θ^∞/o on the diagonal and 0 off it. Angles are carried instead of inner
    products, so that near-equal rows keep their digits. For ReLU the diagonal is exactly L/2.

    Parameters
    ----------
    x, y
        Rows of unit norm, [n d] and [k d]; y = None means y = x.
    depth
        Number L of trained layers.
    activation
        σ.
    residual
        Whether h_l = h_{l−1} + σ(z_l).

    Returns
    -------
    [n k] in float64, symmetric where y is None.

    Raises
    ------
    InputError
        If a row is not of unit norm, or the depth is below 1.

    References
    ----------
    Cho and Saul (2009), eqs. 4–6; Jacot, Gabriel and Hongler (2018); ``docs/theory.md``, D5 [P].
    """
    depth = whole_number("depth", depth)
    _, _, angles = _unit_rows_and_angles(x, y)
    scale = activation.weight_variance
    dual = activation.dual(angles, scale)
    # Rows of unit norm share Σ_l(x, x) = square and the mean of h_l's entries.
    square, mean, gap = dual.square, dual.mean, dual.gap
    hidden, slopes = [], []
    for _ in range(depth):
        angles = 2 * np.arcsin(np.sqrt(np.clip(gap / square / 2, 0, 1)))
        hidden.append(square * np.cos(angles))
        dual = activation.dual(angles, scale * square)
        slopes.append(scale * dual.slopes)
        if residual:
            square, gap = square + dual.square + 2 * mean * dual.mean, gap + dual.gap
            mean += dual.mean
        else:
            square, mean, gap = dual.square, dual.mean, dual.gap
    total, backward = np.zeros_like(angles), np.full_like(angles, 1 / scale)
    for inner, slope in zip(reversed(hidden), reversed(slopes), strict=True):
        total += inner * (backward * slope)
        backward = backward * (1 + slope if residual else slope)
    return (total + total.T) / 2 if y is None else total


# What one layer's arithmetic adds to an angle's error, in u, if elementary functions are off by at most 8u.
_ANGLE = 150


def infinite_deep_gram_error(num_samples: int, input_dim: int, depth: int, num_others: int | None = None) -> float:
    """Spectral-norm bound on the rounding error of `infinite_deep_gram` for ReLU without residual connections.

    The map θ ↦ arccos κ1(cos θ) is 1-Lipschitz and its arithmetic adds at most 150u, so that the angle entering trained
    layer l is off by δ_l = (d + 20 + 150 l)·u; cos and κ0 are off by δ_l + 9u and δ_l/π + 12u, and each of the L
    terms is ½ times a product of at most L + 1 factors of at most 1. Proof: ``docs/theory.md``, appendix A.

    Parameters
    ----------
    num_samples, input_dim, depth, num_others
        n, d, L and k; None: k = n.

    Returns
    -------
    The bound, to be passed to `smallest_eigenvalue` as ``error``: √(nk) times that of an entry.
    """
    dim, depth = whole_number("input_dim", input_dim), whole_number("depth", depth)
    angles = [dim + 20 + _ANGLE * layer for layer in range(1, depth + 1)]
    slopes = [angle / np.pi + 12 for angle in angles]
    # Of each product the errors of its factors and one rounding a factor; then the sum of L terms of at most ½.
    terms = [(angles[layer] + 9 + sum(slopes[layer:]) + 2 * (depth - layer)) / 2 for layer in range(depth)]
    return _spread(num_samples, num_others) * 1.01 * (sum(terms) + depth * (depth + 2) / 2) * UNIT


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
    from ntk_localsgd.kernels.neural_tangents import neural_tangents

    stax = neural_tangents().stax
    x = np.asarray(inputs, np.float64)
    _, _, first = stax.serial(stax.Dense(1, W_std=np.sqrt(2)), stax.Relu())
    trained = [piece for _ in range(depth) for piece in (stax.Dense(1, W_std=np.sqrt(2)), stax.Relu())]
    _, _, rest = stax.serial(*trained, stax.Dense(1))
    frozen = first(x * np.sqrt(x.shape[1]), None)
    both = rest(frozen.replace(ntk=0 * frozen.ntk))
    return (np.asarray(both.ntk) - np.asarray(both.nngp)) / 2


def _unit_rows_and_angles(x: Any, y: Any) -> tuple[Float[ndarray, "n d"], Float[ndarray, "k d"], Float[ndarray, "n k"]]:
    """Rows divided by their norms, and the angles between them; refuses rows that are not of unit norm."""
    rows = _unit_rows("x", x)
    others = rows if y is None else _unit_rows("y", y)
    if others.shape[1] != rows.shape[1]:
        raise InputError(f"x and y have {rows.shape[1]} and {others.shape[1]} columns, need the same number.")
    angles = 2 * np.arctan2(cdist(rows, others), cdist(rows, -others))
    if y is None:
        np.fill_diagonal(angles, 0.0)
    return rows, others, angles


def _unit_rows(name: str, rows: Any) -> Float[ndarray, "n d"]:
    rows = real_array(name, rows, ndim=2)
    norms = np.linalg.norm(rows, axis=1)
    # float32 rows are accepted: their norm is off by 2⁻²⁴, and the kernel of their directions is what is computed.
    worst = int(np.argmax(np.abs(norms - 1)))
    if not abs(norms[worst] - 1) <= 1e-6:
        raise InputError(f"{name} row {worst} has norm {norms[worst]:.6g}, needs 1: datasets.from_arrays normalises.")
    unit: ndarray = rows / norms[:, None]
    return unit
