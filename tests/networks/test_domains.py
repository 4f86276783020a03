"""Activation domains: against samples, areas, arrangements of lines and the tent map; what is refused."""

import math
from fractions import Fraction

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import FeedforwardReLU, along_line, in_plane
from tests.networks.test_feedforward import random_network


def _float_patterns(net, points):
    return np.concatenate(net.activation_patterns(points), axis=1)


def _on_line(start, end, places):
    return start + np.array([float(t) for t in places])[:, None] * (end - start)


@hypothesis.given(st.integers(0, 2**32 - 1))
def test_pieces_of_a_line_are_those_that_samples_meet(seed):
    rng = np.random.default_rng(seed)
    net = random_network(rng, input_dim=3)
    start, end = 3 * rng.normal(size=(2, 3))
    found = along_line(net, start, end)
    assert list(found.breakpoints) == sorted(set(found.breakpoints))
    assert (found.breakpoints[0], found.breakpoints[-1], found.counts[-1]) == (0, 1, len(found.patterns))
    # Every domain is convex, so that no two pieces share a pattern.
    assert len({tuple(p) for p in found.patterns}) == len(found.patterns)
    middles = [(a + b) / 2 for a, b in zip(found.breakpoints, found.breakpoints[1:], strict=False)]
    wide = [k for k, m in enumerate(middles) if m - found.breakpoints[k] > Fraction(1, 10**9)]
    np.testing.assert_array_equal(_float_patterns(net, _on_line(start, end, middles))[wide], found.patterns[wide])
    sampled = {tuple(p) for p in _float_patterns(net, _on_line(start, end, np.linspace(1e-3, 1 - 1e-3, 499)))}
    assert sampled <= {tuple(p) for p in found.patterns}
    assert list(found.counts) == sorted(found.counts)


@hypothesis.given(st.integers(0, 2**32 - 1))
def test_polygons_cover_the_window_once_and_hold_their_pattern(seed):
    rng = np.random.default_rng(seed)
    net = random_network(rng, input_dim=3, depth=3)
    corner, first, second = 3 * rng.normal(size=(3, 3))
    found = in_plane(net, corner, first, second)
    assert sum(map(_area, found.polygons)) == 1
    assert len({tuple(p) for p in found.patterns}) == len(found.patterns) == found.counts[-1]
    centres = np.array([[float(sum(c) / len(p)) for c in zip(*p, strict=True)] for p in found.polygons])
    points = corner + centres @ np.stack([first - corner, second - corner])
    large = [k for k, p in enumerate(found.polygons) if _area(p) > Fraction(1, 10**9)]
    np.testing.assert_array_equal(_float_patterns(net, points)[large], found.patterns[large])
    # A side of the window is a line: its pieces are domains of the plane.
    side = {tuple(p) for p in along_line(net, corner, first).patterns}
    assert side <= {tuple(p) for p in found.patterns}


def _area(polygon):
    """Shoelace formula in rational numbers; the corners turn left."""
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    area = sum(a[0] * b[1] - a[1] * b[0] for a, b in pairs) / 2
    assert area > 0
    return area


def test_lines_in_general_position_reach_the_bound_of_one_layer_and_concurrent_ones_do_not():
    angles = np.array([0.1, 0.7, 1.3, 2.0, 2.9])
    normals = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    window = ([-100.0, -100.0], [100.0, -100.0], [-100.0, 100.0])
    general = in_plane(FeedforwardReLU([normals], [[0.0, 1.0, -1.0, 2.5, 0.3]]), *window)
    assert general.counts == (16,)
    assert BOUNDS["X4-plane"].evaluate(m=5, L=1) == 16
    # Through a point that is a corner of earlier parts: 2m sectors, no slivers.
    assert in_plane(FeedforwardReLU([normals]), *window).counts == (10,)
    assert along_line(FeedforwardReLU([normals], [[0.0, 1.0, -1.0, 2.5, 0.3]]), [-100, 7], [100, 7.5]).counts == (6,)


def test_a_cut_through_corners_is_an_edge_of_both_parts():
    net = FeedforwardReLU([[[1.0, -1.0], [1.0, 1.0]]], [[0.0, -0.75]])  # the diagonal first, then across it
    found = in_plane(net, [0, 0], [1, 0], [0, 1])
    assert found.counts == (4,)
    assert sum(map(_area, found.polygons)) == 1


def test_tent_map_doubles_its_pieces_and_identity_layers_have_one_domain():
    again = [[2.0, -4.0], [2.0, -4.0]]
    tent = FeedforwardReLU([[[1.0], [1.0]]] + 6 * [again], 7 * [[0.0, -0.5]])
    found = along_line(tent, [0.0], [1.0])
    assert found.counts == tuple(2**layer for layer in range(1, 8))
    assert found.breakpoints == tuple(Fraction(k, 128) for k in range(129))
    assert found.counts[-1] <= BOUNDS["X4-line"].evaluate(m=2, L=7)
    assert along_line(FeedforwardReLU(5 * [np.eye(3)]), [1, 2, 3], [3, 1, 0.5]).counts == (1,) * 5


def test_numbers_of_very_different_sizes_are_no_trouble():
    net = FeedforwardReLU([[[1e-300, 1.0]], [[1e300], [1.0]]], [[1e-20], [-1e280, 0.0]])
    found = along_line(net, [0.0, -1.0], [0.0, 1.0])
    assert found.counts == (2, 3)
    assert found.breakpoints[1] == (1 - Fraction(1e-20)) / 2
    assert math.isclose(float(found.breakpoints[2] - found.breakpoints[1]), 5e-21, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda net: along_line(net, [0.0], [1.0, 0.0]), r"start has shape \(1,\), needs 2"),
        (lambda net: along_line(net, [1.0, 0.0], [1.0, 0.0]), "equal or on one line"),
        (lambda net: in_plane(net, [0, 0], [1, 2], [2, 4]), "equal or on one line"),
        (lambda net: in_plane(net, [0, 0], [1, 2], [0, 0]), "equal or on one line"),
        (lambda net: along_line(net, [0.0, np.nan], [1.0, 0.0]), "start"),
        (lambda net: in_plane(net, [-1, -1], [1, -1], [-1, 1], most=3), "more than 3"),
    ],
)
def test_what_spans_nothing_gets_one_sentence(call, said):
    with pytest.raises(InputError, match=said):
        call(FeedforwardReLU([np.eye(2)]))
