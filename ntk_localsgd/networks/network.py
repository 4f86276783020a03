"""What every network has in common: the protocol, products in full precision, and how inputs and dtypes are read."""

from functools import partial
from typing import Any, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError

__all__ = ["Network", "float_dtype", "input_rows", "matmul", "read_rows"]

#: Matrix product in the precision of its operands. By default a GPU rounds float32 products to about three digits
#: (TensorFloat-32), which moves pre-activations across kinks; gradients inherit the precision stated here.
matmul = partial(jnp.matmul, precision="highest")


class Network(Protocol):
    """What the algorithm and the observables ask of a network: outputs of row i depend on input i alone."""

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


def float_dtype(dtype: Any) -> np.dtype:
    """float32 or float64: the dtype asked for, or JAX's default; refuses one that JAX would silently narrow.

    Half precision is refused: sums over neurons overflow from 65,504 on (float16) or keep two digits (bfloat16).
    """
    try:
        wanted = np.dtype(dtype) if dtype is not None else jnp.zeros(()).dtype
    except TypeError as error:
        raise InputError(f"dtype is {dtype!r}, needs to be float32 or float64.") from error
    if wanted not in (np.float32, np.float64):
        why = ": sums over neurons need more range and digits" if jnp.issubdtype(wanted, jnp.floating) else ""
        raise InputError(f"dtype is {wanted}, needs to be float32 or float64{why}.")
    if wanted.itemsize > 4 and not jax.config.read("jax_enable_x64"):
        raise InputError(f"dtype is {wanted}, which needs JAX's x64 mode: jax.config.update('jax_enable_x64', True).")
    return wanted


def input_rows(x: Any, dtype: Any, input_dim: int, name: str = "inputs") -> Float[Array, "n d"]:
    """Inputs [n d] in a network's dtype; refuses what a cast would change, other shapes, and a dtype out of its scope.

    A float64 network used where x64 mode is off would be narrowed without a word, here or in its next product.
    """
    return jnp.asarray(read_rows(x, dtype, input_dim, name), dtype)


def read_rows(x: Any, dtype: Any, input_dim: int, name: str = "inputs") -> Float[ndarray, "n d"] | Float[Array, "n d"]:
    """`input_rows` where they are: on the host in a network's dtype, or on a device in any dtype of real numbers.

    For programs that take them as arguments, which is faster than sending them before.
    """
    dtype = float_dtype(dtype)
    if not isinstance(x, jax.Array):
        x = real_array(name, x, ndim=2).astype(dtype, copy=False)
    elif not (jnp.issubdtype(x.dtype, jnp.floating) or jnp.issubdtype(x.dtype, jnp.integer) or x.dtype == bool):
        raise InputError(f"{name} holds {x.dtype}, needs to hold real numbers.")
    if x.ndim != 2 or x.shape[1] != input_dim:
        raise InputError(f"{name} has shape {x.shape}, needs [n {input_dim}]: one row a sample.")
    return x
