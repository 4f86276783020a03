"""From a JAX key to a NumPy generator, for what is drawn on the host in float64 whatever the x64 flag."""

import jax
import numpy as np

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
    """
    typed = jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
    bits = jax.random.key_data(key) if typed else key
    return np.random.default_rng(np.asarray(bits, np.uint32).ravel().tolist())
