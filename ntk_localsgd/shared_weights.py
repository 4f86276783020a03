"""Rounds of Local GD of a deep network in which no client ever holds weights of its own.

Within a round, client c's layer l is W_l − η Σ_j D_{l,j}ᵀ H_{l,j}: the round's start and one low-rank term a step, with
the layer's inputs H [n_c m] and the gradients D [n_c m] by its pre-activations. So every product with W_l is one
product for all clients together, what the terms add costs τ n_c/m of that, and the average over clients is one product
at the round's end. Large products run at a machine's full rate; n_c rows beside weights of one's own do not.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_localsgd.networks import DeepReLU, Network, matmul, relu
from ntk_localsgd.trajectory import ClientData

__all__ = ["mean_movement", "pays"]

# Steps are written out one by one, which takes compile time.
_MOST_STEPS = 16


def pays(net: Network, data: ClientData, local_steps: int) -> bool:
    """Whether this is the faster way: the terms' 4(τ−1)n_c²m operations a step are few beside 6n_c m² for a layer."""
    rows = (local_steps - 1) * data.mask.shape[1]
    return isinstance(net, DeepReLU) and local_steps <= _MOST_STEPS and rows <= 1.5 * net.width


def mean_movement(net: Network, data: ClientData, eta: Array, local_steps: int) -> tuple[Float[Array, "m m"], ...]:
    """(1/K) Σ_c (W_{c,τ} − W) of every trained layer, after τ full-batch steps of every client from the network's W."""
    assert isinstance(net, DeepReLU)
    first = relu(matmul(data.inputs, net.input_weights.T))
    unmoved, inner = _shared(first, net.trained[0].T), matmul(first, _transposed(first))
    pushes = jnp.zeros_like(first)  # Σ_j D_{1,j}: the first trained layer's inputs are the same at every step
    inputs: list[list[Array]] = [[] for _ in net.trained]
    slopes: list[list[Array]] = [[] for _ in net.trained]
    for _ in range(local_steps):
        pre_activations, hidden = [unmoved - eta * matmul(inner, pushes)], [first]
        for layer in range(1, net.depth):
            hidden.append(relu(pre_activations[-1]))
            moved = _low_rank(hidden[-1], inputs[layer], slopes[layer])
            pre_activations.append(_shared(hidden[-1], net.trained[layer].T) - eta * moved)
        slope = matmul(_residual(net, relu(pre_activations[-1]), data), net.output_weights)
        for layer in reversed(range(1, net.depth)):
            slope = jnp.where(pre_activations[layer] >= 0, slope, 0)
            moved = _low_rank(slope, slopes[layer], inputs[layer])
            inputs[layer].append(hidden[layer])
            slopes[layer].append(slope)
            slope = _shared(slope, net.trained[layer]) - eta * moved
        pushes = pushes + jnp.where(pre_activations[0] >= 0, slope, 0)
    terms = [(pushes, first)] + [
        (jnp.concatenate(slopes[layer], axis=1), jnp.concatenate(inputs[layer], axis=1))
        for layer in range(1, net.depth)
    ]
    return tuple(-eta / len(data.mask) * matmul(_rows(left).T, _rows(right)) for left, right in terms)


def _residual(net: DeepReLU, last: Float[Array, "K n m"], data: ClientData) -> Float[Array, "K n o"]:
    """f − y, and 0 where the mask says padding."""
    outputs = matmul(last, net.output_weights.T)
    return jnp.where(data.mask[..., None], outputs - data.targets.reshape(outputs.shape), 0)


def _low_rank(rows: Float[Array, "K n m"], left: list[Array], right: list[Array]) -> Float[Array, "K n m"] | float:
    """Rows times Σ_j left_jᵀ right_j, client by client."""
    if not left:
        return 0.0
    before, after = jnp.concatenate(left, axis=1), jnp.concatenate(right, axis=1)
    return matmul(matmul(rows, _transposed(before)), after)


def _shared(rows: Float[Array, "K n m"], weights: Float[Array, "m m"]) -> Float[Array, "K n m"]:
    """Rows times weights that all clients share, as one product."""
    return matmul(_rows(rows), weights).reshape(rows.shape)


def _rows(stacked: Float[Array, "K n m"]) -> Float[Array, "Kn m"]:
    return stacked.reshape(math.prod(stacked.shape[:2]), stacked.shape[2])


def _transposed(stacked: Float[Array, "K n m"]) -> Float[Array, "K m n"]:
    return jnp.swapaxes(stacked, 1, 2)
