"""Which executor the options of a command ask for."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor

__all__ = ["chosen"]


@contextlib.contextmanager
def chosen(workers: int | None) -> Iterator[Executor | None]:
    """The executor, for as long as the context lasts; None: the engine's own threads.

    Raises
    ------
    InputError
        If the options fit nothing.
    """
    if workers is None:
        yield None
        return
    from verification.engine.workers import Workers

    # The judges here need next to nothing of a GPU that the workers share.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with Workers(workers) as executor:
        yield executor
