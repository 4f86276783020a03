"""Gram matrices of a network at its weights: layer by layer where its structure is known, by Jacobians where not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels.counts import counts_of
from ntk_localsgd.networks import Network, Stack, TwoLayerReLU, matmul, structure
from ntk_localsgd.networks.network import read_rows

__all__ = ["empirical_gram", "empirical_grams", "output_rows"]

# Rows per tile: two products of 512 rows with 5,000 columns and o = 10 outputs are a GiB in float64.
_ROWS = 512

# Entries of a Jacobian held at a time: half a GiB in float64.
_ENTRIES = 2**26


def empirical_gram(
    net: Network, x: Any, y: Any = None, *, other: Network | None = None
) -> Float[Array, "n k"] | Float[Array, "n k o o"]:
    """Empirical NTK Θ(W) = J(W) J(W)ᵀ over the trained weights; between two networks, J(W) J(W')ᵀ.

    Of a `Stack` layer by layer, Θ = Σ_l (h_{l−1} h_{l−1}ᵀ) ∘ (b_l b_lᵀ), with h_{l−1} the layer's input and b_l the
    derivative of f by its pre-activation: no n × (number of weights) Jacobian. For `TwoLayerReLU` this is H(W), Θ_ij =
    ⟨x_i, y_j⟩ · (1/m) Σ_r 1{w_r·x_i ≥ 0} 1{w_r·y_j ≥ 0}; its counts are exact integers, and only the inner products
    and the final quotient round. For a deep network the cost is n²m + nm² a layer. Any other network is differentiated
    sample by sample, in tiles.

    Parameters
    ----------
    net
        The network at its weights.
    x, y
        Inputs [n d] and [k d]; y = None means y = x.
    other
        The network that y meets, for Gram matrices between clients; None: the same.

    Returns
    -------
    [n k] for one output; [n k o o] for o of them, entry (i, j, a, b) = ⟨∇f_a(x_i), ∇f_b(y_j)⟩. In the network's dtype;
    exactly symmetric when y and other are None.

    Raises
    ------
    InputError
        For inputs that do not fit, networks of two shapes, or a float64 network where x64 mode is off.

    References
    ----------
    Du, Zhai, Poczos and Singh (2019), eq. 6; ``docs/theory.md`` §0 and D5.
    """
    if other is not None:
        _check_pair(net, other)
    dtype = net.trained[0].dtype
    x = read_rows(x, dtype, net.input_dim, "x")
    y = None if y is None else read_rows(y, dtype, net.input_dim, "y")
    if structure(net) is not None and (other is None or structure(other) is not None):
        width = np.asarray(net.trained[0].shape[0], dtype)
        return _by_layers(net, other, x, y, width)
    x, y = (None if rows is None else jnp.asarray(rows, dtype) for rows in (x, y))
    gram = _by_jacobians(net, x, net if other is None else other, x if y is None else y)
    return gram if y is not None or other is not None else _mirrored(gram)


def empirical_grams(
    net: Network, trained: tuple[Array, ...], x: Any
) -> Float[Array, "s n n"] | Float[Array, "s n n o o"]:
    """Gram matrices of one network at several trained weights [s ...], as `empirical_gram` at each up to rounding.

    Of a `Stack` by one call, where many small matrices would take longer to call for than to compute.

    Raises
    ------
    InputError
        As `empirical_gram`.
    """
    x = read_rows(x, net.trained[0].dtype, net.input_dim, "x")
    if structure(net) is not None:
        return _one_by_one(net, trained, x, np.asarray(net.trained[0].shape[0], net.trained[0].dtype))
    each = [net.with_trained(tuple(layer[k] for layer in trained)) for k in range(len(trained[0]))]
    return jnp.stack([empirical_gram(one, x) for one in each])


@jax.jit
def _one_by_one(
    net: Stack, trained: tuple[Array, ...], x: Float[Array, "n d"], width: Float[Array, ""]
) -> Float[Array, "s n n"] | Float[Array, "s n n o o"]:
    return jax.lax.map(lambda weights: _by_layers(net.with_trained(weights), None, x, None, width), trained)


def _check_pair(net: Network, other: Network) -> None:
    shapes = [[w.shape for w in each.trained] for each in (net, other)]
    dtypes = [each.trained[0].dtype for each in (net, other)]
    if shapes[0] != shapes[1] or dtypes[0] != dtypes[1] or net.output_dim != other.output_dim:
        raise InputError(f"networks have trained weights {shapes[0]} and {shapes[1]}, need the same shapes and dtype.")


@jax.jit  # checks aside, one call: of small matrices the calls take longer than what they compute
def _by_layers(
    net: Stack, other: Stack | None, x: Float[Array, "n d"], y: Float[Array, "k d"] | None, width: Float[Array, ""]
) -> Float[Array, "n k"] | Float[Array, "n k o o"]:
    """Of stacks. The quotient is one in every program: XLA would multiply by the reciprocal of what is broadcast."""
    second, same = net if other is None else other, y is None and other is None
    x = jnp.asarray(x, net.dtype)
    right = x if y is None else jnp.asarray(y, net.dtype)
    if isinstance(net, TwoLayerReLU) and isinstance(second, TwoLayerReLU):
        counts = counts_of(net.weights, None if other is None else second.weights, x, None if same else right)
        neurons = jax.lax.optimization_barrier(jnp.broadcast_to(width, counts.shape))
        gram = matmul(x, right.T) * (counts.astype(x.dtype) / neurons)
    else:
        gram = _layerwise(((net, x),) if same else ((net, x), (second, right)))
    return _mirrored(gram) if same else gram


def output_rows(net: Stack) -> Float[Array, "o m"]:
    """∂f/∂h_L: V, divided by √m where the network is."""
    rows = net.output_weights if net.output_weights.ndim == 2 else net.output_weights[None]
    return rows / jnp.sqrt(jnp.asarray(net.width, net.dtype)) if net.divided else rows


@jax.jit
def _mirrored(gram: Float[Array, "n n *o"]) -> Float[Array, "n n *o"]:
    """Exactly symmetric: what lies above the diagonal, of [n n o o] as a matrix of n·o rows, in both places.

    As a sum: of n a power of 2, XLA takes seconds (n = 256) to minutes (512) to compile a choice between the two.
    """
    if gram.ndim == 2:
        return jnp.triu(gram) + jnp.triu(gram, 1).T
    samples, outputs = gram.shape[1:3]
    rows = gram.transpose(0, 2, 1, 3).reshape(samples * outputs, -1)
    return _mirrored(rows).reshape(samples, outputs, samples, outputs).transpose(0, 2, 1, 3)


def _layerwise(sides: tuple[tuple[Stack, Float[Array, "n d"]], ...]) -> Float[Array, "n k"] | Float[Array, "n k o o"]:
    """Σ_l (h_{l−1} h_{l−1}ᵀ) ∘ (b_l b_lᵀ), from the last layer down; one side for a matrix with itself.

    g_L = V, b_l = g_l ∘ σ'(z_l) and g_{l−1} = b_l W_l (+ g_l with residual connections). Only one layer's b is held at
    a time, and products are taken in tiles of rows.
    """
    nets = [net for net, _ in sides]
    passes = [net.layers(x) for net, x in sides]
    arriving = [output_rows(net)[None] for net in nets]
    total = jnp.zeros((), nets[0].dtype)
    for layer in reversed(range(nets[0].depth)):
        backs = [
            net.activation.times_slope(z[layer][:, None], g)
            for net, (_, z), g in zip(nets, passes, arriving, strict=True)
        ]
        hidden = [h[layer] for h, _ in passes]
        total = total + _tiled(hidden[0], backs[0], hidden[-1], backs[-1])
        if layer:
            moved = [_times(back, net.hidden_weights[layer]) for back, net in zip(backs, nets, strict=True)]
            arriving = [new + old if net.residual else new for net, new, old in zip(nets, moved, arriving, strict=True)]
    return total[:, :, 0, 0] if nets[0].output_dim == 1 else total


def _times(back: Float[Array, "n o m"], weights: Float[Array, "m m"]) -> Float[Array, "n o m"]:
    """b W as one product of n·o rows."""
    return matmul(back.reshape(-1, back.shape[-1]), weights).reshape(back.shape)


def _tiled(
    h: Float[Array, "n m"], b: Float[Array, "n o m"], other_h: Float[Array, "k m"], other_b: Float[Array, "k o m"]
) -> Float[Array, "n k o o"]:
    """One layer's term, in tiles of the rows of the first side."""

    def product(tile: tuple[Array, Array]) -> Array:
        return _term(tile[0], tile[1], other_h, other_b)

    full = len(h) // _ROWS * _ROWS
    pieces = []
    if full:
        tiles = (h[:full].reshape(-1, _ROWS, h.shape[1]), b[:full].reshape(-1, _ROWS, *b.shape[1:]))
        done = jax.lax.map(product, tiles)
        pieces.append(done.reshape(full, *done.shape[2:]))
    if full < len(h):
        pieces.append(product((h[full:], b[full:])))
    return jnp.concatenate(pieces) if len(pieces) > 1 else pieces[0]


def _term(h: Array, b: Array, other_h: Array, other_b: Array) -> Float[Array, "t k o o"]:
    return matmul(h, other_h.T)[:, :, None, None] * _blocks(b, other_b)


def _blocks(rows: Float[Array, "t o p"], others: Float[Array, "k o p"]) -> Float[Array, "t k o o"]:
    """Inner products of all rows, sample by sample and output by output."""
    outputs, width = rows.shape[1:]
    blocks = matmul(rows.reshape(-1, width), others.reshape(-1, width).T)
    return blocks.reshape(len(rows), outputs, len(others), outputs).transpose(0, 2, 1, 3)


def _by_jacobians(
    net: Network, x: Float[Array, "n d"], other: Network, y: Float[Array, "k d"]
) -> Float[Array, "n k"] | Float[Array, "n k o o"]:
    """Inner products of gradients by autodiff, a tile of samples at a time."""
    rows = max(1, _ENTRIES // (net.output_dim * sum(w.size for w in net.trained)))
    tiles = [[side[start : start + rows] for start in range(0, len(side), rows)] for side in (x, y)]
    gram = []
    for tile in tiles[0]:
        left = _jacobian(net, tile)
        gram.append(jnp.concatenate([_blocks(left, _jacobian(other, part)) for part in tiles[1]], axis=1))
    whole = jnp.concatenate(gram)
    return whole[:, :, 0, 0] if net.output_dim == 1 else whole


def _jacobian(net: Network, x: Float[Array, "t d"]) -> Float[Array, "t o p"]:
    """∇f of every sample and output over all trained weights."""

    def outputs(trained: tuple[Array, ...], row: Array) -> Array:
        return net.with_trained(trained)(row[None]).reshape(net.output_dim)

    layers = jax.vmap(jax.jacrev(outputs), in_axes=(None, 0))(net.trained, x)
    return jnp.concatenate([layer.reshape(len(x), net.output_dim, -1) for layer in layers], axis=-1)
