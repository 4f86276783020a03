"""Losses, gradients and activation patterns of all clients at one network: pure functions of weights and samples."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.networks import Network, matmul

__all__ = [
    "ClientData", "DataPass", "Gradients", "Stacked", "data_pass", "difference", "for_each", "gradient", "layer_flips",
    "loss", "norm", "residual", "row_movement", "sample_flips", "sum_for_each", "sum_over_clients",
]  # fmt: skip


class ClientData(NamedTuple):
    """Samples by client, padded to the largest client: inputs [K n_max d], targets [K n_max] or [K n_max o], mask."""

    inputs: Float[Array, "K n_max d"]
    targets: Float[Array, "K n_max"] | Float[Array, "K n_max o"]
    mask: Bool[Array, "K n_max"]

    @classmethod
    def of(cls, dataset: Dataset, clients: Clients, dtype: Any) -> "ClientData":
        """Gather a dataset by client, in the dtype of the network that will see it."""
        indices, mask = clients.padded()
        return cls(
            jnp.asarray(dataset.inputs[indices], dtype), jnp.asarray(dataset.targets[indices], dtype), jnp.asarray(mask)
        )


def for_each(function: Callable[..., Any], *stacked: Any) -> Any:
    """Apply a function to every client, or network: one after the other on a CPU (faster there), at once elsewhere.

    Several CPU devices are several places: what is spread over them must not be visited in turn.
    """
    if _one_after_the_other():
        return jax.lax.map(lambda args: function(*args), stacked)
    return jax.vmap(function)(*stacked)


def sum_for_each(
    function: Callable[..., tuple[tuple[Array, ...], Any]], *stacked: Any
) -> tuple[tuple[Array, ...], Any]:
    """Σ over clients of what a function returns first, and all that it returns second, client by client.

    As `for_each`, but on a CPU the terms of the sum are added as they come and never held together.
    """
    if not _one_after_the_other():
        terms, others = jax.vmap(function)(*stacked)
        return sum_over_clients(terms), others
    shapes, _ = jax.eval_shape(function, *jax.tree.map(lambda leaf: leaf[0], stacked))

    def add(total: Any, args: Any) -> Any:
        term, other = function(*args)
        return jax.tree.map(jnp.add, total, term), other

    return jax.lax.scan(add, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes), stacked)


def _one_after_the_other() -> bool:
    return jax.default_backend() == "cpu" and jax.device_count() == 1


def residual(net: Network, inputs: Array, targets: Array, mask: Array) -> Float[Array, " n"] | Float[Array, "n o"]:
    """f(W, x_i) − y_i, and 0 where the mask says padding."""
    left = net(inputs) - targets
    return jnp.where(mask if left.ndim == 1 else mask[:, None], left, 0)


def loss(net: Network, inputs: Array, targets: Array, mask: Array) -> Float[Array, ""]:
    """½ Σ_i ‖f(W, x_i) − y_i‖², the sum over the samples that the mask keeps."""
    return jnp.sum(residual(net, inputs, targets, mask) ** 2) / 2


def gradient(net: Network, inputs: Array, targets: Array, mask: Array) -> tuple[Array, ...]:
    """Gradient of `loss` by the trained weights."""
    return jax.grad(lambda trained: loss(net.with_trained(trained), inputs, targets, mask))(net.trained)


def norm(weights: tuple[Array, ...]) -> Float[Array, ""]:
    """Frobenius norm over all trained layers together."""
    return jnp.sqrt(sum((jnp.sum(w**2) for w in weights), jnp.zeros((), weights[0].dtype)))


def difference(a: tuple[Array, ...], b: tuple[Array, ...]) -> tuple[Array, ...]:
    """Layer by layer a − b."""
    return jax.tree.map(jnp.subtract, a, b)


def sum_over_clients(stacked: tuple[Array, ...]) -> tuple[Array, ...]:
    """Σ_c W_c layer by layer, as a product with ones: on a CPU a reduction over the first axis is ten times slower."""
    return tuple(matmul(jnp.ones(len(w), w.dtype), w.reshape(len(w), -1)).reshape(w.shape[1:]) for w in stacked)


def row_movement(net: Network, reference: Network) -> Float[Array, ""]:
    """max_r ‖w_r − w_r(reference)‖ over the neurons of all trained layers."""
    moved = difference(net.trained, reference.trained)
    return jnp.max(jnp.stack([jnp.max(jnp.linalg.norm(w, axis=1)) for w in moved]))


def sample_flips(patterns: tuple[Array, ...], reference: tuple[Array, ...]) -> Array:
    """Neurons of all layers whose pattern differs, per sample, as exact integers (a float32 count stops at 2^24)."""
    return jnp.sum(layer_flips(patterns, reference), axis=0)


def layer_flips(patterns: tuple[Array, ...], reference: tuple[Array, ...]) -> Array:
    """Neurons of each layer whose pattern differs, [L …] per layer and sample, as exact integers."""
    return jnp.stack([jnp.sum(a != b, axis=-1, dtype=jnp.int32) for a, b in zip(patterns, reference, strict=True)])


class Gradients(Protocol):
    """∇L_c of all clients, in whatever form they were found."""

    def norm(self) -> Float[Array, ""]:
        """‖Σ_c ∇L_c‖_F over all layers together."""
        ...

    def client_norms(self) -> Float[Array, " K"]:
        """‖∇L_c‖_F over all layers together."""
        ...


class Stacked(NamedTuple):
    """The gradients themselves, [K …] a layer."""

    layers: tuple[Array, ...]

    def norm(self) -> Float[Array, ""]:
        """‖Σ_c ∇L_c‖_F over all layers together."""
        return norm(sum_over_clients(self.layers))

    def client_norms(self) -> Float[Array, " K"]:
        """‖∇L_c‖_F over all layers together."""
        return jax.vmap(norm)(self.layers)


class DataPass(NamedTuple):
    """What one pass over all clients' data gives at a network: losses; gradients and flips where they are wanted."""

    losses: Float[Array, " K"]
    gradients: Gradients | tuple[()]  # () if not wanted
    flips: Any  # neurons that differ from initialization, [K L n_max]; () if not wanted


def data_pass(
    net: Network, data: ClientData, *, gradients: bool = True, initial_patterns: tuple[Array, ...] = ()
) -> DataPass:
    """L_c, ∇L_c and the layers' flips of every client, in one pass that shares its forward computation."""

    def of_client(initial: tuple[Array, ...], *samples: Array) -> DataPass:
        slope = Stacked(gradient(net, *samples)) if gradients else ()
        flips = layer_flips(net.activation_patterns(samples[0]), initial) if initial else ()
        return DataPass(loss(net, *samples), slope, flips)

    return for_each(of_client, initial_patterns, *data)
