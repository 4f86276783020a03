"""Streams of random numbers by seed and purpose: no two seeds and no two purposes share one."""

import zlib

import jax
import numpy as np

from ntk_localsgd.errors import InputError

__all__ = ["generator", "key", "seeds"]


def key(seed: int, purpose: str) -> jax.Array:
    """JAX key of a purpose: ``fold_in(key(seed), crc32(purpose))``."""
    return jax.random.fold_in(jax.random.key(_checked(seed)), _number(purpose))


def generator(seed: int, purpose: str) -> np.random.Generator:
    """NumPy generator of a purpose."""
    return np.random.default_rng([_checked(seed), _number(purpose)])


def seeds(seed: int, purpose: str, number: int) -> tuple[int, ...]:
    """Seeds of independent trials, 63 bits each; more of them begin with the same ones.

    >>> seeds(0, "sweep", 2) == seeds(0, "sweep", 3)[:2]
    True
    >>> set(seeds(0, "sweep", 50)) & set(seeds(1, "sweep", 50))
    set()
    """
    words = np.random.SeedSequence([_checked(seed), _number(purpose)]).generate_state(number, np.uint64)
    return tuple(int(word >> np.uint64(1)) for word in words)


def _checked(seed: int) -> int:
    if not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}, needs to be a whole number of at least 0 and below 2^32.")
    return seed


def _number(purpose: str) -> int:
    return zlib.crc32(purpose.encode())
