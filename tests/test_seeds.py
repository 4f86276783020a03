"""Streams by seed and purpose: no two share anything, and the same one is the same every time."""

import itertools

import jax
import pytest

from ntk_localsgd import seeds
from ntk_localsgd.errors import InputError


def test_no_two_purposes_and_no_two_seeds_share_a_stream():
    drawn = [seeds.seeds(seed, purpose, 100) for seed in range(20) for purpose in ("sweep", "digits", "sphere", "S3")]
    everything = list(itertools.chain.from_iterable(drawn))
    assert len(set(everything)) == len(everything)
    keys = {tuple(jax.random.key_data(seeds.key(seed, p)).tolist()) for seed in range(20) for p in ("digits", "sphere")}
    assert len(keys) == 40
    numbers = {float(seeds.generator(seed, p).random()) for seed in range(20) for p in ("digits", "sphere")}
    assert len(numbers) == 40


def test_more_trials_begin_with_the_same_ones_and_fit_a_signed_integer():
    assert seeds.seeds(3, "sweep", 5) == seeds.seeds(3, "sweep", 9)[:5]
    assert all(0 <= seed < 2**63 for seed in seeds.seeds(3, "sweep", 1000))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_gets_one_sentence(seed):
    for draw in (seeds.key, seeds.generator):
        with pytest.raises(InputError, match="seed is"):
            draw(seed, "sweep")
