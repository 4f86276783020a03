"""Xu and Zhang, Convergence of Deep ReLU Networks (2021): explicit forms derived here, ``docs/theory.md`` §7."""

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.bounds.bound import Bound, symbols, theorem
from ntk_localsgd.errors import InputError
from ntk_localsgd.rounding import SLACK

__all__ = ["line_domains", "plane_domains", "tail_from_output", "tail_from_start", "weights_from_outputs"]

_SOURCE = "docs/theory.md, X4"


@theorem
def line_domains() -> Bound:
    """X4-line [D]: a line meets at most (m + 1)^L activation domains of L layers of m neurons."""
    m, depth = symbols("m L")
    return Bound("X4-line", "D", _SOURCE, "activation domains on a line", "<=", (m + 1) ** depth)


@theorem
def plane_domains() -> Bound:
    """X4-plane [D]: a plane meets at most (1 + m + m(m − 1)/2)^L activation domains of L layers of m neurons."""
    m, depth = symbols("m L")
    bound = (1 + m + m * (m - 1) / sp.Integer(2)) ** depth
    return Bound("X4-plane", "D", _SOURCE, "activation domains in a plane", "<=", bound)


def tail_from_start(
    deviations: Float[ndarray, " L"],
    biases: Float[ndarray, " L"],
    input_norm: float,
    rest: tuple[float, float] = (0, 0),
) -> Float[ndarray, " L+1"]:
    """X2 [D]: ‖N_∞(x) − N_n(x)‖ ≤ H Σ_{l>n} ‖W_l − I‖ + Σ_{l>n} ‖b_l‖, n = 0, …, L; for n = 0 where x ≥ 0.

    H = Π_l (1 + ‖W_l − I‖) · (‖x‖ + Σ_l ‖b_l‖) bounds every ‖N_l(x)‖.

    Parameters
    ----------
    deviations, biases
        Bounds on ‖W_l − I‖₂ and ‖b_l‖ of the first L layers.
    input_norm
        ‖x‖.
    rest
        Bounds on the sums of both over all later layers; 0: the network ends at L.

    Raises
    ------
    InputError
        For numbers that are negative or not finite.

    >>> tail_from_start(np.array([0.5, 0.25]), np.zeros(2), 1.0).round(3).tolist()
    [1.406, 0.469, 0.0]
    """
    tails = _tails(deviations, biases, rest)
    largest = np.exp(_log_growth(deviations, rest)[0]) * (_nonnegative("input_norm", input_norm) + tails[1][0])
    return (largest * tails[0] + tails[1]) * SLACK


def tail_from_output(
    output_norms: Float[ndarray, "*inputs L+1"],
    deviations: Float[ndarray, " L"],
    biases: Float[ndarray, " L"],
    rest: tuple[float, float] = (0, 0),
) -> Float[ndarray, "*inputs L+1"]:
    """X2-output [D]: the same tail from ‖N_n(x)‖ on: (Π_{l>n}(1 + ‖W_l − I‖) − 1)(‖N_n‖ + Σ_{l>n}‖b_l‖) + Σ_{l>n}‖b_l‖.

    Parameters
    ----------
    output_norms
        ‖N_0(x)‖, …, ‖N_L(x)‖.
    deviations, biases, rest
        As of `tail_from_start`, and so is what is raised.
    """
    later = _tails(deviations, biases, rest)[1]
    grown = np.expm1(_log_growth(deviations, rest))
    return (grown * (_nonnegative("output_norms", output_norms) + later) + later) * SLACK


def weights_from_outputs(before: Float[ndarray, "k m"], after: Float[ndarray, "k m"]) -> tuple[float, float]:
    """X3 [D]: ‖[W_n − I, b_n]‖₂ ≤ ‖N_n(x_i) − N_{n−1}(x_i)‖₂/σ_min([N_{n−1}(x_i), 1]) where all N_n(x_i) > 0.

    Parameters
    ----------
    before, after
        N_{n−1}(x_i) and N_n(x_i), a row each, at m + 1 inputs or more.

    Returns
    -------
    Norm of the increments as a matrix, σ_min
        σ_min is 0, as computed up to rounding, where the rows of ``before`` are affinely dependent.

    Raises
    ------
    InputError
        For shapes that differ, or fewer rows than m + 1.
    """
    rows, width = np.shape(before)
    if np.shape(after) != (rows, width) or rows <= width:
        raise InputError(f"outputs have shapes {np.shape(before)} and {np.shape(after)}, need [k m] alike, k > m.")
    augmented = np.column_stack([before, np.ones(rows)])
    return float(np.linalg.norm(after - before, 2)), float(np.linalg.svd(augmented, compute_uv=False)[-1])


def _nonnegative(name: str, values: object) -> Float[ndarray, "..."]:
    numbers = np.asarray(values, np.float64)
    if not (np.isfinite(numbers).all() and (numbers >= 0).all()):
        wrong = numbers[~(numbers >= 0) | ~np.isfinite(numbers)].flat[0]
        raise InputError(f"{name} holds {wrong}, needs to be at least 0 and finite.")
    return numbers


def _tails(deviations: ndarray, biases: ndarray, rest: tuple[float, float]) -> list[Float[ndarray, " L+1"]]:
    """Σ_{l>n} of both, n = 0 … L."""
    terms = (_nonnegative("deviations", deviations), _nonnegative("biases", biases))
    later = _nonnegative("rest", rest)
    return [np.append(np.cumsum(part[::-1])[::-1], 0.0) + more for part, more in zip(terms, later, strict=True)]


def _log_growth(deviations: ndarray, rest: tuple[float, float]) -> Float[ndarray, " L+1"]:
    """log Π_{l>n} (1 + ‖W_l − I‖), n = 0 … L; that of later layers is at most the exponential of their sum."""
    return np.append(np.cumsum(np.log1p(deviations)[::-1])[::-1], 0.0) + rest[0]
