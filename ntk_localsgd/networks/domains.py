"""Activation domains met along a line and in a plane through input space, solved and not sampled.

Exact means: of the network with the float64 numbers that it holds, in real arithmetic. On a piece of a line every
pre-activation is an affine function whose coefficients are sums of products of weights, and so integers over a power of
two; Python's integers hold them without rounding. A kink is crossed at a quotient of two of them, and every comparison
is one of integers.
"""

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks.feedforward import FeedforwardReLU

__all__ = ["LineDomains", "PlaneDomains", "along_line", "in_plane"]

# A point (X, Y, Z), Z > 0, is (X/Z, Y/Z); a line (c, a, b) is c + as + bt = 0.
_Triple = tuple[int, int, int]


class LineDomains(NamedTuple):
    """Pieces of a line, in order, on each of which no neuron's activation changes."""

    breakpoints: tuple[Fraction, ...]  # 0 = t_0 < … < t_k = 1
    patterns: Bool[ndarray, "k neurons"]  # of all layers, first layer first
    counts: tuple[int, ...]  # pieces of the first l layers alone, l = 1 … L


class PlaneDomains(NamedTuple):
    """Convex polygons that cover a parallelogram, on each of which no neuron's activation changes."""

    polygons: tuple[tuple[tuple[Fraction, Fraction], ...], ...]  # (s, t) of the corners, in order
    patterns: Bool[ndarray, "k neurons"]
    counts: tuple[int, ...]


class _Cell(NamedTuple):
    """A domain of the layers so far: corners, what follows each corner, outputs as affine functions, activations."""

    corners: tuple[_Triple, ...]
    edges: tuple[_Triple, ...]  # that from a corner to the next
    outputs: ndarray  # [m 3] of integers: a neuron's (c, a, b), all over one power of two
    active: tuple[bool, ...]


def along_line(net: FeedforwardReLU, start: Any, end: Any, *, most: int = 10**5) -> LineDomains:
    """Activation domains that the points start + t·(end − start), 0 < t < 1, lie in.

    Parameters
    ----------
    net
        The network.
    start, end
        Two different points [d].
    most
        Largest number of pieces.

    Returns
    -------
    LineDomains

    Raises
    ------
    InputError
        For points of another shape, equal ones, or more pieces than ``most``.

    >>> tent = FeedforwardReLU([[[1.0], [1.0]], [[2.0, -4.0]]], [[0.0, -0.5], [0.0]])  # 2x up to ½, 2 − 2x beyond
    >>> [str(t) for t in along_line(tent, [0.0], [1.5]).breakpoints]  # its output is 0 from 1 on
    ['0', '1/3', '2/3', '1']
    """
    first, last = (_point(net, name, x) for name, x in (("start", start), ("end", end)))
    # A strip about the line, whose cells are cut across by lines t = const: the same arithmetic as in a plane.
    cells, counts = _cells(net, first, last, None, most)
    ordered = sorted(((_span(cell), cell) for cell in cells), key=lambda pair: pair[0])
    breakpoints = (*(low for (low, _), _ in ordered), Fraction(1))
    return LineDomains(breakpoints, np.array([cell.active for _, cell in ordered]), counts)


def in_plane(net: FeedforwardReLU, corner: Any, first: Any, second: Any, *, most: int = 10**5) -> PlaneDomains:
    """Activation domains that the inside of a parallelogram meets: corner + s·(first − corner) + t·(second − corner).

    Parameters
    ----------
    net
        The network.
    corner, first, second
        Three points [d] that are not on one line: those of (s, t) = (0, 0), (1, 0), (0, 1).
    most
        Largest number of domains.

    Returns
    -------
    PlaneDomains
        Domains with an inside; their areas in (s, t) add up to 1.

    Raises
    ------
    InputError
        As `along_line`.
    """
    a, b, c = (_point(net, name, x) for name, x in (("corner", corner), ("first", first), ("second", second)))
    cells, counts = _cells(net, a, b, c, most)
    polygons = tuple(tuple((Fraction(x, z), Fraction(y, z)) for x, y, z in cell.corners) for cell in cells)
    return PlaneDomains(polygons, np.array([cell.active for cell in cells]), counts)


def _point(net: FeedforwardReLU, name: str, x: Any) -> ndarray:
    point = real_array(name, x, ndim=1)
    if len(point) != net.input_dim:
        raise InputError(f"{name} has shape {point.shape}, needs {net.input_dim} numbers.")
    return point


def _span(cell: _Cell) -> tuple[Fraction, Fraction]:
    places = [Fraction(x, z) for x, _, z in cell.corners]
    return min(places), max(places)


def _cells(
    net: FeedforwardReLU, corner: ndarray, first: ndarray, second: ndarray | None, most: int
) -> tuple[list[_Cell], tuple[int, ...]]:
    """The domains in a parallelogram, and how many there are after each layer; no second point: on a line."""
    whole, scale = _integers(np.stack([corner, first, corner if second is None else second]))
    spans = whole[1:] - whole[0]
    ranks = [any(row) for row in spans[: 1 if second is None else 2]]
    if not all(ranks) or (second is not None and _on_a_line(*spans)):
        raise InputError("points are equal or on one line, need to span the line or plane that is looked at.")
    square = (((0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)), ((0, 0, 1), (-1, 1, 0), (-1, 0, 1), (0, 1, 0)))
    cells, counts = [_Cell(*square, np.stack([whole[0], *spans], axis=1), ())], []
    for w, b in net.steps():
        weights, more = _integers(w)
        biases, of_biases = _integers(b)
        shift = max(0, of_biases - scale - more)
        scale += more + shift
        refined: list[_Cell] = []
        for cell in cells:
            forms = (weights @ cell.outputs) * (1 << shift)
            forms[:, 0] += biases * (1 << (scale - of_biases))
            refined += _refined(cell, forms)
            if len(refined) > most:
                raise InputError(f"domains are more than {most}, need a larger most, a smaller window or fewer layers.")
        cells = refined
        counts.append(len(cells))
    return cells, tuple(counts)


def _integers(values: ndarray) -> tuple[ndarray, int]:
    """Whole numbers and the power of two that they are over: float64 numbers are such."""
    ratios = [value.as_integer_ratio() for value in values.ravel().tolist()]
    scale = max(below for _, below in ratios)
    whole = np.empty(len(ratios), object)
    whole[:] = [above * (scale // below) for above, below in ratios]
    return whole.reshape(values.shape), scale.bit_length() - 1


def _on_a_line(first: ndarray, second: ndarray) -> bool:
    """Whether two vectors of integers are parallel."""
    k = int(np.flatnonzero(first)[0])
    return not any(first * second[k] - second * first[k])


def _refined(cell: _Cell, forms: ndarray) -> list[_Cell]:
    """A domain cut along the zeros of a layer's pre-activations, with the layer's outputs on every part."""
    parts: list[tuple[tuple[_Triple, ...], tuple[_Triple, ...], tuple[bool, ...]]] = [(cell.corners, cell.edges, ())]
    for c, a, b in forms.tolist():
        cut = []
        for corners, edges, active in parts:
            heights = [c * z + a * x + b * y for x, y, z in corners]
            if min(heights) < 0 < max(heights):
                cut.append((*_side(corners, edges, heights, (c, a, b), 1), (*active, True)))
                cut.append((*_side(corners, edges, heights, (c, a, b), -1), (*active, False)))
            else:
                cut.append((corners, edges, (*active, max(heights) > 0)))
        parts = cut
    return [
        _Cell(corners, edges, forms * np.array(active)[:, None], cell.active + active)
        for corners, edges, active in parts
    ]


def _side(
    corners: tuple[_Triple, ...], edges: tuple[_Triple, ...], heights: list[int], line: _Triple, sign: int
) -> tuple[tuple[_Triple, ...], tuple[_Triple, ...]]:
    """The part of a convex polygon where sign·height ≥ 0; the line's heights have both signs on it."""
    kept = []
    for k, (corner, edge) in enumerate(zip(corners, edges, strict=True)):
        here, there = sign * heights[k], sign * heights[(k + 1) % len(heights)]
        if here >= 0:
            kept.append((corner, line if here == 0 and there < 0 else edge))
        if here * there < 0:
            kept.append((_crossing(edge, line), edge if here < 0 else line))
    corners, edges = zip(*kept, strict=True)
    return corners, edges


def _crossing(p: _Triple, q: _Triple) -> _Triple:
    """Where two lines meet."""
    x, y, z = p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0], p[1] * q[2] - p[2] * q[1]
    return (x, y, z) if z > 0 else (-x, -y, -z)
