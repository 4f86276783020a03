"""A network that walks by weighted gradients, in plain NumPy: what the bounds of one time are held against."""

from typing import NamedTuple

import numpy as np

from ntk_localsgd.certificate.deep.backward import backward
from ntk_localsgd.certificate.deep.frozen import Frozen, Weights
from ntk_localsgd.certificate.deep.kernel import hidden_changes, kernel_changes
from ntk_localsgd.certificate.deep.state import State, moves, uncertain_triples


class Point(NamedTuple):
    """h [L+1], z, b, c [L n m] and W at one time."""

    hidden: list
    pre: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    weights: tuple


def network(seed, *, n=3, width=24, depth=3, planted=0, size=1e-6):
    """Random weights with ``planted`` neurons a layer at the kink of some sample, about ``size`` away."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 5))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    first = rng.standard_normal((width, 5)) * np.sqrt(2 / width)
    hidden = [rng.standard_normal((width, width)) * np.sqrt(2 / width) for _ in range(depth)]
    h = np.maximum(x @ first.T, 0)
    for w in hidden:
        for r, i in zip(rng.choice(width, planted, replace=False), rng.integers(0, n, planted), strict=True):
            w[r] += (size * rng.standard_normal() - w[r] @ h[i]) * h[i] / (h[i] @ h[i])
        h = np.maximum(h @ w.T, 0)
    return x, Weights.of(first, tuple(hidden), np.tile(rng.standard_normal(width), (n, 1)))


def at(x, weights, hidden):
    """The network with W_1 … W_L = ``hidden``."""
    h, z = [np.maximum(x @ weights.first.T, 0)], []
    for w in hidden:
        z.append(h[-1] @ w.T)
        h.append(np.where(z[-1] >= 0, z[-1], 0))
    upper, lower = [weights.outputs], []
    for layer in range(len(hidden) - 1, -1, -1):
        lower.insert(0, np.where(z[layer] >= 0, upper[0], 0))
        upper.insert(0, lower[0] @ hidden[layer])
    return Point(h, np.stack(z), np.stack(lower), np.stack(upper[1:]), tuple(hidden))


def stepped(point, a):
    """W − Σ_j a_j g_j(W)."""
    return [w - (a[:, None] * b).T @ h for w, b, h in zip(point.weights, point.lower, point.hidden, strict=False)]


def kernel_between(one, other):
    """⟨g_i(one), g_j(other)⟩."""
    pairs = zip(one.lower, other.lower, one.hidden, other.hidden, strict=False)
    return sum((b @ c.T) * (h @ k.T) for b, c, h, k in pairs)


class Bounds(NamedTuple):
    """What the argument says of a walk by weights Σ|a| whose remainder is known exactly."""

    frozen: Frozen
    seen: np.ndarray
    moves: object
    hidden: np.ndarray
    gradients: object
    kernel: np.ndarray


def bounds(x, weights, points, steps, half=None):
    """For a walk through ``points``, the first one W's own, by ``steps`` of weights."""
    frozen = Frozen(weights, x, half)
    n, total = len(x), np.cumsum(steps, axis=0)
    paths = [np.zeros_like(frozen.pre), *(-np.einsum("lijr,j->lir", frozen.response, a) for a in total)]
    low, high = np.min(paths, axis=0), np.max(paths, axis=0)
    rest = np.max([np.abs(p.pre - points[0].pre - q) for p, q in zip(points, paths, strict=True)], axis=0) + 1e-13
    size = np.abs(steps).sum(axis=0)
    none, pairs = np.zeros_like(rest), np.zeros((frozen.depth - 1, n, n))
    state = State(rest, none, rest, none[:, :, 0], pairs, np.zeros((n, n)), size, 0 * size).padded()
    moved = moves(frozen, low, high, state, uncertain_triples(frozen, low - state.around, high + state.around))
    seen = np.tile(size, (n, 1))
    on_path = np.max([np.abs(frozen.hidden_rows @ a) for a in total], axis=0)
    hidden = hidden_changes(frozen, moved, state, seen, on_path)
    gradients = backward(frozen, moved, seen)
    on_path = np.max([np.abs(frozen.kernel_rows @ a) for a in total], axis=0)
    kernel = kernel_changes(frozen, moved, state, seen, hidden, gradients, on_path)
    return Bounds(frozen, seen, moved, hidden, gradients, kernel)
