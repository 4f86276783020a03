"""The deep network of the main paper: L trained square layers between a frozen first and a frozen last one."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntk_localsgd.networks.activations import RELU, Activation, LeakyReLU
from ntk_localsgd.networks.network import float_dtype
from ntk_localsgd.networks.stack import Stack
from ntk_localsgd.scalars import whole_number

__all__ = ["DeepReLU", "deep"]


class DeepReLU(Stack):
    """f = V h_L with h_0 = σ(A x) and h_l = σ(W_l h_{l−1}) for l = 1 … L; only W_1 … W_L are trained.

    A and W_l start with N(0, 2/m) entries and V with N(0, 1/o) entries, so that every ‖h_l‖ stays near 1. Build one
    with `init` or `from_arrays`. Inputs are NumPy or JAX arrays [n d]; they are cast to the dtype of the weights. The
    setting is that of Allen-Zhu, Li and Song (2019) and of Deng, Kamani and Mahdavi (2022); ``docs/theory.md`` §0.
    """

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
            Of the weights, float32 or float64; None: float64 where JAX's x64 mode is on, float32 otherwise.

        Raises
        ------
        InputError
            For a width, depth or dimension below 1, another dtype, or float64 without JAX's x64 mode.
        """
        net = deep(key, width=width, depth=depth, input_dim=input_dim, output_dim=output_dim, dtype=dtype)
        return cls(net.input_weights, net.hidden_weights, net.output_weights)

    @classmethod
    def from_arrays(cls, input_weights: Any, hidden_weights: Any, output_weights: Any) -> "DeepReLU":  # type: ignore[override]
        """Network from arrays A [m d], W_1 … W_L [m m] and V [o m]; raises `InputError` as `Stack.from_arrays`."""
        net = Stack.from_arrays(input_weights, hidden_weights, output_weights)
        return cls(net.input_weights, net.hidden_weights, net.output_weights)


def deep(
    key: Array, *, width: int, depth: int, input_dim: int, output_dim: int = 1, activation: Activation = RELU,
    residual: bool = False, dtype: Any = None,
) -> Stack:  # fmt: skip
    """The network of `DeepReLU.init` with another activation, and residual connections if wanted.

    A smooth σ sees where pre-activations lie, so that they start with variance 1: A ~ N(0, c), W_l ~ N(0, c/m), V ~
    N(0, 1/(om)) with c = σ.weight_variance. For σ that is homogeneous, √m is moved from A to V, which leaves f and its
    Gram matrix as they are: A ~ N(0, c/m), V ~ N(0, 1/o), as of `DeepReLU`.

    Returns
    -------
    A `Stack`; arguments and `InputError` as of `DeepReLU.init`.
    """
    width, depth = whole_number("width", width), whole_number("depth", depth)
    input_dim, output_dim = whole_number("input_dim", input_dim), whole_number("output_dim", output_dim)
    dtype, variance = float_dtype(dtype), activation.weight_variance

    def draw(number: int, shape: tuple[int, int], variance: float) -> Array:
        return jax.random.normal(jax.random.fold_in(key, number), shape, dtype) * jnp.asarray(variance**0.5, dtype)

    moved = width if isinstance(activation, LeakyReLU) else 1
    return Stack(
        draw(0, (width, input_dim), variance / moved),
        tuple(draw(2 + layer, (width, width), variance / width) for layer in range(depth)),
        draw(1, (output_dim, width), moved / (output_dim * width)),
        activation,
        residual,
    )
