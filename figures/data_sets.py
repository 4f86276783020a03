"""The data sets that figures show: digits and a sphere, of all that a preset checks claims on."""

from figures.style import DATA_COLOURS
from verification.context import Context, Problem

__all__ = ["data_name", "deep_problems", "problems"]


def problems(context: Context, num_samples: int) -> list[Problem]:
    """Data of two-layer networks."""
    return [made for made in context.problems(num_samples) if made.kind in DATA_COLOURS]


def deep_problems(context: Context) -> list[Problem]:
    """Data of deep networks: digits and the sphere with a planted pair; ten classes have a scale of their own."""
    return [made for made in context.deep_problems() if made.kind == "digits" or made.kind.startswith("planted")]


def data_name(kind: str) -> str:
    """Name of a data set in legends, and in `DATA_COLOURS`."""
    return "digits" if kind.startswith("digits") else "sphere"
