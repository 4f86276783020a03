"""Threads of linear algebra: those of a few hundred rows wait for one another longer than they compute."""

import contextlib
import functools
import threading
from collections.abc import Iterator

import scipy.linalg  # noqa: F401 (its library is one of those that the controller is to find)
from threadpoolctl import ThreadpoolController

__all__ = ["one_thread", "threads_for"]

# Rows from which a second thread pays where there is a core for it. With fewer two threads took two to three times as
# long as one on a busy machine of two cores, since they spin while they wait.
_MANY = 500


class _Limit:
    """One thread from the first block that is entered to the last that is left: the limit is the whole process's."""

    def __init__(self) -> None:
        self._lock, self._inside, self._held = threading.Lock(), 0, contextlib.ExitStack()

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._held.enter_context(_controller().limit(limits=1, user_api="blas"))
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._held.close()


_LIMIT = _Limit()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """In this block NumPy's and SciPy's linear algebra has one thread, in all of the process; it costs 50 µs.

    Blocks of several threads may overlap: as many as before the first are there again after the last.
    """
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()


def threads_for(rows: int, *, least: int = 40) -> contextlib.AbstractContextManager[None]:
    """`one_thread` for matrices of few ``rows``, and nothing for others.

    ``least``: rows below which linear algebra takes one thread by itself.
    """
    return one_thread() if least <= rows < _MANY else contextlib.nullcontext()


@functools.cache
def _controller() -> ThreadpoolController:
    """Made once: to look for the libraries that are loaded takes a hundred times as long as to set their threads."""
    return ThreadpoolController()
