"""The data sets that figures show: digits and a sphere, of all that a preset checks claims on."""

from verification.context import Context
from verification.data import Problem

__all__ = ["deep_problems", "problems"]


def problems(context: Context, num_samples: int) -> list[Problem]:
    """Data of two-layer networks."""
    return [problem for problem in context.problems(num_samples) if problem.source.kind in ("digits", "sphere")]


def deep_problems(context: Context) -> list[Problem]:
    """Data of deep networks: digits and the sphere with a planted pair; ten classes have a scale of their own."""
    return [problem for problem in context.deep_problems() if problem.source.kind in ("digits", "planted")]
