"""Gram matrices of a network at its weights, layer by layer and in tiles, never through a Jacobian."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ntk_localsgd.kernels.layerwise import layerwise_error, layerwise_gram
from ntk_localsgd.networks import Network, TwoLayerReLU, matmul
from ntk_localsgd.rounding import unit

__all__ = ["empirical_gram", "empirical_gram_error", "pattern_counts"]

# Neurons per tile. Patterns are float32 zeros and ones, counted by a matrix product that is exact below 2^24 neurons
# a tile; a tile of 2,048 keeps the patterns of 2,000 samples within 16 MiB.
_TILE = 2048

# From so many samples on, the symmetric matrix of counts is taken in so many groups of rows, its lower half from the
# upper: 10 of 16 blocks.
_MANY, _GROUPS = 256, 4


def empirical_gram(net: Network, x: Any, y: Any = None) -> Float[Array, "n k"] | Float[Array, "n k o o"]:
    """Empirical NTK Θ(W) = J(W) J(W)ᵀ over the trained weights.

    Layer by layer, Θ = Σ_l (h_{l−1} h_{l−1}ᵀ) ∘ (b_l b_lᵀ), with h_{l−1} the layer's input and b_l the derivative of f
    by its pre-activation: no n × (number of weights) Jacobian. For the two-layer network this is H(W), Θ_ij =
    ⟨x_i, y_j⟩ · (1/m) Σ_r 1{w_r·x_i ≥ 0} 1{w_r·y_j ≥ 0}; its counts are exact integers, and only the
    inner products and the final quotient round. For a deep network the cost is n²m + nm² a layer.

    Parameters
    ----------
    net
        The network at its weights, of any depth.
    x, y
        Inputs [n d] and [k d]; y = None means y = x.

    Returns
    -------
    [n k] for one output; [n k o o] for o of them, entry (i, j, a, b) = ⟨∇f_a(x_i), ∇f_b(y_j)⟩. In the network's dtype;
    exactly symmetric when y is None.

    References
    ----------
    Du, Zhai, Poczos and Singh (2019), eq. 6; ``docs/theory.md`` §0 and D5.
    """
    x = jnp.asarray(x, net.trained[0].dtype)
    y = None if y is None else jnp.asarray(y, x.dtype)
    if isinstance(net, TwoLayerReLU):
        gram = matmul(x, (x if y is None else y).T) * (pattern_counts(net, x, y).astype(x.dtype) / net.width)
    else:
        gram = layerwise_gram(net, x, y)
    return (gram + gram.T) / 2 if y is None and gram.ndim == 2 else _symmetric_blocks(gram) if y is None else gram


def _symmetric_blocks(gram: Float[Array, "n n o o"]) -> Float[Array, "n n o o"]:
    return (gram + gram.transpose(1, 0, 3, 2)) / 2


def pattern_counts(net: TwoLayerReLU, x: Any, y: Any = None) -> Int[Array, "n k"]:
    """Number of neurons active on both x_i and y_j, exactly; arguments as in `empirical_gram`."""
    x = jnp.asarray(x, net.weights.dtype)
    return _pattern_counts(net.weights, x, None if y is None else jnp.asarray(y, x.dtype))


@jax.jit
def _pattern_counts(
    weights: Float[Array, "m d"], x: Float[Array, "n d"], y: Float[Array, "k d"] | None
) -> Int[Array, "n k"]:
    full = len(weights) // _TILE * _TILE
    last = _tile_counts(weights[full:], x, y)
    if full:
        tiles = weights[:full].reshape(-1, _TILE, weights.shape[1])
        add = lambda total, tile: (jax.tree.map(jnp.add, total, _tile_counts(tile, x, y)), None)  # noqa: E731
        last, _ = jax.lax.scan(add, last, tiles)
    return _assembled(last) if len(last) > 1 else last[0]


def _tile_counts(
    weights: Float[Array, "b d"], x: Float[Array, "n d"], y: Float[Array, "k d"] | None
) -> tuple[Int[Array, "..."], ...]:
    """One block; for y = None and many samples on one device the blocks (i, j) of the matrix with i ≤ j, row by row."""
    pattern = partial(_pattern, weights)
    active = pattern(x)
    if y is not None:
        return (_product(active, pattern(y)),)
    # Several devices may each hold some of the rows, which must not travel.
    groups = _GROUPS if len(x) >= _MANY and jax.device_count() == 1 else 1
    parts = jnp.array_split(active, groups)
    return tuple(_product(part, other) for i, part in enumerate(parts) for other in parts[i:])


def _product(active: Float[Array, "n b"], other: Float[Array, "k b"]) -> Int[Array, "n k"]:
    # Zeros and ones are exact at every precision that a device may choose for this product.
    return (active @ other.T).astype(jnp.int32)


def _assembled(blocks: tuple[Int[Array, "..."], ...]) -> Int[Array, "n n"]:
    """The symmetric matrix whose blocks (i, j), i ≤ j, these are."""
    places = itertools.combinations_with_replacement(range(_GROUPS), 2)
    upper = dict(zip(places, blocks, strict=True))
    at = lambda i, j: upper[i, j] if i <= j else upper[j, i].T  # noqa: E731
    return jnp.block([[at(i, j) for j in range(_GROUPS)] for i in range(_GROUPS)])


def _pattern(weights: Float[Array, "b d"], x: Float[Array, "n d"]) -> Float[Array, "n b"]:
    return (matmul(x, weights.T) >= 0).astype(jnp.float32)


def empirical_gram_error(net: Network, x: Any) -> float:
    """Spectral-norm bound on the rounding error of `empirical_gram`.

    The patterns are those of the computed pre-activations. Two layers: n·(d + 6)·u, u of the network's dtype. Counts
    are exact; an inner product of unit rows is off by at most (d + 2)·u (inputs cast to the dtype included), the
    quotient, the product and the symmetric mean by u each. Deep: see `layerwise_error`, useful in float64 only.
    """
    if not isinstance(net, TwoLayerReLU):
        return layerwise_error(net, x)
    n, d = x.shape
    return n * (d + 6) * unit(net.weights.dtype)
