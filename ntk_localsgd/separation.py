"""How close the closest rows are: pairwise distances in tiles, accurate for near-equal rows."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial import cKDTree

__all__ = ["SAME_ROW", "ClosestPair", "closest_pair", "repeated_pair"]

# Two unit rows nearer than this are one row written twice: scaling a ray before normalising it moves every
# coordinate by at most a few units of rounding, so that == would miss it.
SAME_ROW = 8 * np.finfo(np.float64).eps / 2  # 8u

# Rows per tile of pairwise work: 1024² float64 products are 8 MiB.
_TILE = 1024


class ClosestPair(NamedTuple):
    """A distance between two rows and the rows that have it."""

    distance: float
    rows: tuple[int, int]


def closest_pair(rows: Float[ndarray, "n d"], sign: float) -> ClosestPair:
    """The pair i < j with the smallest ‖x_i − sign·x_j‖, in tiles.

    A matrix product finds the candidates; 2 − 2⟨x, y⟩ loses half the digits of a small distance, so candidates within
    the product's rounding error of the best are measured again from differences.
    """
    n, d = rows.shape
    rounding = 4 * (d + 4) * np.finfo(np.float64).eps
    best = ClosestPair(math.inf, (0, 0))
    for start in range(0, n, _TILE):
        for other in range(start, n, _TILE):
            left, right = rows[start : start + _TILE], rows[other : other + _TILE]
            product = sign * (left @ right.T)
            if start == other:
                product[np.tril_indices(len(left))] = -np.inf
            nearest = product.max()
            if nearest == -np.inf or 2 - 2 * nearest > best.distance**2 + rounding:
                continue  # a tile of one row has no pair; or none of its pairs can be the closest
            for i, j in _chunks(np.argwhere(product >= nearest - rounding)):
                distances = np.linalg.norm(left[i] - sign * right[j], axis=1)
                if distances.min() < best.distance:
                    k = int(distances.argmin())
                    best = ClosestPair(float(distances[k]), (start + int(i[k]), other + int(j[k])))
    return best


def _chunks(pairs: Int[ndarray, "p 2"]) -> list[tuple[ndarray, ndarray]]:
    """Pairs in pieces of at most 65,536, so that many ties do not need much memory."""
    return [(piece[:, 0], piece[:, 1]) for piece in np.array_split(pairs, len(pairs) // 65536 + 1) if len(piece)]


def repeated_pair(rows: Float[ndarray, "n d"]) -> tuple[int, int] | None:
    """Two rows at most 8u apart, or None; a k-d tree prunes nearly everything at so small a radius."""
    if len(rows) < 2:
        return None
    found = cKDTree(rows).query(rows, k=2, distance_upper_bound=SAME_ROW * (1 + 1e-9))
    distance, neighbour = np.asarray(found[0]), np.asarray(found[1])
    hits = np.flatnonzero(np.isfinite(distance[:, 1]))
    if not hits.size:
        return None
    first = int(hits[0])
    other = next(int(j) for j in neighbour[first] if j != first)
    return min(first, other), max(first, other)
