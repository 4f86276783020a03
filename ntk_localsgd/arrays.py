"""Arrays from outside: read once, and refused in one sentence where a cast would change what they say."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.errors import InputError

__all__ = ["real_array"]


def real_array(name: str, value: Any, *, ndim: int | tuple[int, ...]) -> Float[ndarray, "..."]:
    """``value`` as a float64 array on the host: real, unmasked, finite, with an entry and as many axes as allowed.

    Parameters
    ----------
    name
        What the sentence of a refusal calls it.
    value
        NumPy or JAX array, nested lists, a data frame.
    ndim
        Number of axes, or the numbers allowed.

    Returns
    -------
    float64 array; ``value`` itself where it already is one.

    Raises
    ------
    InputError
        For complex numbers, text, dates, masked entries, NaN, infinity, values traced by jax.jit, wrong shapes.

    >>> real_array("gram", [[1, 0], [0, 1]], ndim=2).dtype
    dtype('float64')
    """
    masked = [np.ma.is_masked(part) for part in (value if isinstance(value, list | tuple) else (value,))]
    if any(masked):
        raise InputError(f"{name} holds masked entries, needs a number in every place.")
    try:
        array: ndarray = np.asarray(value)
        text = array.dtype.kind == "O" and any(isinstance(entry, str | bytes) for entry in array.flat)
        if text or not _is_real(array.dtype):
            raise InputError(f"{name} holds {'text' if text else array.dtype.name}, needs to hold real numbers.")
        with np.errstate(over="ignore"):  # an overflow is refused below
            array = np.asarray(array, np.float64)
    except jax.errors.TracerArrayConversionError as error:
        raise InputError(f"{name} is traced by a JAX transformation, needs to be known: call this outside.") from error
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} cannot be read as numbers ({str(error).splitlines()[0]}).") from error
    allowed = (ndim,) if isinstance(ndim, int) else ndim
    if array.ndim not in allowed or not array.size:
        wanted = " or ".join(str(axes) for axes in allowed)
        raise InputError(f"{name} has shape {array.shape}, needs at least one entry and {wanted} axes.")
    if not np.isfinite(array).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{name}{list(where)} is {array[where]}, needs to be finite.")
    return array


def _is_real(dtype: np.dtype) -> bool:
    """Whether float64 may hold it: booleans, integers, floats (JAX's own too), and objects, which are tried."""
    return dtype.kind in "biufO" or jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)
