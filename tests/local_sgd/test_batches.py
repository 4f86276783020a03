"""Batches: uniform, without replacement, and the same whatever the flags and the padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ntk_localsgd.local_sgd.batches import draw


def test_batches_are_uniform_and_without_replacement():
    mask, counts, draws, size = jnp.array([True] * 5 + [False] * 2), np.zeros(7), 2000, 2
    keys = jax.random.split(jax.random.key(0), draws)
    chosen = np.asarray(jax.vmap(lambda key: draw(key, 0, 1, 2, mask, size))(keys))
    assert (np.diff(np.sort(chosen, axis=1), axis=1) > 0).all()
    np.add.at(counts, chosen.ravel(), 1)
    assert counts[5:].sum() == 0  # never padding
    level = 1 - 0.001 / 5  # joint level 99.9%
    for count in counts[:5]:
        interval = scipy.stats.binomtest(int(count), draws).proportion_ci(level, method="exact")
        assert interval.low <= size / 5 <= interval.high


def test_batches_do_not_depend_on_how_much_another_client_pads():
    short, padded = (draw(jax.random.key(3), 0, 0, 0, jnp.arange(n) < 4, 3) for n in (4, 9))
    np.testing.assert_array_equal(short, padded)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey, lambda s: jax.random.key(s, impl="rbg")])
def test_batches_do_not_depend_on_the_x64_flag(make):
    found = []
    for flag in (False, True):
        with jax.enable_x64(flag):
            found.append([np.asarray(draw(make(1), t, 2, 3, jnp.ones(30, bool), 7)) for t in range(4)])
    np.testing.assert_array_equal(*found)


def test_the_order_is_that_of_64_bits_and_not_of_the_first_word_alone():
    # Words that agree in their first half: what decides is the second.
    mask, size = jnp.ones(3, bool), 3
    words = {0: (7, 5), 1: (7, 9), 2: (8, 0)}
    expected = sorted(words, key=words.get, reverse=True)
    high, low = (jnp.array([words[i][k] for i in range(3)], jnp.uint32) for k in (0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ntk_localsgd.local_sgd.batches._bits", lambda key, i: (high[i], low[i]))  # noqa: ARG005
        np.testing.assert_array_equal(draw(jax.random.key(0), 0, 0, 0, mask, size), expected)
