"""The smallest number for which something works: by factors upwards, then by bisection."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

__all__ = ["Tried", "is_monotone", "smallest", "tries"]


class Tried(NamedTuple):
    """A number and whether it worked."""

    value: float
    works: bool


def tries(
    works: Callable[[float], bool], begin: float, *, most: float, growth: float, ratio: float, step: int | None = None
) -> Iterator[Tried]:
    """Try ``begin`` and larger numbers until one works, then those between, and last a larger one once more.

    Parameters
    ----------
    works
        What is asked of each number.
    begin, most
        The first number, and the largest that is tried.
    growth
        Factor from one number to the next while none works.
    ratio
        Bisection ends when a number that works is at most this many times one that does not.
    step
        Numbers are multiples of this; None: any.

    Yields
    ------
    Every number tried, as it is known.
    """
    failed, value = None, begin
    while True:
        yield Tried(value, works_here := works(value))
        if works_here or value >= most:
            break
        failed, value = value, min(value * growth, most)
    if not works_here:
        return
    first = worked = value
    while failed is not None and worked > failed * ratio:
        middle = math.sqrt(failed * worked)
        if step is not None:
            middle = step * round(middle / step)
            if not failed < middle < worked:
                break
        yield Tried(middle, works_here := works(middle))
        failed, worked = (failed, middle) if works_here else (middle, worked)
    beyond = min(first * growth, most)
    if beyond > first:
        yield Tried(beyond, works(beyond))


def smallest(tried: Sequence[Tried]) -> float | None:
    """The smallest number that worked."""
    return min((each.value for each in tried if each.works), default=None)


def is_monotone(tried: Sequence[Tried]) -> bool:
    """Whether everything larger than what worked has worked too."""
    least = smallest(tried)
    return least is None or all(each.works for each in tried if each.value > least)
