"""Jobs that take no JAX, for tests of what happens around them."""

import dataclasses
import errno
import os
import pathlib
import signal
import time

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_info


@dataclasses.dataclass(frozen=True)
class Walk:
    """Random numbers, after some milliseconds of work."""

    seed: int
    steps: int = 50
    milliseconds: float = 0.0
    bias: float = 0.0

    def compute(self):
        """A random walk, and in which process it was walked."""
        until = time.process_time() + self.milliseconds / 1e3
        while time.process_time() < until:
            pass
        steps = np.random.default_rng(self.seed).normal(self.bias, size=self.steps)
        return xr.Dataset({"walk": ("step", np.cumsum(steps)), "pid": ((), os.getpid())})


@dataclasses.dataclass(frozen=True)
class Deadly:
    """Kills its process so many times, or raises, counting in a folder; then succeeds."""

    folder: str
    times: int
    raises: bool = False

    def compute(self):
        """One number: how often it was tried."""
        for number in range(self.times):
            try:
                (pathlib.Path(self.folder) / f"{self.times}-{self.raises}-{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            if self.raises:
                raise OSError("not today")
            os.kill(os.getpid(), signal.SIGKILL)
        return xr.Dataset({"tries": ((), self.times + 1)})


@dataclasses.dataclass(frozen=True)
class Threads:
    """How many threads linear algebra has while a job is computed."""

    def compute(self):
        """The largest number of any library."""
        numbers = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
        return xr.Dataset({"threads": ((), max(numbers, default=1))})


def _full(descriptor, *, sync=os.fsync):
    """A disk that is full as long as a file says so, where none can be mounted."""
    if pathlib.Path(os.environ["NTK_TESTS_FULL"]).exists():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    sync(descriptor)


if "NTK_TESTS_FULL" in os.environ:
    os.fsync = _full
