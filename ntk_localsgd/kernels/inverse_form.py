"""The quadratic form of an inverse, yᵀA⁻¹y, as a rigorous enclosure."""

from typing import Any

import numpy as np
import scipy.linalg

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels.spectrum import Enclosure, smallest_eigenvalue
from ntk_localsgd.rounding import SLACK, TINY, UNIT, gamma

__all__ = ["inverse_quadratic_form"]


def inverse_quadratic_form(gram: Any, y: Any, *, error: float = 0.0) -> Enclosure:
    """Rigorous enclosure of yᵀA⁻¹y for every positive definite A with ‖A − gram‖₂ ≤ error.

    With any z and ρ = y − Az, yᵀA⁻¹y = yᵀz + zᵀρ + ρᵀA⁻¹ρ and 0 ≤ ρᵀA⁻¹ρ ≤ ‖ρ‖²/λ_min(A). z is the computed solution,
    λ_min comes from `smallest_eigenvalue`, and ρ is known up to its rounding and error·‖z‖.

    Parameters
    ----------
    gram
        Symmetric [n n] matrix, as it is stored.
    y
        [n].
    error
        Bound on the spectral norm of (true matrix − stored matrix).

    Returns
    -------
    Enclosure
        About 2·(error + n·u·‖A‖)·‖z‖² wide.

    Raises
    ------
    InputError
        If y does not fit, as `smallest_eigenvalue`, or if the matrix cannot be told from a singular one.

    References
    ----------
    ``docs/theory.md``, F3 [D].

    >>> lower, upper = inverse_quadratic_form([[2, 1], [1, 2]], [1, 2])
    >>> 2 - 1e-14 < lower < 2 < upper < 2 + 1e-14
    True
    """
    a, y = real_array("gram", gram, ndim=2), real_array("y", y, ndim=1)
    smallest = smallest_eigenvalue(gram, error=error).lower
    if len(y) != len(a):
        raise InputError(f"y has {len(y)} entries, needs one for each of the {len(a)} rows of gram.")
    if not smallest > 0:
        raise InputError("gram is singular as far as float64 can tell, needs to be positive definite.")
    n, a = len(y), (a + a.T) / 2
    z = scipy.linalg.solve(a, y, assume_a="sym")
    rest = y - a @ z
    length = float(np.linalg.norm(z)) * SLACK
    # Entries of the product are off by γ_n |A||z|, differences by u, and the halves of a + aᵀ by u too.
    sizes = gamma(n + 2) * (np.abs(a) @ np.abs(z)) + UNIT * np.abs(rest) + n * TINY
    unknown = (float(np.linalg.norm(sizes)) + error * length) * SLACK
    middle = float(y @ z) + float(z @ rest)
    rounding = gamma(n + 2) * float(np.abs(z) @ (np.abs(y) + np.abs(rest))) + 2 * n * TINY
    off = (rounding + 2 * UNIT * abs(middle) + length * unknown) * SLACK
    beyond = (float(np.linalg.norm(rest)) + unknown) ** 2 / smallest * SLACK
    return Enclosure(float(np.nextafter(middle - off, -np.inf)), float(np.nextafter(middle + off + beyond, np.inf)))
