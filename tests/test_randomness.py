"""From JAX keys to NumPy generators."""

import jax
import numpy as np

from ntk_localsgd.randomness import generator


def test_old_and_new_keys_give_the_same_stream():
    new, old = (generator(make(7)).standard_normal(4) for make in (jax.random.key, jax.random.PRNGKey))
    np.testing.assert_array_equal(new, old)


def test_different_keys_give_different_streams():
    keys = [jax.random.key(0), jax.random.key(1), jax.random.fold_in(jax.random.key(0), 1), jax.random.key(2**32)]
    draws = {generator(key).integers(2**62) for key in keys}
    assert len(draws) == len(keys)
