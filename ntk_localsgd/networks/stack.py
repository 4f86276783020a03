"""Layers one after the other: the one network that Gram matrices, Local SGD and observables know by its structure."""

import functools
from collections.abc import Sequence
from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks.activations import RELU, Activation
from ntk_localsgd.networks.network import float_dtype, input_rows, matmul

__all__ = ["Layers", "Stack", "structure", "weight_arrays"]

#: Hidden layers (h_0, …, h_L) and pre-activations (z_1, …, z_L), each [n m].
Layers = tuple[tuple[Float[Array, "n m"], ...], tuple[Float[Array, "n m"], ...]]


class Stack(eqx.Module):
    """f = V h_L with h_0 = σ(A x) or x, z_l = W_l h_{l−1} and h_l = σ(z_l), l = 1 … L; only W_1 … W_L are trained.

    Build one with `from_arrays`, `networks.two_layer` or `networks.deep`. Inputs are NumPy or JAX
    arrays [n d]; they are cast to the dtype of the weights.

    Parameters
    ----------
    input_weights
        A [m d], fixed; None: h_0 = x.
    hidden_weights
        W_1 … W_L, trained: [m m], or [m d] for W_1 where A is None.
    output_weights
        V [o m], fixed; [m] for one output.
    activation
        σ.
    residual
        h_l = h_{l−1} + σ(z_l) instead; every W_l is square.
    divided
        f = V h_L/√m instead.
    """

    input_weights: Float[Array, "m d"] | None
    hidden_weights: tuple[Float[Array, "m p"], ...]
    output_weights: Float[Array, "o m"] | Float[Array, " m"]
    activation: Activation = eqx.field(static=True, default=RELU)
    residual: bool = eqx.field(static=True, default=False)
    divided: bool = eqx.field(static=True, default=False)

    @classmethod
    def from_arrays(
        cls, input_weights: Any, hidden_weights: Sequence[Any], output_weights: Any, *,
        activation: Activation = RELU, residual: bool = False, divided: bool = False,
    ) -> "Stack":  # fmt: skip
        """Network from arrays that something else made; arguments as of the class, float32 or float64.

        Raises
        ------
        InputError
            For wrong shapes, no trained layer, entries that are no finite real numbers, or float64 without x64 mode.
        """
        arrays, dtype = weight_arrays([input_weights, *hidden_weights, output_weights])
        first, hidden, last = arrays[0], arrays[1:-1], arrays[-1]
        shapes = [None if a is None else a.shape for a in arrays]
        width = last.shape[-1] if last is not None and last.ndim else 0
        square, entering = (width, width), (shapes[1] if first is None else shapes[0]) or ()
        inner = shapes[1:-1] if first is not None or residual else shapes[2:-1]
        if not hidden or len(entering) != 2 or entering[0] != width or any(s != square for s in inner):
            needed = "[m m] each" if residual else "[m d] and then [m m] each" if first is None else "[m d], [m m] each"
            raise InputError(f"weights have shapes {shapes}, need a trained layer, {needed}, and [o m].")
        on_device = [None if a is None else jnp.asarray(a, dtype) for a in arrays]
        return Stack(on_device[0], tuple(on_device[1:-1]), on_device[-1], activation, residual, divided)  # type: ignore[arg-type]

    @property
    def width(self) -> int:
        """Number m of neurons in every layer."""
        return self.hidden_weights[0].shape[0]

    @property
    def depth(self) -> int:
        """Number L of trained layers."""
        return len(self.hidden_weights)

    @property
    def input_dim(self) -> int:
        """Number of inputs d."""
        return (self.hidden_weights[0] if self.input_weights is None else self.input_weights).shape[1]

    @property
    def output_dim(self) -> int:
        """Number of outputs o."""
        return 1 if self.output_weights.ndim == 1 else self.output_weights.shape[0]

    @property
    def dtype(self) -> Any:
        """Of the weights."""
        return self.hidden_weights[0].dtype

    @property
    def trained(self) -> tuple[Float[Array, "m p"], ...]:
        """The trained weights: (W_1, …, W_L)."""
        return self.hidden_weights

    def with_trained(self, trained: Sequence[Array]) -> Self:
        """The same network with W_1 … W_L replaced."""
        if len(trained) != self.depth:
            raise InputError(f"trained holds {len(trained)} arrays, needs one for each of {self.depth} layers.")
        return eqx.tree_at(lambda net: net.hidden_weights, self, tuple(trained))

    def layers(self, x: Any) -> Layers:
        """Hidden layers (h_0, …, h_L) and pre-activations (W_1 h_0, …, W_L h_{L−1}), each [n m]."""
        given = input_rows(x, self.dtype, self.input_dim)
        hidden = [given if self.input_weights is None else self.activation(matmul(given, self.input_weights.T))]
        pre_activations = []
        for weights in self.hidden_weights:
            pre_activations.append(matmul(hidden[-1], weights.T))
            moved = self.activation(pre_activations[-1])
            hidden.append(hidden[-1] + moved if self.residual else moved)
        return tuple(hidden), tuple(pre_activations)

    def pre_activations(self, x: Any) -> tuple[Float[Array, "n m"], ...]:
        """W_l h_{l−1} of every trained layer, [n m] each."""
        return self.layers(x)[1]

    def activation_patterns(self, x: Any) -> tuple[Bool[Array, "n m"], ...]:
        """1{W_l h_{l−1} ≥ 0} of every trained layer, [n m] each."""
        return tuple(z >= 0 for z in self.pre_activations(x))

    def outputs(self, last: Float[Array, "n m"]) -> Float[Array, " n"] | Float[Array, "n o"]:
        """f from the last hidden layer."""
        values = matmul(last, self.output_weights.T)
        if self.divided:
            values = values / jnp.sqrt(jnp.asarray(self.width, self.dtype))
        return values[:, 0] if values.ndim == 2 and self.output_dim == 1 else values

    def __call__(self, x: Any) -> Float[Array, " n"] | Float[Array, "n o"]:
        """Outputs f(W, x_i): [n] for one output, [n o] otherwise."""
        return self.outputs(self.layers(x)[0][-1])


def structure(net: Any) -> Stack | None:
    """The network as a stack whose layers a fast path may take apart; None for any other, or one that overrides some.

    A subclass of a stack that computes something else, outputs or patterns, is a network of its own.
    """
    return net if isinstance(net, Stack) and _as_given(type(net)) else None


@functools.lru_cache(maxsize=64)  # a fifth of a small Gram matrix's time
def _as_given(own: type[Stack]) -> bool:
    """Whether a class inherits everything that a stack's layers are made of."""
    given = {"__call__", *(name for name in (*vars(Stack), *Stack.__annotations__) if not name.startswith("_"))}
    same = (getattr(own, name, None) is getattr(Stack, name, None) for name in given - {"from_arrays"})
    return all(same)


def weight_arrays(arrays: Sequence[Any]) -> tuple[list[ndarray | None], np.dtype]:
    """Weights as finite real arrays, and the dtype that holds all of them: the widest, at least float32."""
    read = [None if a is None else real_array("weights", a, ndim=(1, 2)) for a in arrays]
    dtypes = [np.asarray(a).dtype for a in arrays if a is not None and not isinstance(a, list | tuple)]
    floats = [np.dtype(np.float32) if d.itemsize < 4 else d for d in dtypes if jnp.issubdtype(d, jnp.floating)]
    return read, float_dtype(np.result_type(*floats) if floats else None)
