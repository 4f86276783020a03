"""Proved bounds on the rounding error of `empirical_gram`, by a second evaluation in more digits."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels.empirical import empirical_gram, output_rows
from ntk_localsgd.networks import LeakyReLU, Network, Stack, TwoLayerReLU, input_rows, structure
from ntk_localsgd.rounding import SLACK, unit

__all__ = ["empirical_gram_error"]

# Multiplications in long double, which has no BLAS, above which a float64 network is checked in float64: half a minute.
_MOST_WORK = 1e10

# Roundings with which NumPy and SciPy evaluate a smooth σ or σ', relative to 1 + |z|: they state a few units.
_EVALUATION = 32


def empirical_gram_error(net: Network, x: Any, y: Any = None, *, gram: Any = None) -> float:
    """Spectral-norm bound on the rounding error of ``empirical_gram(net, x, y)``.

    The patterns are those of the computed pre-activations. `TwoLayerReLU`: γ_{d+7}·√(Σ‖x_i‖² Σ‖y_j‖²), γ_k = ku/(1 −
    ku) for u of the network's dtype, about n(d + 7)·u for unit rows. An inner product rounds d + 2 times (both inputs
    are cast), the quotient, the product and the symmetric mean once each; counts are exact, but they and m are cast
    too, which rounds beyond 2²⁴ neurons in float32.

    Other stacks: ‖Θ̂ − Θ̃‖_F plus the error of Θ̃, the same matrix evaluated on the host with more digits (float64 for a
    float32 network, long double where the platform has it for a float64 one). The error of Θ̃ is carried from layer to
    layer: a product of vectors of m terms is off by at most γ_{m+2} times that of their absolute values.

    Parameters
    ----------
    net
        A `Stack` at its weights.
    x, y
        As given to `empirical_gram`.
    gram
        The matrix whose error is asked for; None: `empirical_gram` is called once more.

    Returns
    -------
    The bound, to be passed to `smallest_eigenvalue` as ``error``; of [n k o o] for the (no) × (ko) matrix.

    Raises
    ------
    InputError
        For a network that is no `Stack`, weights traced by a JAX transformation, or a float64 network where x64 mode is
        off.

    References
    ----------
    Higham, Accuracy and stability of numerical algorithms (2002), §3.1 and §3.5.
    """
    stack = structure(net)
    if stack is None:
        raise InputError(f"net is a {type(net).__name__}, needs to be a stack: no bound on others' rounding is known.")
    inputs = [real_array(name, side, ndim=2) for name, side in (("x", x), ("y", y)) if side is not None]
    for rows in inputs:
        input_rows(rows, stack.dtype, stack.input_dim)
    if isinstance(stack, TwoLayerReLU):
        return _two_layers(stack, inputs[0], inputs[-1])
    work = sum(map(len, inputs)) * stack.output_dim * stack.depth * stack.width**2
    finer = stack.dtype == np.float32 or work > _MOST_WORK or not isinstance(stack.activation, LeakyReLU)
    reference = _Reference(stack, np.float64 if finer else np.longdouble)
    exact, rest = reference.gram([reference.side(rows) for rows in inputs])
    stored = np.asarray(empirical_gram(net, x, y) if gram is None else gram).reshape(exact.shape)
    return float(np.linalg.norm((stored - exact).astype(np.float64)) * SLACK + rest)


def _two_layers(net: TwoLayerReLU, x: Float[ndarray, "n d"], y: Float[ndarray, "k d"]) -> float:
    roundings, u = net.input_dim + 7, unit(net.dtype)
    norms = [np.linalg.norm(side, axis=1) for side in (x, y)]
    relative = u / (1 - roundings * u) * float(np.linalg.norm(norms[0])) * float(np.linalg.norm(norms[1]))
    # A product that underflows is off by less than the smallest normal number, and so is a coordinate in the cast.
    largest = 1 + float(norms[0].max()) + float(norms[1].max())
    lost = float(np.finfo(net.dtype).tiny) * float(np.sqrt(len(x) * len(y))) * largest
    return roundings * (relative * SLACK + lost)


class _Side(NamedTuple):
    """One set of inputs: layers, slopes and bounds on what their entries are off by."""

    hidden: list[ndarray]
    off: list[ndarray]
    slopes: list[ndarray]
    slopes_off: list[ndarray]


class _Reference:
    """The stack evaluated on the host in a dtype of more digits, with running bounds on its own error in float64."""

    def __init__(self, net: Stack, dtype: Any) -> None:
        arrays = [
            None if w is None else real_array("weights", w, ndim=2) for w in (net.input_weights, *net.hidden_weights)
        ]
        self.net, self.dtype, self.unit = net, dtype, float(np.finfo(dtype).eps) / 2
        self.weights = [None if w is None else w.astype(dtype) for w in arrays]
        self.absolute = [None if w is None else np.abs(w) for w in arrays]
        # m terms, a cast, and room for evaluating the bounds themselves in float64.
        self.gamma = 1.01 * (max(net.width, net.input_dim) + 4) * self.unit
        self.lost = max(net.width, net.input_dim) * float(np.finfo(np.float64).tiny)
        self.last = np.asarray(output_rows(net) if not net.divided else net.output_weights, dtype)
        self.last = self.last.reshape(net.output_dim, net.width)
        if net.divided:
            self.last = self.last / np.sqrt(dtype(net.width))

    def product(self, rows: ndarray, off: ndarray, layer: int, *, back: bool = False) -> tuple[ndarray, ndarray]:
        """Rows times a layer's weights (transposed on the way forward), and what the product is off by."""
        weights, absolute = self.weights[layer], self.absolute[layer]
        assert weights is not None
        assert absolute is not None
        if not back:
            weights, absolute = weights.T, absolute.T
        size = np.abs(rows).astype(np.float64)
        return rows @ weights, (off + self.gamma * (size + off)) @ absolute * 1.01 + self.lost

    def activated(self, z: ndarray, off: ndarray, slopes: ndarray | None) -> tuple[ndarray, ndarray, ndarray, ndarray]:
        """σ(z) and σ'(z) with what they are off by; of a piecewise linear σ with the slopes of the computed network."""
        sigma = self.net.activation
        values, own = sigma.on_host(z)
        if slopes is not None:
            values, own = slopes * z, slopes
        evaluated = 0.0 if isinstance(sigma, LeakyReLU) else _EVALUATION * self.unit
        size = np.abs(z).astype(np.float64)
        lines = sigma.steepest * off + (2 * self.unit + evaluated) * (1 + size + off)
        return values, lines, own, sigma.most_bent * off + evaluated * (1 + size + off)

    def side(self, x: Float[ndarray, "n d"]) -> _Side:
        """Forward through all layers."""
        net = self.net
        computed = [None] * net.depth
        if isinstance(net.activation, LeakyReLU):
            low = self.dtype(net.activation.negative_slope)
            computed = [np.where(active, self.dtype(1), low) for active in map(np.asarray, _patterns(net, x))]
        h, off = x.astype(self.dtype), np.zeros(x.shape)
        if net.input_weights is not None:
            z, off = self.product(h, off, 0)
            h, off, _, _ = self.activated(z, off, None)
        side = _Side([h], [off], [], [])
        for layer, slopes in enumerate(computed, start=1):
            z, z_off = self.product(h, off, layer)
            moved, moved_off, own, own_off = self.activated(z, z_off, slopes)
            if net.residual:
                moved_off = moved_off + off + self.unit * np.abs(moved + h).astype(np.float64)
                moved = moved + h
            h, off = moved, moved_off
            for held, more in zip(side, (h, off, own, own_off), strict=True):
                held.append(more)
        return side

    def gram(self, sides: list[_Side]) -> tuple[Float[ndarray, "n k o o"], float]:
        """The Gram matrix of the first side with the last, and a bound on its Frobenius error."""
        net, total, error = self.net, np.zeros((), self.dtype), 0.0
        arriving = [(self.last[None], 2 * self.unit * np.abs(self.last[None]).astype(np.float64))] * len(sides)
        for layer in reversed(range(net.depth)):
            backs = []
            for side, (g, g_off) in zip(sides, arriving, strict=True):
                slopes, slopes_off = side.slopes[layer][:, None], side.slopes_off[layer][:, None]
                size = np.abs(g).astype(np.float64)
                b_off = g_off * np.abs(slopes).astype(np.float64) + (size + g_off) * (slopes_off + 2 * self.unit)
                backs.append((g * slopes, b_off * 1.01))
            rows = [_Rows.of(side.hidden[layer], side.off[layer]) for side in sides]
            columns = [_Rows.of(b.reshape(-1, net.width), off.reshape(-1, net.width)) for b, off in backs]
            inner, outer = (_product_error(part[0], part[-1], self.gamma) for part in (rows, columns))
            # ‖A∘B − A'∘B'‖_F ≤ Σ over the two factors of error times largest entry; 4u for products, sums, the mean.
            most = [np.sqrt((part.size.reshape(-1, net.output_dim) ** 2).sum(axis=1)).max() for part in columns]
            entries = float(most[0] * most[-1])
            error += inner * (entries + outer) + outer * float(rows[0].size.max() * rows[-1].size.max())
            whole = float(np.linalg.norm(rows[0].size) * np.linalg.norm(rows[-1].size))
            error += 4 * self.unit * net.depth * whole * entries
            total = total + self.term(sides, [b for b, _ in backs], layer)
            if layer:
                moved = [self.product(b, off, layer + 1, back=True) for b, off in backs]
                arriving = [self.skipped(new, old) for new, old in zip(moved, arriving, strict=True)]
        return total, 1.01 * error

    def skipped(self, new: tuple[ndarray, ndarray], old: tuple[ndarray, ndarray]) -> tuple[ndarray, ndarray]:
        """g_{l−1} with g_l added, where there are residual connections."""
        if not self.net.residual:
            return new
        total = new[0] + old[0]
        return total, new[1] + old[1] + self.unit * np.abs(total).astype(np.float64)

    def term(self, sides: list[_Side], backs: list[ndarray], layer: int) -> Float[ndarray, "n k o o"]:
        """(h hᵀ) ∘ (b bᵀ) of one layer."""
        o, m = self.net.output_dim, self.net.width
        left, right = backs[0], backs[-1]
        blocks = (left.reshape(-1, m) @ right.reshape(-1, m).T).reshape(len(left), o, len(right), o)
        return (sides[0].hidden[layer] @ sides[-1].hidden[layer].T)[:, :, None, None] * blocks.transpose(0, 2, 1, 3)


@jax.jit
def _patterns(net: Stack, x: Float[Array, "n d"]) -> tuple[Array, ...]:
    return net.activation_patterns(x)


class _Rows(NamedTuple):
    """Norms of rows, and of what they are off by."""

    size: Float[ndarray, " n"]
    off: Float[ndarray, " n"]

    @classmethod
    def of(cls, rows: ndarray, off: ndarray) -> "_Rows":
        size, deviation = (np.linalg.norm(each.astype(np.float64), axis=1) * SLACK for each in (rows, off))
        if not (np.isfinite(size).all() and np.isfinite(deviation).all()) or ((size == 0) & rows.any(axis=1)).any():
            raise InputError("weights or inputs are so large or small that their squares leave float64: scale them.")
        return cls(size, deviation)


def _product_error(left: _Rows, right: _Rows, gamma: float) -> float:
    """Bound on the Frobenius norm of the error of the inner products of rows."""
    mixed = np.outer(left.off, right.size) + np.outer(left.size, right.off) + np.outer(left.off, right.off)
    return float(np.linalg.norm(mixed + gamma * np.outer(left.size + left.off, right.size + right.off)))
