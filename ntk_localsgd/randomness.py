"""From a JAX key to a NumPy generator, for what is drawn on the host in float64 whatever the x64 flag."""

import jax
import numpy as np

from ntk_localsgd.errors import InputError

__all__ = ["generator"]


def generator(key: jax.Array) -> np.random.Generator:
    """NumPy generator seeded by all the bits of a JAX key.

    Data and client splits are drawn on the host, where float64 does not depend on JAX's x64 flag.

    Parameters
    ----------
    key
        A JAX key, new style (``jax.random.key``) or old (``jax.random.PRNGKey``).

    Returns
    -------
    numpy.random.Generator
        The same generator for the same key, on every platform.

    Raises
    ------
    InputError
        If it is no key, or one traced by a JAX transformation.
    """
    if isinstance(key, jax.core.Tracer):
        raise InputError("key is traced by a JAX transformation, needs to be known: call this outside.")
    typed = isinstance(key, jax.Array) and jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
    bits = jax.random.key_data(key) if typed else key
    if getattr(bits, "dtype", None) != np.uint32:
        raise InputError(f"key is {key!r}, needs to be a JAX key: jax.random.key(seed).")
    return np.random.default_rng(np.asarray(bits, np.uint32).ravel().tolist())
