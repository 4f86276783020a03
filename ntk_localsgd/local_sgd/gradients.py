"""Losses, gradients and activation patterns of all clients at one network: pure functions of weights and samples."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import Network, matmul

__all__ = [
    "ClientData",
    "DataPass",
    "Gradients",
    "Patterns",
    "Stacked",
    "Weights",
    "data_pass",
    "difference",
    "for_each",
    "gradient",
    "layer_flips",
    "loss",
    "norm",
    "residual",
    "row_movement",
    "sample_flips",
    "sum_for_each",
    "sum_over_clients",
]

#: Of all trained layers, first layer first.
Weights = tuple[Float[Array, "m p"], ...]
#: 1{pre-activation ≥ 0} of all trained layers.
Patterns = tuple[Bool[Array, "..."], ...]

_T = TypeVar("_T")


class ClientData(NamedTuple):
    """Samples by client, padded to the largest client: inputs [K n_max d], targets [K n_max] or [K n_max o], mask."""

    inputs: Float[Array, "K n_max d"]
    targets: Float[Array, "K n_max"] | Float[Array, "K n_max o"]
    mask: Bool[Array, "K n_max"]

    @classmethod
    def of(cls, dataset: Dataset, clients: Clients, net: Network) -> "ClientData":
        """Gather a dataset by client, in the dtype and with the targets' shape of the network that will see it.

        Raises
        ------
        InputError
            If inputs, targets or clients do not fit: one output takes targets [n] or one column [n 1].
        """
        if dataset.input_dim != net.input_dim:
            raise InputError(f"dataset has {dataset.input_dim} inputs, but the network takes {net.input_dim}.")
        if clients.num_samples != dataset.num_samples:
            raise InputError(f"clients hold {clients.num_samples} samples, but the dataset has {dataset.num_samples}.")
        columns = 1 if dataset.targets.ndim == 1 else dataset.targets.shape[1]
        if columns != net.output_dim:
            outputs = "one output, a plain number" if net.output_dim == 1 else f"{net.output_dim} outputs"
            raise InputError(f"dataset has {columns} targets a row, but the network has {outputs}.")
        indices, mask = clients.padded()
        targets = dataset.targets.reshape(-1) if columns == 1 else dataset.targets
        dtype = net.trained[0].dtype
        return cls(jnp.asarray(dataset.inputs[indices], dtype), jnp.asarray(targets[indices], dtype), jnp.asarray(mask))


def for_each(function: Callable[..., _T], *stacked: PyTree) -> _T:
    """Apply a function to every client, or network: one after the other on a CPU (faster there), at once elsewhere.

    Several CPU devices are several places: what is spread over them must not be visited in turn.
    """
    if _one_after_the_other():
        return jax.lax.map(lambda args: function(*args), stacked)
    return jax.vmap(function)(*stacked)


def sum_for_each(function: Callable[..., tuple[Weights, _T]], *stacked: PyTree) -> tuple[Weights, _T]:
    """Σ over clients of what a function returns first, and all that it returns second, client by client.

    As `for_each`, but on a CPU the terms of the sum are added as they come and never held together.
    """
    if not _one_after_the_other():
        terms, others = jax.vmap(function)(*stacked)
        return sum_over_clients(terms), others
    shapes, _ = jax.eval_shape(function, *jax.tree.map(lambda leaf: leaf[0], stacked))

    def add(total: Weights, args: PyTree) -> tuple[Weights, _T]:
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


def gradient(net: Network, inputs: Array, targets: Array, mask: Array) -> Weights:
    """Gradient of `loss` by the trained weights."""
    return jax.grad(lambda trained: loss(net.with_trained(trained), inputs, targets, mask))(net.trained)


def norm(weights: Weights) -> Float[Array, ""]:
    """Frobenius norm over all trained layers together."""
    return jnp.sqrt(sum((jnp.sum(w**2) for w in weights), jnp.zeros((), weights[0].dtype)))


def difference(a: Weights, b: Weights) -> Weights:
    """Layer by layer a − b."""
    return jax.tree.map(jnp.subtract, a, b)


def sum_over_clients(stacked: Weights, shares: Float[Array, " K"] | None = None) -> Weights:
    """Σ_c w_c W_c layer by layer, w_c = 1 if no shares are given.

    As a product: on a CPU a reduction over the first axis is ten times slower.
    """
    factors = jnp.ones(len(stacked[0]), stacked[0].dtype) if shares is None else shares
    return tuple(matmul(factors, w.reshape(len(w), -1)).reshape(w.shape[1:]) for w in stacked)


def row_movement(net: Network, reference: Network) -> Float[Array, ""]:
    """max_r ‖w_r − w_r(reference)‖ over the neurons of all trained layers."""
    moved = difference(net.trained, reference.trained)
    return jnp.max(jnp.stack([jnp.max(jnp.linalg.norm(w.reshape(len(w), -1), axis=1)) for w in moved]))


def sample_flips(patterns: Patterns, reference: Patterns) -> Int[Array, "..."]:
    """Neurons of all layers whose pattern differs, per sample, as exact integers (a float32 count stops at 2^24)."""
    return jnp.sum(layer_flips(patterns, reference), axis=0)


def layer_flips(patterns: Patterns, reference: Patterns) -> Int[Array, "L ..."]:
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

    layers: Weights

    def norm(self) -> Float[Array, ""]:
        """‖Σ_c ∇L_c‖_F over all layers together."""
        return norm(sum_over_clients(self.layers))

    def client_norms(self) -> Float[Array, " K"]:
        """‖∇L_c‖_F over all layers together."""
        return jax.vmap(norm)(self.layers)


class DataPass(NamedTuple):
    """What one pass over all clients' data gives at a network: losses; gradients and flips where they are needed."""

    losses: Float[Array, " K"]
    gradients: Gradients | None
    flips: Int[Array, "K L n_max"] | None  # neurons that differ from initialization


def data_pass(
    net: Network, data: ClientData, *, gradients: bool = True, initial_patterns: Patterns | None = None
) -> DataPass:
    """L_c, ∇L_c and the layers' flips of every client, in one pass that shares its forward computation."""
    return for_each(partial(_client_pass, net, gradients), initial_patterns, *data)


def _client_pass(net: Network, gradients: bool, initial: Patterns | None, *samples: Array) -> DataPass:
    slope = Stacked(gradient(net, *samples)) if gradients else None
    flips = None if initial is None else layer_flips(net.activation_patterns(samples[0]), initial)
    return DataPass(loss(net, *samples), slope, flips)
