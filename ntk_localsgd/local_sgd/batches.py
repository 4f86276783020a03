"""Batches and participants without replacement, whatever JAX's x64 flag, the padding and how a round is computed."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

__all__ = ["draw", "draw_participants", "walk"]

# What a run's key is folded with for participants: no round has this number, so that no batch shares their stream.
_PARTICIPANTS = 2**32 - 1


def draw(
    key: Array, round_number: Array, step: Array, client: Array, mask: Bool[Array, " n"], size: int
) -> Int[Array, " b"]:
    """A uniform batch of a client's samples: those with the largest of independent 64-bit numbers.

    Sample i's number is the first 64 bits of ``fold_in(key, t, k, c, i, 0)``, folded in one after the other: it depends
    on round, step, client and sample alone, so that batches change neither with the padding nor with a flag. Of
    threefry keys these are the bits from which ``jax.random.uniform`` in float64 takes its leading 52.

    Parameters
    ----------
    key
        Of the run, new style or old.
    round_number, step, client
        t, k and c, counted from 0.
    mask
        Which entries are samples; the others, padding, come last and are never drawn.
    size
        b; where it is more than there are samples, padding follows them, which the mask knows.

    Returns
    -------
    Positions of the batch, in the order of their numbers, the largest first.
    """
    for number in (round_number, step, client):
        key = jax.random.fold_in(key, number)
    places = jnp.arange(len(mask))
    high, low = jax.vmap(partial(_bits, key))(places)
    last = jnp.uint32(2**32 - 1)
    # Complements, because a sort is ascending; it is stable, so that padding follows even a sample of number 0.
    ranks = jnp.where(mask, ~high, last), jnp.where(mask, ~low, last)
    return jax.lax.sort((*ranks, places), num_keys=2)[2][:size]


def walk(
    key: Array, round_number: Array, step: Array, client: Array, mask: Bool[Array, " n"], size: int
) -> tuple[Int[Array, " b"], Bool[Array, " b"]]:
    """The batch of a step that walks through a client's samples in random orders, b at a time.

    With s = ⌈n_c/b⌉ batches in an order, step k takes the (k mod s)-th of order e = ⌊k/s⌋, which is `draw` of all
    samples with e in the step's place. An order's last batch is what is left.

    Returns
    -------
    Positions of b samples, and which of them belong to the batch.
    """
    number, step = jnp.sum(mask, dtype=jnp.int32), step.astype(jnp.int32)
    in_order = -(-number // size)
    order = draw(key, round_number, step // in_order, client, mask, len(mask))
    places = step % in_order * size + jnp.arange(size, dtype=jnp.int32)
    return order[jnp.minimum(places, len(mask) - 1)], places < number


def draw_participants(key: Array, round_number: Array, number: int, size: int) -> Int[Array, " q"]:
    """The clients that take part in a round, ascending: a uniform set of ``size`` out of ``number``.

    Drawn as `draw` draws batches, with ``fold_in(key, 2³² − 1)`` for the key, and 0 for step and client.
    """
    own = jax.random.fold_in(key, jnp.uint32(_PARTICIPANTS))
    return jnp.sort(draw(own, round_number, jnp.uint32(0), jnp.uint32(0), jnp.ones(number, bool), size))


def _bits(key: Array, sample: Array) -> tuple[Array, Array]:
    """Two words of 32 bits."""
    words = jax.random.key_data(jax.random.fold_in(jax.random.fold_in(key, sample), 0))
    return words[0], words[1]
