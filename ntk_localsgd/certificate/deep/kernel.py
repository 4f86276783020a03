"""How far the kernel may have changed: inner products of hidden layers, then E ≥ |⟨g_i(W'), g_j(W'')⟩ − Θ_ij|."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.certificate.deep.backward import Backward
from ntk_localsgd.certificate.deep.frozen import Frozen
from ntk_localsgd.certificate.deep.state import Moves, State
from ntk_localsgd.rounding import SLACK

__all__ = ["hidden_changes", "kernel_changes"]


def hidden_changes(
    frozen: Frozen, moves: Moves, state: State, seen: Float[ndarray, "n n"], on_path: Float[ndarray, "k n n"]
) -> Float[ndarray, "L n n"]:
    """Item 2: ≥ |h'_i·h''_j − γ_ij| of every layer's input; ``on_path``: max over the predicted path of |N^h a|."""
    norms, lengths = frozen.hidden_norms, moves.lengths
    changes = []
    for layer in range(frozen.depth):
        if layer:
            below = layer - 1  # the layer whose output this is
            bent = frozen.slopes[below] * state.remainder[below] + moves.overshoot[below]
            one = on_path[below] + state.hidden_deviation[below] + bent @ np.abs(frozen.hidden[layer]).T
            rounding = 3 * (seen * frozen.response_error[below]).sum(axis=1)
            one = one + np.outer(state.dense[below] + rounding, norms[layer])
        else:
            one = np.outer(lengths[0], norms[0])
        changes.append(one + one.T + np.outer(lengths[layer], lengths[layer]) + frozen.hidden_rounding[layer])
    return np.stack(changes) * SLACK


def kernel_changes(
    frozen: Frozen,
    moves: Moves,
    state: State,
    seen: Float[ndarray, "n n"],
    hidden_change: Float[ndarray, "L n n"],
    gradients: Backward,
    on_path: Float[ndarray, "n n"],
) -> Float[ndarray, "n n"]:
    """Item 4: E; ``on_path``: max over the predicted path of |N^b a|, what moved weights do to first order.

    A switch changes ⟨g_i, g_j⟩ by (D' − D)c'·T with D' − D in [−s, 1 − s]: ups and downs are bounded apart.
    """
    n = len(seen)
    up, down, bent = np.zeros((n, n)), np.zeros((n, n)), on_path + state.kernel_deviation
    for layer in range(frozen.depth):
        response, slopes = frozen.response[layer], frozen.slopes[layer]
        size, uncertain = np.abs(response), moves.uncertain[layer]
        upper = frozen.upper[layer]
        # Of c·T with c of either sign: (c T)^+ = c^+ T^+ + c^- T^-.
        rise, fall = np.where(uncertain, 1 - slopes, 0.0), np.where(uncertain, slopes, 0.0)
        positive, negative = np.maximum(response, 0), np.maximum(-response, 0)
        plus, minus = np.maximum(upper, 0), np.maximum(-upper, 0)
        up += _each(positive, rise * plus + fall * minus) + _each(negative, rise * minus + fall * plus)
        down += _each(positive, rise * minus + fall * plus) + _each(negative, rise * plus + fall * minus)
        either = _each(size, moves.off[layer] * gradients.upper[layer])
        lengths = np.linalg.norm(gradients.weights[layer], axis=1)
        either += lengths[:, None] * frozen.response_error[layer]
        up, down = up + either, down + either
        bent += _each(size, gradients.rest_sources[layer])
        bent += np.linalg.norm(gradients.rest_sources[layer], axis=1)[:, None] * frozen.response_error[layer]
    shares = (np.abs(frozen.hidden_products) * frozen.lower_norms[:, None]).sum(axis=0)
    bent += 4 * (seen * frozen.bent_error).sum(axis=1)[:, None] * shares
    total = np.maximum(up + up.T, down + down.T) + bent + bent.T
    for layer in range(frozen.depth):
        along, change = gradients.along[layer], hidden_change[layer]
        total += (np.abs(frozen.back_products[layer]) + along + along.T) * change
        second = gradients.cross[layer] + frozen.back_rounding[layer]
        total += (np.abs(frozen.hidden_products[layer]) + change) * second
    return (total + frozen.gram_error) * SLACK


def _each(rows: Float[ndarray, "n n m"], values: Float[ndarray, "n m"]) -> Float[ndarray, "n n"]:
    """Σ_r values[i, r]·rows[i, j, r]."""
    return np.matmul(rows, values[:, :, None])[:, :, 0]
