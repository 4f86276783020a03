"""Rows on the unit sphere, and how close the closest are: distances in tiles, accurate for near-equal rows."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from ntk_localsgd.errors import InputError
from ntk_localsgd.rounding import UNIT

__all__ = ["SAME_ROW", "ClosestPair", "closest_pair", "on_sphere", "repeated_pair"]

#: Two unit rows nearer than this are one row written twice: scaling a ray before normalising it moves every
#: coordinate by at most a few units of rounding, so that == would miss it.
SAME_ROW = 8 * UNIT

# Rows per tile of pairwise work: 1024² float64 products are 8 MiB; as many numbers for differences measured at once.
_TILE = 1024

# A pair is looked for no further when no other can be nearer by more than this part of its squared distance.
_CLOSE_ENOUGH = 1e-9


def on_sphere(
    rows: Float[ndarray, "n d"], called: Int[ndarray, " n"], counted: str
) -> tuple[Float[ndarray, "n d"], Float[ndarray, " n"]]:
    """x_i/‖x_i‖ and ‖x_i‖; a sentence about a row has what it is ``called``, and how these are ``counted``.

    Raises
    ------
    InputError
        If a row is zero.
    """
    # Dividing by the largest entry first keeps the norm of tiny and huge rows from under- and overflowing.
    largest = np.max(np.abs(rows), axis=1, keepdims=True)
    if (zero := np.flatnonzero(largest == 0)).size:
        listed = ", ".join(str(number) for number in called[zero[:5]]) + (", …" if len(zero) > 5 else "")
        raise InputError(f"inputs row {listed} {counted} is zero: a row needs a direction to be normalised.")
    rows = rows / largest
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    with np.errstate(over="ignore", under="ignore"):
        return rows / norms, (norms * largest)[:, 0]


class ClosestPair(NamedTuple):
    """A distance between two rows and the rows that have it."""

    distance: float
    rows: tuple[int, int]


def closest_pair(rows: Float[ndarray, "n d"], sign: float) -> ClosestPair:
    """The pair i < j with the smallest ‖x_i − sign·x_j‖ to 10⁻⁹ of it, in n²d operations.

    A matrix product finds the candidates; ‖a‖² + ‖b‖² − 2⟨a, b⟩ loses half the digits of a small distance, so pairs
    within the product's rounding error of the best are measured again from differences, the most promising first. For
    sign = 1 the product is taken about the mean of the rows, so that rows which lie all together keep their digits.
    """
    n, d = rows.shape
    centred = rows - rows.mean(axis=0) if sign > 0 else rows
    squares = np.square(centred).sum(axis=1)
    # Two squares and a product of d terms each, and 2u of each row's length from centring.
    rounding = 8 * (d + 4) * UNIT * float(squares.max(initial=0.0))
    best = ClosestPair(math.inf, (0, 0))
    for start in range(0, n, _TILE):
        for other in range(start, n, _TILE):
            left, right = slice(start, start + _TILE), slice(other, other + _TILE)
            squared = -2 * sign * (centred[left] @ centred[right].T)
            squared += squares[left, None] + squares[None, right]
            if start == other:
                squared[np.tril_indices(len(squared))] = np.inf
            best = _closest_in_tile(rows, sign, squared, rounding, (start, other), best)
    return best


def _closest_in_tile(
    rows: Float[ndarray, "n d"],
    sign: float,
    squared: Float[ndarray, "a b"],
    rounding: float,
    corner: tuple[int, int],
    best: ClosestPair,
) -> ClosestPair:
    """The better of ``best`` and the closest pair of one tile, whose squared distances are known up to ``rounding``."""
    least = float(squared.min(initial=np.inf)) - rounding
    if least == np.inf or best.distance**2 * (1 - _CLOSE_ENOUGH) <= least:
        return best  # a tile of one row has no pair; or none of its pairs can be the closest
    candidates = np.flatnonzero(squared <= least + 2 * rounding)
    candidates = candidates[np.argsort(squared.flat[candidates], kind="stable")]
    at_once = max(_TILE**2 // rows.shape[1], 1)
    for first in range(0, len(candidates), at_once):
        places = np.unravel_index(candidates[first : first + at_once], squared.shape)
        pairs = np.stack(places, axis=1) + corner
        distances = _distances(rows, pairs, sign)
        if distances.min() < best.distance:
            k = int(distances.argmin())
            best = ClosestPair(float(distances[k]), (int(pairs[k, 0]), int(pairs[k, 1])))
        if best.distance**2 * (1 - _CLOSE_ENOUGH) <= least:
            break
    return best


def repeated_pair(rows: Float[ndarray, "n d"]) -> tuple[int, int] | None:
    """Two rows at most 8u apart, or None; nearly always in n·(d + log n) operations.

    Rows that near have projections on any direction g within 8u‖g‖ and rounding; sorted by a random one, few others
    lie between. Projections are taken about the mean, so that rows which lie all together stay apart.
    """
    if len(rows) < 2:
        return None
    direction = np.random.default_rng(0).standard_normal(rows.shape[1])
    centred = rows - rows.mean(axis=0)
    radius = float(np.sqrt(np.square(centred).sum(axis=1).max()))
    window = (SAME_ROW + 4 * (rows.shape[1] + 4) * UNIT * radius) * float(np.linalg.norm(direction))
    projected = centred @ direction
    order = np.argsort(projected, kind="stable")
    projected = projected[order]
    for step in range(1, len(rows)):
        near = np.flatnonzero(projected[step:] - projected[:-step] <= window)
        if not near.size:
            break
        pairs = np.sort(np.stack([order[near], order[near + step]], axis=1), axis=1)
        pieces = np.array_split(pairs, rows.size // _TILE**2 + 1)
        same = [piece[_distances(rows, piece) <= SAME_ROW * (1 + 1e-9)] for piece in pieces]
        if len(rows_alike := np.concatenate(same)):
            first = rows_alike[np.lexsort((rows_alike[:, 1], rows_alike[:, 0]))[0]]
            return int(first[0]), int(first[1])
    return None


def _distances(rows: Float[ndarray, "n d"], pairs: Int[ndarray, "p 2"], sign: float = 1.0) -> Float[ndarray, " p"]:
    return np.linalg.norm(rows[pairs[:, 0]] - sign * rows[pairs[:, 1]], axis=1)
