"""A network whose activation patterns stay those of its start: what the kernel regime approximates."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
from jaxtyping import Array, Bool, Float

from ntk_localsgd.errors import InputError
from ntk_localsgd.networks.activations import LeakyReLU
from ntk_localsgd.networks.network import input_rows, matmul
from ntk_localsgd.networks.stack import Stack, structure

__all__ = ["FrozenPatterns"]


class FrozenPatterns(eqx.Module):
    """z_l = W_l h_{l−1}, h_l = D_l(x) z_l with D_l the slopes of the network ``initial``, whatever W is.

    At W = W(0) it has the outputs and the gradients of its stack. With one trained layer it is linear in W, its Gram
    matrix is fixed, and trained by Local SGD it follows the kernel-regime recursion exactly, at every width.

    Parameters
    ----------
    network
        The stack at its weights; its σ is piecewise linear.
    initial
        The stack that decides the patterns.
    """

    network: Stack
    initial: Stack

    @classmethod
    def at(cls, net: Any) -> "FrozenPatterns":
        """The network with its own patterns frozen; `InputError` for one that is no stack with ReLU or leaky ReLU."""
        stack = structure(net)
        if stack is None or not isinstance(stack.activation, LeakyReLU):
            raise InputError(f"net is a {type(net).__name__}, needs to be a stack of ReLU or leaky ReLU layers.")
        return cls(stack, stack)

    @property
    def input_dim(self) -> int:
        """Number of inputs d."""
        return self.network.input_dim

    @property
    def output_dim(self) -> int:
        """Number of outputs o."""
        return self.network.output_dim

    @property
    def trained(self) -> tuple[Float[Array, "m p"], ...]:
        """The trained weights: (W_1, …, W_L)."""
        return self.network.trained

    def with_trained(self, trained: Sequence[Array]) -> "FrozenPatterns":
        """The same network with W replaced."""
        return FrozenPatterns(self.network.with_trained(trained), self.initial)

    def activation_patterns(self, x: Any) -> tuple[Bool[Array, "n m"], ...]:
        """Those of ``initial``, whatever W is."""
        return self.initial.activation_patterns(x)

    def __call__(self, x: Any) -> Float[Array, " n"] | Float[Array, "n o"]:
        """Outputs, [n] or [n o]."""
        net = self.network
        given = input_rows(x, net.dtype, net.input_dim)
        hidden = given if net.input_weights is None else net.activation(matmul(given, net.input_weights.T))
        for start, weights in zip(self.initial.pre_activations(given), net.hidden_weights, strict=True):
            moved = net.activation.times_slope(start, matmul(hidden, weights.T))
            hidden = hidden + moved if net.residual else moved
        return net.outputs(hidden)
