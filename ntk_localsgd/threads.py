"""Threads of linear algebra: those of a few hundred rows wait for one another longer than they compute."""

import contextlib
import functools
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread", "threads_for"]

# Rows for which LAPACK is given one thread. With fewer it takes one by itself, with more a second one pays where there
# is a core for it; between, two threads took two to three times as long as one, since they spin while they wait.
_FEW = range(40, 500)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """In this block, or a function decorated so, NumPy's and SciPy's linear algebra has one thread.

    It is the whole process's, and costs 50 µs.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield


def threads_for(rows: int) -> contextlib.AbstractContextManager[None]:
    """`one_thread` for matrices of few ``rows``, and nothing for others."""
    return one_thread() if rows in _FEW else contextlib.nullcontext()


@functools.cache
def _controller() -> ThreadpoolController:
    """Made once: to look for the libraries that are loaded takes a hundred times as long as to set their threads."""
    return ThreadpoolController()
