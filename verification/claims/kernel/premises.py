"""What several claims about the kernel at initialization ask for."""

import numpy as np

from verification.data import Problem

__all__ = ["EQUALITY_LEVEL", "unit_norms"]

#: Equalities are tested at this level, jointly over all entries (Bonferroni): one false alarm in a thousand checks.
EQUALITY_LEVEL = 0.999


def unit_norms(problem: Problem) -> bool:
    """Whether all rows have norm 1, up to the rounding of a norm of d squares and of the division by it."""
    d = problem.dataset.input_dim
    rounding = (d + 4) * np.finfo(np.float64).eps
    return bool(np.abs(np.linalg.norm(problem.inputs, axis=1) - 1).max() <= rounding)
