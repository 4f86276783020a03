"""What observables see of a run: at a round's end, at a step, with the Gram matrix."""

import dataclasses
from functools import cached_property
from typing import Literal, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int
from numpy import ndarray

from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels import empirical_gram_error
from ntk_localsgd.local_sgd.gradients import DataPass, Gradients, Weights, difference, gradient, layer_flips, residual
from ntk_localsgd.networks import Network, structure

__all__ = ["GramState", "Need", "RoundState", "StepState", "TakenState", "neurons"]

#: What an observable of a round's end may need besides losses and weights; what nobody needs is not computed.
Need = Literal["gradients", "summed gradient", "flips"]

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class RoundState:
    """What the observables of a round's end see: the averaged network, the ones before, a pass over the data."""

    network: Network
    initial: Network
    previous: Network
    over_data: DataPass
    mask: Bool[Array, "K n_max"]

    @property
    def losses(self) -> Float[Array, " K"]:
        """L_c(W(t))."""
        return self.over_data.losses

    @property
    def gradients(self) -> Gradients:
        """∇L_c(W(t)) of all clients, by their norms; needs "gradients", and its ``norm()`` "summed gradient" too."""
        return _needed(self.over_data.gradients, "gradients")

    @property
    def flips(self) -> Int[Array, "K L n_max"]:
        """Neurons that differ from initialization, of each layer and sample; needs "flips"."""
        return _needed(self.over_data.flips, "flips")

    @cached_property
    def moved(self) -> Weights:
        """W(t) − W(0)."""
        return difference(self.network.trained, self.initial.trained)

    @cached_property
    def layer_flip_fractions(self) -> Float[Array, " L"]:
        """Share of the entries of each layer's patterns that differ from initialization; needs "flips"."""
        # Shares are at most 1, so that no sum leaves the integers' range.
        share = self.flips.astype(self.losses.dtype) / neurons(self.network)[None, :, None]
        number = jnp.sum(self.mask).astype(share.dtype)
        return jnp.sum(jnp.where(self.mask[:, None], share, 0), axis=(0, 2)) / number


def neurons(net: Network) -> Float[Array, " L"]:
    """Neurons m of each layer that has patterns, whatever their widths."""
    row = jax.ShapeDtypeStruct((1, net.input_dim), net.trained[0].dtype)
    shapes = jax.eval_shape(net.activation_patterns, row)
    return jnp.asarray([float(pattern.shape[-1]) for pattern in shapes], net.trained[0].dtype)


def _needed(value: _T | None, name: Need) -> _T:
    if value is None:
        raise InputError(f"an observable asks for {name}, but its needs do not list {name!r}.")
    return value


@dataclasses.dataclass(frozen=True)
class TakenState:
    """What the observables of a step taken see: the client's weights, the gradient it follows, those at the start."""

    trained: Weights
    gradient: Weights
    start: Weights
    start_gradient: Weights


@dataclasses.dataclass(frozen=True)
class StepState:
    """What the observables of a local step see: one client's network, the average over clients, the round's start."""

    network: Network
    average: Network
    start: Network
    inputs: Float[Array, "n_max d"]
    targets: Float[Array, " n_max"]
    mask: Bool[Array, " n_max"]

    @cached_property
    def samples(self) -> tuple[Array, Array, Array]:
        """This client's samples."""
        return self.inputs, self.targets, self.mask

    @cached_property
    def gradient(self) -> Weights:
        """∇L_c at the client's own network."""
        return gradient(self.network, *self.samples)

    @cached_property
    def jacobian_difference(self) -> Weights:
        """(J_c(W_{c,k}) − J_c(W̄_k))ᵀ (f(W̄_k) − y): what is left of the gradients' difference at equal residuals."""
        _, pull = jax.vjp(self._outputs, self.network.trained)
        (pulled,) = pull(residual(self.average, *self.samples))
        return difference(pulled, gradient(self.average, *self.samples))

    def _outputs(self, trained: Weights) -> Array:
        return self.network.with_trained(trained)(self.inputs)

    @cached_property
    def layer_flips_from_average(self) -> Int[Array, "L n_max"]:
        """Neurons of each layer that the average sees differently, 0 where the mask says padding."""
        now, average = self.network.activation_patterns(self.inputs), self.average.activation_patterns(self.inputs)
        return jnp.where(self.mask[None], layer_flips(now, average), 0)

    @cached_property
    def neurons(self) -> Float[Array, " L"]:
        """Neurons m of each layer that has patterns."""
        return neurons(self.network)


@dataclasses.dataclass(frozen=True)
class GramState:
    """What the observables of the Gram matrix see, on the host in float64: Θ as one matrix (n·o)², now and at t = 0.

    ``network`` is ``initial_network``, from which movement is measured, at the weights ``trained``.
    """

    initial_network: Network
    trained: Weights
    inputs: Float[ndarray, "n d"]
    gram: Float[ndarray, "no no"]
    initial: Float[ndarray, "no no"]

    @cached_property
    def network(self) -> Network:
        """The averaged network."""
        return self.initial_network.with_trained(jax.tree.map(jnp.asarray, self.trained))

    @cached_property
    def error(self) -> float:
        """Bound on the spectral norm of ``gram``'s rounding errors; 0 for no stack, of which none is known."""
        if structure(self.network) is None:
            return 0.0
        n, o = len(self.inputs), self.network.output_dim
        blocks = self.gram.reshape(n, o, n, o).transpose(0, 2, 1, 3)
        return empirical_gram_error(self.network, self.inputs, gram=blocks)
