"""The deep ReLU network of the main paper: L trained square layers between a frozen first and a frozen last one."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ntk_localsgd.errors import InputError
from ntk_localsgd.networks.network import float_dtype, matmul, relu

__all__ = ["DeepReLU"]


class DeepReLU(eqx.Module):
    """f = V h_L with h_0 = σ(A x) and h_l = σ(W_l h_{l−1}) for l = 1 … L; only W_1 … W_L are trained.

    A and W_l start with N(0, 2/m) entries and V with N(0, 1/o) entries, so that every ‖h_l‖ stays near 1. Build one
    with `init` or `from_arrays`. Inputs are NumPy or JAX arrays [n d]; they are cast to the dtype of the weights. The
    setting is that of Allen-Zhu, Li and Song (2019) and of Deng, Kamani and Mahdavi (2022); ``docs/theory.md`` §0.
    """

    input_weights: Float[Array, "m d"]
    hidden_weights: tuple[Float[Array, "m m"], ...]
    output_weights: Float[Array, "o m"]

    @classmethod
    def init(
        cls, key: Array, *, width: int, depth: int, input_dim: int, output_dim: int = 1, dtype: Any = None
    ) -> "DeepReLU":
        """Network at its random initialization: A, W_l ~ N(0, 2/m), V ~ N(0, 1/o), all independent.

        Parameters
        ----------
        key
            JAX key. A is drawn from ``fold_in(key, 0)``, V from ``fold_in(key, 1)`` and W_l from ``fold_in(key, 1 +
            l)``: networks of different depths share their first layers.
        width
            Number m of neurons in every layer.
        depth
            Number L of trained layers.
        input_dim
            Number of inputs d.
        output_dim
            Number of outputs o.
        dtype
            Of the weights; None: float64 where JAX's x64 mode is on, float32 otherwise.

        Raises
        ------
        InputError
            For a width, depth or dimension below 1, or float64 without JAX's x64 mode.
        """
        for name, value in (("width", width), ("depth", depth), ("input_dim", input_dim), ("output_dim", output_dim)):
            if value < 1:
                raise InputError(f"{name} is {value}, needs to be at least 1.")
        dtype = float_dtype(dtype)

        def draw(number: int, shape: tuple[int, int], variance: float) -> Array:
            return jax.random.normal(jax.random.fold_in(key, number), shape, dtype) * jnp.asarray(variance**0.5, dtype)

        return cls(
            draw(0, (width, input_dim), 2 / width),
            tuple(draw(2 + layer, (width, width), 2 / width) for layer in range(depth)),
            draw(1, (output_dim, width), 1 / output_dim),
        )

    @classmethod
    def from_arrays(cls, input_weights: Any, hidden_weights: Sequence[Any], output_weights: Any) -> "DeepReLU":
        """Network from arrays that something else made.

        Parameters
        ----------
        input_weights
            A [m d], finite.
        hidden_weights
            W_1 … W_L, each [m m], finite.
        output_weights
            V [o m], finite.

        Raises
        ------
        InputError
            For wrong shapes, no trained layer, non-finite weights, or float64 arrays without JAX's x64 mode.
        """
        first, last = np.asarray(input_weights), np.asarray(output_weights)
        hidden = [np.asarray(layer) for layer in hidden_weights]
        width = len(first) if first.ndim == 2 else 0
        if not (hidden and first.size and last.size and last.ndim == 2 and last.shape[1] == width) or any(
            layer.shape != (width, width) for layer in hidden
        ):
            shapes = [layer.shape for layer in (first, *hidden, last)]
            raise InputError(f"weights have shapes {shapes}, need [m d], [m m] at least once, and [o m].")
        dtype = float_dtype(first.dtype if np.issubdtype(first.dtype, np.floating) else None)
        if bad := sum(int((~np.isfinite(layer)).sum()) for layer in (first, *hidden, last)):
            raise InputError(f"weights hold {bad} non-finite values, need to be finite.")
        return cls(jnp.asarray(first, dtype), tuple(jnp.asarray(w, dtype) for w in hidden), jnp.asarray(last, dtype))

    @property
    def width(self) -> int:
        """Number m of neurons in every layer."""
        return self.input_weights.shape[0]

    @property
    def depth(self) -> int:
        """Number L of trained layers."""
        return len(self.hidden_weights)

    @property
    def input_dim(self) -> int:
        """Number of inputs d."""
        return self.input_weights.shape[1]

    @property
    def output_dim(self) -> int:
        """Number of outputs o."""
        return self.output_weights.shape[0]

    @property
    def trained(self) -> tuple[Float[Array, "m m"], ...]:
        """The trained weights: (W_1, …, W_L)."""
        return self.hidden_weights

    def with_trained(self, trained: tuple[Array, ...]) -> "DeepReLU":
        """The same network with W_1 … W_L replaced."""
        return DeepReLU(self.input_weights, tuple(trained), self.output_weights)

    def layers(self, x: Any) -> tuple[tuple[Float[Array, "n m"], ...], tuple[Float[Array, "n m"], ...]]:
        """Hidden layers (h_0, …, h_L) and pre-activations (W_1 h_0, …, W_L h_{L−1}), each [n m]."""
        hidden = [relu(matmul(jnp.asarray(x, self.input_weights.dtype), self.input_weights.T))]
        pre_activations = []
        for weights in self.hidden_weights:
            pre_activations.append(matmul(hidden[-1], weights.T))
            hidden.append(relu(pre_activations[-1]))
        return tuple(hidden), tuple(pre_activations)

    def pre_activations(self, x: Any) -> tuple[Float[Array, "n m"], ...]:
        """W_l h_{l−1} of every trained layer, [n m] each."""
        return self.layers(x)[1]

    def activation_patterns(self, x: Any) -> tuple[Bool[Array, "n m"], ...]:
        """1{W_l h_{l−1} ≥ 0} of every trained layer, [n m] each."""
        return tuple(z >= 0 for z in self.pre_activations(x))

    def __call__(self, x: Any) -> Float[Array, " n"] | Float[Array, "n o"]:
        """Outputs f(W, x_i): [n] for one output, [n o] otherwise."""
        outputs = matmul(self.layers(x)[0][-1], self.output_weights.T)
        return outputs[:, 0] if self.output_dim == 1 else outputs
