"""Which jobs go together: those of one shape, as many as take some seconds; one compiled program serves them."""

import math
from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from ntk_localsgd.results import plain
from verification.store import Job

__all__ = ["Chunks", "shape_of", "shape_of_plain"]

#: Seconds that a chunk is to take: its own overhead is a few milliseconds.
_SECONDS, _MOST = 2.0, 256


class Chunks:
    """Jobs that wait, given out in chunks.

    Parameters
    ----------
    jobs
        In the order in which they are to be begun.
    together
        Whether jobs of one shape go together, ahead of others that were named earlier; else each goes alone, in order.
    workers
        How many chunks are worked on at a time: the last ones are made smaller, so that all workers end together.
    """

    def __init__(self, jobs: Iterable[Job], *, together: bool, workers: int) -> None:
        self._together, self._workers = together, workers
        self._groups: dict[Hashable, deque[Job]] = {}
        self._alone: deque[Job] = deque()
        self._seconds: dict[Hashable, tuple[float, int]] = {}
        for job in jobs:
            self._groups.setdefault(self._key(job), deque()).append(job)

    def __bool__(self) -> bool:
        return bool(self._alone or self._groups)

    def next(self) -> list[Job]:
        """The next chunk; empty if nothing waits. Until the first of a shape is done it goes alone."""
        if self._alone:
            return [self._alone.popleft()]
        for key, group in self._groups.items():
            chunk = [group.popleft() for _ in range(self._size(key, len(group)))]
            if not group:
                del self._groups[key]
            return chunk
        return []

    def alone(self, jobs: Iterable[Job]) -> None:
        """Jobs to try again, each by itself: when a chunk is lost nobody knows by which of its jobs."""
        self._alone.extend(jobs)

    def took(self, job: Job, seconds: float) -> None:
        """How long a job of some shape has taken."""
        total, count = self._seconds.get(self._key(job), (0.0, 0))
        self._seconds[self._key(job)] = total + seconds, count + 1

    def _size(self, key: Hashable, waiting: int) -> int:
        if not self._together or key not in self._seconds:
            return 1
        total, count = self._seconds[key]
        fits = math.floor(_SECONDS * count / max(total, 1e-9))
        return max(1, min(fits, _MOST, math.ceil(waiting / (2 * self._workers))))

    def _key(self, job: Job) -> Hashable:
        return shape_of(job) if self._together else None


def shape_of(job: Any) -> Hashable:
    """What decides the shapes of a job's arrays, by a rule that errs on the side of too many kinds.

    Its class, and all its values but floats and what is called ``seed`` or ``seeds``, of which the number counts.

    >>> from verification.data import Source
    >>> shape_of(Source("sphere", 8, 1)) == shape_of(Source("sphere", 8, 2)) != shape_of(Source("sphere", 9, 1))
    True
    """
    return shape_of_plain(plain(job))


def shape_of_plain(job: Any) -> Hashable:
    """The same of what a result says about its job."""
    return _shape("", job)


def _shape(name: str, value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return tuple((key, _shape(key, entry)) for key, entry in value.items())
    if isinstance(value, list | tuple):
        return tuple(_shape(name, entry) for entry in value)
    return type(value).__name__ if isinstance(value, float) or name in ("seed", "seeds") else value
