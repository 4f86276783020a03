"""Approximate extreme eigenvalues of a symmetric matrix, without any guarantee: what the proven bounds start from."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.kernels.packed import Factor, shifted_factor
from ntk_localsgd.rounding import UNIT, unit

__all__ = ["Eigenpair", "lanczos", "lapack_extreme", "shift_and_invert"]

# Lanczos steps with a factor in float64, each as long as reading it twice; steps for a first shift below an indefinite
# matrix; corrections of a vector from float32; factorisations in float64 after which shift and invert gives up.
_BETWEEN, _FIRST, _CORRECTIONS, _MOST_FACTORISATIONS = 40, 40, 3, 6

# Traces between 2^±60 leave room in float32 for the inverse of what is not lost in its rounding.
_RANGE = (2.0**-60, 2.0**60)

# With a factor in float32: a step for so many rows, about a hundredth of a factorisation, within these numbers.
_ROWS_A_STEP, _FEWEST, _MOST = 50, 40, 200


class Eigenpair(NamedTuple):
    """An approximate eigenvalue λ, its vector v of length 1, and ‖Av − λv‖: some eigenvalue is that near."""

    value: float
    vector: Float[ndarray, " n"]
    residual: float
    gap: float = 0.0  # to the next approximate eigenvalue, where one is known

    @property
    def distance(self) -> float:
        """min(r, r²/gap), r the residual: an estimate of how near, true where no eigenvalue lies in the gap."""
        return self.residual * min(1.0, self.residual / self.gap) if self.gap else self.residual


def lapack_extreme(a: Float[ndarray, "n n"], *, largest: bool = False) -> Eigenpair:
    """Smallest or largest eigenvalue by LAPACK: 4n³/3 operations, half of which wait for memory."""
    place = len(a) - 1 if largest else 0
    values, vectors = scipy.linalg.eigh(a, subset_by_index=[place, place])
    if not values.size:  # LAPACK's syevr gives up on some clusters, without a word
        values, vectors = (part[..., [place]] for part in scipy.linalg.eigh(a, driver="evd"))
    return Eigenpair(float(values[0]), vectors[:, 0], 0.0)


def lanczos(
    product: Callable[[Float[ndarray, " n"]], Float[ndarray, " n"]],
    start: Float[ndarray, " n"],
    steps: int,
    *,
    settled: Callable[[Eigenpair], bool] | None = None,
    every: int = 10,
    smallest: bool = False,
) -> Eigenpair:
    """Eigenvalue of largest modulus, or the smallest one, of the symmetric operator v ↦ ``product(v)``.

    Ends after ``steps`` products or n, or as soon as the pair is ``settled``, which is asked at ``every`` so many
    steps. Every step is made orthogonal to all before it.
    """
    steps = min(steps, len(start))
    basis = np.zeros((steps + 1, len(start)))
    basis[0] = start / np.linalg.norm(start)
    diagonal: list[float] = []
    beside: list[float] = []
    for k in range(steps):
        image = product(basis[k])
        diagonal.append(float(basis[k] @ image))
        for _ in range(2):  # once leaves components of the size of the cancellation
            image = image - (basis[: k + 1] @ image) @ basis[: k + 1]
        beside.append(float(np.linalg.norm(image)))
        last = k + 1 == steps or beside[-1] <= 100 * UNIT * abs(diagonal[-1])  # nothing but rounding is left
        if last or (settled and (k + 1) % every == 0):
            pair = _ritz_pair(basis[: k + 1], diagonal, beside, smallest=smallest)
            if last or (settled and settled(pair)):
                break
        basis[k + 1] = image / beside[-1]
    return pair


def _ritz_pair(
    basis: Float[ndarray, "k n"], diagonal: list[float], beside: list[float], *, smallest: bool
) -> Eigenpair:
    """The extreme eigenvalue of the tridiagonal matrix that the steps have made, and its vector in their basis."""
    values, vectors = scipy.linalg.eigh_tridiagonal(diagonal, beside[:-1])
    place = 0 if smallest else int(np.argmax(np.abs(values)))
    residual = beside[-1] * abs(float(vectors[-1, place]))
    gap = float(np.delete(np.abs(values - values[place]), place).min(initial=np.inf))
    return Eigenpair(float(values[place]), vectors[:, place] @ basis, residual, gap if len(values) > 1 else 0.0)


def shift_and_invert(a: Float[ndarray, "n n"]) -> Eigenpair | None:
    """Smallest eigenvalue of a large matrix by Lanczos steps with (A − s·I)⁻¹; None where that does not settle.

    A factor in float32 takes half the time and mostly suffices: it only says where to look, the vector is corrected
    and its quotient taken in float64. Where it does not, steps with factors in float64 estimate λ_min and their own
    error, and the next shift lies that error below: each factorisation makes the gap to the other eigenvalues
    relatively wider. At no time more than 3/4 of the matrix's memory is needed.
    """
    n, trace = len(a), float(np.trace(a))
    rough = _in_float32(a)
    if rough is not None and rough.distance <= 3 * _rounding(n, trace, rough.value):
        return rough
    shift, vector, factor = _first(a, rough)
    for _ in range(_MOST_FACTORISATIONS):
        if factor is None:
            return None
        settled = partial(_settled, n, trace, shift)
        pair = lanczos(factor.solve, vector, _BETWEEN, settled=settled, every=4)
        value, below = shift + 1 / pair.value, _moved(pair, pair.residual)
        if settled(pair):
            # The residual of the inverse weighs large eigenvalues of A little, its quotient weighs them fully: one more
            # product with the inverse takes them out.
            vector, near = factor.solve(pair.vector), _moved(pair, pair.distance)
            return Eigenpair(value, vector, below, below**2 / near if near else 0.0)
        factor = None  # frees it before there is another
        shift, vector, factor = _factor_below(a, value, below, pair.vector)
    return None


def _rounding(n: int, trace: float, value: float) -> float:
    """What a factorisation's rounding leaves open anyway; the enclosure is documented to be ten times as wide."""
    return n * UNIT * max(trace, trace - n * value)


def _settled(n: int, trace: float, shift: float, pair: Eigenpair) -> bool:
    """Whether an eigenpair of (A − s·I)⁻¹ tells λ_min to a part of that."""
    return _moved(pair, pair.distance) <= _rounding(n, trace, shift + 1 / pair.value) / 4


def _moved(pair: Eigenpair, by: float) -> float:
    """How far 1/θ falls where θ, an eigenvalue of the inverse, rises by so much."""
    return 1 / pair.value - 1 / (pair.value + by)


def _in_float32(a: Float[ndarray, "n n"]) -> Eigenpair | None:
    """The smallest eigenvalue by steps with a factor in float32; None where λ_min is lost in its rounding or range."""
    n, trace = len(a), float(np.trace(a))
    if not _RANGE[0] < trace < _RANGE[1]:
        return None
    start, factor = np.random.default_rng(0).standard_normal(n), shifted_factor(a, 0.0, np.float32)
    lost = 4 * unit(np.float32) * trace
    if factor is None or not lost * np.linalg.norm(factor.solve(start)) < np.linalg.norm(start):
        return None
    steps, settled = max(_FEWEST, min(n // _ROWS_A_STEP, _MOST)), partial(_settled, n, trace, 0.0)
    inverse = lanczos(factor.solve, start, steps, settled=settled, every=4)
    gap = 1 / (inverse.value - inverse.gap) - 1 / inverse.value if inverse.gap < inverse.value else 0.0
    vector = factor.solve(inverse.vector)
    for _ in range(_CORRECTIONS):
        vector = vector / np.linalg.norm(vector)
        image = a @ vector
        value = float(vector @ image)
        rest = image - value * vector
        pair = Eigenpair(value, vector, float(np.linalg.norm(rest)), gap)
        vector = vector - factor.solve(rest)
    return pair


def _first(a: Float[ndarray, "n n"], rough: Eigenpair | None) -> tuple[float, Float[ndarray, " n"], Factor | None]:
    """A shift below λ_min, a vector to start from, and the factor there."""
    if rough is not None:
        return _factor_below(a, rough.value, 2 * rough.residual, rough.vector)
    start = np.random.default_rng(0).standard_normal(len(a))
    if (factor := shifted_factor(a, 0.0)) is not None:
        return 0.0, start, factor
    pair = lanczos(partial(np.matmul, a), start, _FIRST, smallest=True)
    return _factor_below(a, pair.value, pair.residual, pair.vector)


def _factor_below(
    a: Float[ndarray, "n n"], value: float, distance: float, vector: Float[ndarray, " n"]
) -> tuple[float, Float[ndarray, " n"], Factor | None]:
    """The first of three shifts further and further below an approximate eigenvalue that has a factor.

    By rounding a factor nearer than that fails, however well the eigenvalue is known.
    """
    distance = max(distance, _rounding(len(a), float(np.trace(a)), value))
    for shift in (value - distance, value - 4 * distance, value - 16 * distance):
        if (factor := shifted_factor(a, shift)) is not None:
            break
    return shift, vector, factor
