"""Closest and repeated rows against brute force, where ties, clusters and many coordinates make them hard."""

import time
from functools import partial

import numpy as np
import pytest

from ntk_localsgd.separation import closest_pair, repeated_pair


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _cpu(work, rows):
    start = time.process_time()
    work(rows)
    return time.process_time() - start


RNG = np.random.default_rng(0)
ROWS = {
    "random": _unit(RNG.standard_normal((1100, 7))),
    "one-hot": np.eye(60),
    "signs": _unit(np.sign(RNG.standard_normal((300, 12)))),
    "one cluster": _unit(np.ones(20) + 1e-8 * RNG.standard_normal((200, 20))),
    "clusters": _unit(np.repeat(RNG.standard_normal((5, 20)), 40, axis=0) + 1e-8 * RNG.standard_normal((200, 20))),
    "opposite clusters": _unit(np.outer(RNG.choice([-1, 1], 200), np.ones(9)) + 1e-8 * RNG.standard_normal((200, 9))),
}


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_closest_pair_is_that_of_brute_force(rows, sign):
    apart = np.array([np.linalg.norm(row - sign * rows, axis=1) for row in rows])
    apart[np.tril_indices(len(rows))] = np.inf
    pair = closest_pair(rows, sign)
    assert apart.min() <= pair.distance <= apart.min() * (1 + 1e-9)  # as documented
    assert pair.distance == apart[pair.rows]


def test_a_slightly_closer_pair_in_another_tile_is_preferred():
    rows = _unit(RNG.standard_normal((1100, 40)))
    for i, j, apart in ((3, 7, 1e-3), (5, 1090, 0.99e-3)):
        rows[j] = rows[i] + apart * np.eye(40)[0]
    assert closest_pair(rows, 1.0).rows == (5, 1090)


@pytest.mark.parametrize("rows", [rows for name, rows in ROWS.items() if name != "signs"])
def test_distinct_rows_are_not_repeated(rows):
    assert repeated_pair(rows) is None


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_a_row_repeated_up_to_rounding_is_found(rows):
    rows = np.unique(rows, axis=0)
    twin = _unit(np.append(rows, 3 * rows[[5]], axis=0))
    assert repeated_pair(twin) == (5, len(rows))


@pytest.mark.parametrize("seed", range(20))
def test_rows_almost_eight_units_apart_are_one_in_every_direction(seed):
    rng = np.random.default_rng(seed + 1)
    rows = _unit(rng.standard_normal((30, 400)))
    rows[20] = rows[4] + 7.5 * 2.0**-53 * _unit(rng.standard_normal((1, 400)))
    assert repeated_pair(rows) == (4, 20)


def test_the_first_of_many_repeated_pairs_is_named():
    rows = _unit(RNG.standard_normal((40, 3)))
    assert repeated_pair(np.concatenate([rows[20:], rows[10:], rows[30:]])) == (0, 30)
    assert repeated_pair(np.ones((1, 1))) is None


def test_rows_just_farther_apart_than_rounding_are_distinct():
    rows = np.zeros((4, 50))
    rows[:, 0] = 1
    rows[[1, 2, 3], [5, 6, 7]] = [2e-15, 3e-15, 4e-15]  # all within the rounding of a projection of rows of length 1
    assert repeated_pair(rows) is None
    rows[3, 7] = 5e-16
    assert repeated_pair(rows) == (0, 3)


@pytest.mark.parametrize("work", [repeated_pair, partial(closest_pair, sign=1.0)], ids=["repeated", "closest"])
def test_one_hot_rows_cost_what_random_rows_do(work):
    one_hot, random = np.eye(700), _unit(RNG.standard_normal((700, 700)))
    work(random)
    # Some milliseconds of CPU time each; an algorithm that is cubic in ties takes 61 times as long.
    assert _cpu(work, one_hot) < 8 * _cpu(work, random) + 0.02
