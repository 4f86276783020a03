"""How many neurons are active on two samples at once: exact integers, in tiles of neurons."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import Network, TwoLayerReLU, input_rows, matmul, structure

__all__ = ["counts_of", "pattern_counts", "pattern_gram"]

# Neurons per tile. Patterns are float32 zeros and ones, counted by a matrix product that is exact below 2^24 neurons
# a tile; a tile of 2,048 keeps the patterns of 2,000 samples within 16 MiB.
_TILE = 2048

# From so many samples on, the symmetric matrix of counts is taken in so many groups of rows, its lower half from the
# upper: 10 of 16 blocks.
_MANY, _GROUPS = 256, 4


def pattern_counts(net: Network, x: Any, y: Any = None, *, other: Network | None = None) -> Int[Array, "n k"]:
    """Number of neurons r with w_r·x_i ≥ 0 and w'_r·y_j ≥ 0, exactly.

    Parameters
    ----------
    net, other
        `TwoLayerReLU` networks of one width with weights W and W'; None: W' = W.
    x, y
        Inputs [n d] and [k d]; y = None means y = x.

    Raises
    ------
    InputError
        For another network, widths that differ, or inputs that do not fit.
    """
    second = net if other is None else other
    for each in (net, second):
        if not isinstance(structure(each), TwoLayerReLU):
            raise InputError(f"net is a {type(each).__name__}, needs to be a TwoLayerReLU with its own outputs.")
    assert isinstance(net, TwoLayerReLU)
    assert isinstance(second, TwoLayerReLU)
    if second.weights.shape != net.weights.shape or second.dtype != net.dtype:
        raise InputError(f"weights have shapes {net.weights.shape} and {second.weights.shape}, need one and one dtype.")
    x = input_rows(x, net.dtype, net.input_dim, "x")
    y = None if y is None else input_rows(y, net.dtype, net.input_dim, "y")
    if other is None:
        return counts_of(net.weights, None, x, y)
    return counts_of(net.weights, second.weights, x, x if y is None else y)


@jax.jit
def counts_of(
    weights: Float[Array, "m d"],
    others: Float[Array, "m d"] | None,
    x: Float[Array, "n d"],
    y: Float[Array, "k d"] | None,
) -> Int[Array, "n k"]:
    """`pattern_counts` of arrays that are known to fit, in a program of its own or as a part of one."""
    full = len(weights) // _TILE * _TILE
    sides = [weights] if others is None else [weights, others]
    total = _tile_counts([side[full:] for side in sides], x, y)
    if full:
        tiles = [side[:full].reshape(-1, _TILE, side.shape[1]) for side in sides]
        total, _ = jax.lax.scan(partial(_added, x, y), total, tiles)
    return _assembled(total) if len(total) > 1 else total[0]


def _added(x: Array, y: Array | None, total: tuple[Array, ...], tile: list[Array]) -> tuple[tuple[Array, ...], None]:
    return jax.tree.map(jnp.add, total, _tile_counts(tile, x, y)), None


def _tile_counts(
    weights: list[Float[Array, "b d"]], x: Float[Array, "n d"], y: Float[Array, "k d"] | None
) -> tuple[Int[Array, "..."], ...]:
    """One block; for y = None and many samples on one device the blocks (i, j) of the matrix with i ≤ j, row by row."""
    active = _pattern(weights[0], x)
    if y is not None:
        return (_product(active, _pattern(weights[-1], y)),)
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
    every = {place: block for (i, j), whole in upper.items() for place, block in (((j, i), whole.T), ((i, j), whole))}
    return jnp.block([[every[i, j] for j in range(_GROUPS)] for i in range(_GROUPS)])


def _pattern(weights: Float[Array, "b d"], x: Float[Array, "n d"]) -> Float[Array, "n b"]:
    return (matmul(x, weights.T) >= 0).astype(jnp.float32)


def pattern_gram(x: Any, patterns: Any, y: Any = None, other_patterns: Any = None) -> Float[ndarray, "n k"]:
    """Gram matrix ⟨x_i, y_j⟩ (1/m) Σ_r A_ir B_jr of a two-layer network with any activation patterns, on the host.

    Parameters
    ----------
    x, y
        Inputs [n d] and [k d]; y = None means y = x.
    patterns, other_patterns
        A [n m] and B [k m], zeros and ones; B = None means B = A.

    Returns
    -------
    [n k] in float64; counts are exact.

    Raises
    ------
    InputError
        For entries that are neither 0 nor 1, or shapes that do not fit.
    """
    left, a = real_array("x", x, ndim=2), real_array("patterns", patterns, ndim=2)
    right = left if y is None else real_array("y", y, ndim=2)
    b = a if other_patterns is None else real_array("other_patterns", other_patterns, ndim=2)
    shapes = (len(left), len(right), left.shape[1], a.shape[1])
    if shapes != (len(a), len(b), right.shape[1], b.shape[1]):
        given = [part.shape for part in (left, a, right, b)]
        raise InputError(f"x, patterns, y, other_patterns have shapes {given}, need [n d], [n m], [k d], [k m].")
    if not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        raise InputError("patterns hold other numbers than 0 and 1, need to be 1 where a neuron is active.")
    gram: ndarray = (left @ right.T) * (a @ b.T) / a.shape[1]
    return gram if right is not left or b is not a else (gram + gram.T) / 2
