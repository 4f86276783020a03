"""The Gram matrix of a deep network, one layer after the other, and a bound on its rounding error."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_localsgd.networks import DeepReLU, Network, matmul

__all__ = ["layerwise_error", "layerwise_gram"]

# Rows per tile: two products of 512 rows with 5,000 columns and o = 10 outputs are a GiB in float64.
_TILE = 512


@jax.jit
def layerwise_gram(
    net: Network, x: Float[Array, "n d"], y: Float[Array, "k d"] | None = None
) -> Float[Array, "n k"] | Float[Array, "n k o o"]:
    """Σ_l (h_{l−1} h_{l−1}ᵀ) ∘ (b_l b_lᵀ) of a `DeepReLU`, from the last layer down.

    b_L = V D_L and b_l = b_{l+1} W_{l+1} D_l, D_l the activation pattern. Only one layer's b is held at a time, and
    products are taken in tiles of rows.
    """
    if not isinstance(net, DeepReLU):
        raise TypeError(f"a layerwise Gram matrix of {type(net).__name__} is not known")
    sides = [net.layers(x)] if y is None else [net.layers(x), net.layers(y)]
    backs = [jnp.where(z[-1][:, None] >= 0, net.output_weights, 0) for _, z in sides]
    total = jnp.zeros((), x.dtype)
    for layer in reversed(range(net.depth)):
        hidden = [h[layer] for h, _ in sides]
        total = total + _tiled(hidden[0], backs[0], hidden[-1], backs[-1])
        if layer:
            weights = net.hidden_weights[layer]
            backs = [jnp.where(z[layer - 1][:, None] >= 0, _times(back, weights), 0)
                     for back, (_, z) in zip(backs, sides, strict=True)]  # fmt: skip
    return total[:, :, 0, 0] if net.output_dim == 1 else total


def _times(back: Float[Array, "n o m"], weights: Float[Array, "m m"]) -> Float[Array, "n o m"]:
    """b W as one product of n·o rows."""
    return matmul(back.reshape(-1, back.shape[-1]), weights).reshape(back.shape)


def _tiled(
    h: Float[Array, "n m"], b: Float[Array, "n o m"], other_h: Float[Array, "k m"], other_b: Float[Array, "k o m"]
) -> Float[Array, "n k o o"]:
    """One layer's term, in tiles of the rows of the first side."""

    def product(tile: tuple[Array, Array]) -> Array:
        return _term(tile[0], tile[1], other_h, other_b)

    full = len(h) // _TILE * _TILE
    pieces = []
    if full:
        tiles = (h[:full].reshape(-1, _TILE, h.shape[1]), b[:full].reshape(-1, _TILE, *b.shape[1:]))
        done = jax.lax.map(product, tiles)
        pieces.append(done.reshape(full, *done.shape[2:]))
    if full < len(h):
        pieces.append(product((h[full:], b[full:])))
    return jnp.concatenate(pieces) if len(pieces) > 1 else pieces[0]


def _term(h: Array, b: Array, other_h: Array, other_b: Array) -> Float[Array, "t k o o"]:
    outputs, width = b.shape[1:]
    blocks = matmul(b.reshape(-1, width), other_b.reshape(-1, width).T)
    blocks = blocks.reshape(len(b), outputs, len(other_b), outputs).transpose(0, 2, 1, 3)
    return matmul(h, other_h.T)[:, :, None, None] * blocks


def layerwise_error(net: Network, x: Any) -> float:
    """Spectral-norm bound on the rounding error of `layerwise_gram` on x against itself, by running error analysis.

    A product of vectors of m terms is off by at most γ_{m+2} times that of their absolute values; the errors of h and b
    are carried through |W| layer by layer. Each layer multiplies the bound by about √m: in float64 it stays far below
    λ_min, in float32 it says nothing for more than two layers.

    References
    ----------
    Higham, Accuracy and stability of numerical algorithms (2002), §3.1 and §3.5.
    """
    assert isinstance(net, DeepReLU)
    unit = float(jnp.finfo(net.trained[0].dtype).eps) / 2
    # m terms, inputs cast to the dtype, and room for evaluating this bound itself in float64.
    gamma = 1.01 * (max(net.width, net.input_dim) + 4) * unit
    computed, z = net.layers(x)
    hidden = [np.asarray(h, np.float64) for h in computed]
    errors = [gamma * (np.abs(np.asarray(x, np.float64)) @ np.abs(np.asarray(net.input_weights, np.float64)).T)]
    absolute = [np.abs(np.asarray(w, np.float64)) for w in net.hidden_weights]
    for h, weights in zip(hidden, absolute, strict=False):
        errors.append((errors[-1] + gamma * (h + errors[-1])) @ weights.T)
    back = np.where(np.asarray(z[-1])[:, None] >= 0, np.asarray(net.output_weights, np.float64), 0)
    back_error, total = np.zeros_like(back), 0.0
    for layer in reversed(range(net.depth)):
        inner = _product_error(hidden[layer], errors[layer], gamma)
        outer = _product_error(back.reshape(-1, net.width), back_error.reshape(-1, net.width), gamma)
        rows = np.linalg.norm(hidden[layer], axis=1)
        columns = np.linalg.norm(back, axis=(1, 2))
        # ‖A∘B − A'∘B'‖_F ≤ Σ over the two factors of error times largest entry; 4u for products, sums and the mean.
        total += inner * (columns.max() ** 2 + outer) + outer * rows.max() ** 2
        total += 4 * unit * net.depth * float(np.sum(rows**2) * columns.max() ** 2)
        if layer:
            active = np.asarray(z[layer - 1])[:, None] >= 0
            weights = np.asarray(net.hidden_weights[layer], np.float64)
            back_error = np.where(active, (back_error + gamma * (np.abs(back) + back_error)) @ absolute[layer], 0)
            back = np.where(active, back @ weights, 0)
    return float(total)


def _product_error(rows: np.ndarray, errors: np.ndarray, gamma: float) -> float:
    """Bound on the Frobenius norm of the error of a Gram matrix of rows that are off by at most ``errors``."""
    off, size = np.linalg.norm(errors, axis=1), np.linalg.norm(rows, axis=1)
    return float(np.linalg.norm(np.outer(off, size) + np.outer(size, off) + np.outer(off, off)
                                + gamma * np.outer(size + off, size + off)))  # fmt: skip
