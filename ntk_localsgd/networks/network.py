"""What every network of this project has in common: the activation, products in full precision, the protocol."""

from functools import partial
from typing import Any, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ntk_localsgd.errors import InputError

__all__ = ["Network", "float_dtype", "matmul", "relu"]

#: Matrix product in the precision of its operands. By default a GPU rounds float32 products to about three digits
#: (TensorFloat-32), which moves pre-activations across kinks; gradients inherit the precision stated here.
matmul = partial(jnp.matmul, precision="highest")


def relu(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """σ(z) = z·1{z ≥ 0}, with derivative 1 at 0 as in the activation pattern 1{z ≥ 0}.

    ``jax.nn.relu`` has derivative 0 there and ``jnp.maximum`` has ½; a layer whose inputs are all zero meets this.
    """
    return jnp.where(z >= 0, z, 0)


class Network(Protocol):
    """What the algorithm and the observables ask of a network."""

    @property
    def input_dim(self) -> int:
        """Number of inputs d."""
        ...

    @property
    def output_dim(self) -> int:
        """Number of outputs o."""
        ...

    @property
    def trained(self) -> tuple[Array, ...]:
        """The trained weights, first layer first."""
        ...

    def with_trained(self, trained: tuple[Array, ...]) -> Self:
        """The same network at other trained weights."""
        ...

    def __call__(self, x: Any) -> Array:
        """Outputs f(W, x): [n] for one output, [n o] otherwise."""
        ...

    def activation_patterns(self, x: Any) -> tuple[Bool[Array, "n m"], ...]:
        """1{pre-activation ≥ 0} of every trained layer."""
        ...


def float_dtype(dtype: Any) -> Any:
    """The dtype asked for, or JAX's default; refuses one that JAX would silently narrow."""
    wanted = np.dtype(dtype) if dtype is not None else jnp.zeros(()).dtype
    if not np.issubdtype(wanted, np.floating):
        raise InputError(f"dtype is {wanted}, needs to be a floating-point type.")
    if wanted.itemsize > 4 and not jax.config.read("jax_enable_x64"):
        raise InputError(f"dtype is {wanted}, which needs JAX's x64 mode: jax.config.update('jax_enable_x64', True).")
    return wanted
