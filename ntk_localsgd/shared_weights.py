"""Rounds of Local SGD in which no client ever holds weights of its own.

Within a round, client c's layer l is W_l − η Σ_j D_{l,j}ᵀ H_{l,j}: the round's start and one low-rank term a step, with
the layer's inputs H and the gradients D by its pre-activations, [b m] each for b samples. So every product with W_l is
one for all clients together, what the terms add costs about τb/m of that, and the average over clients is one product
at the round's end. Large products run at a machine's full rate; b rows beside weights of one's own do not.

The first trained layer's inputs are the same at every step: its product is taken once a round, and between steps only
its pre-activations move, by inner products of the client's own samples. Of a two-layer network that is all there is, so
that a round reads the weights once and writes them once, whatever the number of local steps.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ntk_localsgd.networks import DeepReLU, Network, TwoLayerReLU, matmul, relu
from ntk_localsgd.trajectory import ClientData

__all__ = ["mean_movement", "pays"]

# Steps are written out one by one, which takes compile time.
_MOST_STEPS = 16


def pays(net: Network, data: ClientData, local_steps: int, batch_size: int | None = None) -> bool:
    """Whether this is the faster way, for full batches (None) or batches of b.

    Deep: the terms' 4(τ−1)b²m operations a step must be few beside 6bm² for a layer; measured, this way is faster up to
    (τ−1)b about m/2. And a round's batches, τb samples, must not be many fewer than the client's n_c, all of which meet
    the round's first layer once. Two layers, by counts alone: 4 n_c dm for that layer's products and 2(τ−1) b n_c m
    between the steps, where clients with weights of their own need 4τ bdm.
    """
    if local_steps > _MOST_STEPS:
        return False
    held = data.mask.shape[1]
    rows = batch_size or held
    if isinstance(net, TwoLayerReLU):
        return 2 * held * net.input_dim + (local_steps - 1) * rows * held <= 2 * local_steps * rows * net.input_dim
    if not isinstance(net, DeepReLU):
        return False
    return 2 * (local_steps - 1) * rows <= net.width and held <= 2 * local_steps * rows


def mean_movement(
    net: Network, data: ClientData, eta: Array, local_steps: int, batches: Int[Array, "tau K b"] | None = None
) -> tuple[Array, ...]:
    """(1/K) Σ_c (W_{c,τ} − W) of every trained layer, after τ steps of every client from the network's W.

    ``batches`` names the samples of every step, by their place in the client's data; None: all of them at every step.
    """
    first, output_weights = _around(net, data.inputs)
    # The first trained layer's inputs never change: what Σ_j D_{1,j}, sample by sample, does to its outputs is known.
    unmoved, inner = _shared(first, net.trained[0].T), matmul(first, _transposed(first))
    pushes = jnp.zeros_like(unmoved)
    depth = len(net.trained)
    inputs: list[list[Array]] = [[] for _ in net.trained]
    slopes: list[list[Array]] = [[] for _ in net.trained]
    for step in range(local_steps):
        at = None if batches is None else batches[step]
        pre_activations, hidden = [_at(unmoved, at) - eta * matmul(_at(inner, at), pushes)], [first]
        for layer in range(1, depth):
            hidden.append(relu(pre_activations[-1]))
            moved = _low_rank(hidden[-1], inputs[layer], slopes[layer])
            pre_activations.append(_shared(hidden[-1], net.trained[layer].T) - eta * moved)
        left = _residual(output_weights, relu(pre_activations[-1]), _at(data.targets, at), _at(data.mask, at))
        slope = matmul(left, output_weights)
        for layer in reversed(range(1, depth)):
            slope = jnp.where(pre_activations[layer] >= 0, slope, 0)
            moved = _low_rank(slope, slopes[layer], inputs[layer])
            inputs[layer].append(hidden[layer])
            slopes[layer].append(slope)
            slope = _shared(slope, net.trained[layer]) - eta * moved
        pushes = _add_at(pushes, at, jnp.where(pre_activations[0] >= 0, slope, 0))
    terms = [(pushes, first)] + [
        (jnp.concatenate(slopes[layer], axis=1), jnp.concatenate(inputs[layer], axis=1)) for layer in range(1, depth)
    ]
    return tuple(-eta / len(data.mask) * matmul(_rows(left).T, _rows(right)) for left, right in terms)


def _around(net: Network, inputs: Float[Array, "K n d"]) -> tuple[Float[Array, "K n p"], Float[Array, "o m"]]:
    """What stands before and behind the trained layers: the first one's inputs, and the output's fixed weights."""
    if isinstance(net, TwoLayerReLU):
        return inputs, net.signs[None] / jnp.sqrt(jnp.asarray(net.width, net.signs.dtype))
    assert isinstance(net, DeepReLU)
    return relu(matmul(inputs, net.input_weights.T)), net.output_weights


def _at(held: Array, chosen: Int[Array, "K b"] | None) -> Array:
    """Each client's chosen samples; None: all."""
    return held if chosen is None else jax.vmap(lambda own, rows: own[rows])(held, chosen)


def _add_at(held: Array, chosen: Int[Array, "K b"] | None, more: Array) -> Array:
    """More for each client's chosen samples; None: for all."""
    return held + more if chosen is None else jax.vmap(lambda own, rows, add: own.at[rows].add(add))(held, chosen, more)


def _residual(weights: Float[Array, "o m"], last: Float[Array, "K b m"], targets: Array, mask: Array) -> Array:
    """f − y [K b o], and 0 where the mask says padding."""
    outputs = matmul(last, weights.T)
    return jnp.where(mask[..., None], outputs - targets.reshape(outputs.shape), 0)


def _low_rank(rows: Float[Array, "K n m"], left: list[Array], right: list[Array]) -> Float[Array, "K n m"] | float:
    """Rows times Σ_j left_jᵀ right_j, client by client."""
    if not left:
        return 0.0
    before, after = jnp.concatenate(left, axis=1), jnp.concatenate(right, axis=1)
    return matmul(matmul(rows, _transposed(before)), after)


def _shared(rows: Float[Array, "K n p"], weights: Float[Array, "p m"]) -> Float[Array, "K n m"]:
    """Rows times weights that all clients share, as one product."""
    return matmul(_rows(rows), weights).reshape(*rows.shape[:2], -1)


def _rows(stacked: Float[Array, "K n m"]) -> Float[Array, "Kn m"]:
    return stacked.reshape(math.prod(stacked.shape[:2]), stacked.shape[2])


def _transposed(stacked: Float[Array, "K n m"]) -> Float[Array, "K m n"]:
    return jnp.swapaxes(stacked, 1, 2)
