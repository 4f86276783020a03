"""The smallest number for which something works: by factors upwards, then by bisection."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

__all__ = ["Asked", "Tried", "is_monotone", "smallest", "tries"]


class Tried(NamedTuple):
    """A number and whether it worked."""

    value: float
    works: bool


@dataclasses.dataclass
class Asked:
    """What is asked of each number, with the number asked about last and the seconds that each answer took."""

    works: Callable[[float], bool]
    last: float | None = None
    began: float = 0.0
    seconds: list[float] = dataclasses.field(default_factory=list)

    def __call__(self, value: float) -> bool:
        """The answer."""
        self.last, self.began = value, time.monotonic()
        answer = self.works(value)
        self.seconds.append(time.monotonic() - self.began)
        return answer

    def told(self, tried: Sequence[Tried], limit: float, *, most: float, growth: float) -> str:
        """Of a search in which nothing has worked: what was tried, and which limit on seconds would try the rest."""
        values = [f"{each.value:.4g}" for each in tried]
        said = f": {', '.join(values)} {'is' if len(values) == 1 else 'are'} not" if values else ""
        if self.last is None:
            return f", ended after {limit:g} s before the first number was tried"
        if len(self.seconds) == len(tried) and self.last >= most:
            return said
        spent = time.monotonic() - self.began
        rest = 1 + math.ceil(math.log(most / self.last) / math.log(growth))
        enough = sum(self.seconds) + rest * max([spent, *self.seconds])
        return (
            f"{said}, ended after {limit:g} s in which {self.last:.4g} was not decided; all numbers up to {most:.4g} "
            f"may take {enough:.1g} s (--time-limit)"
        )


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
