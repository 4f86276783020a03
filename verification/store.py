"""Where the results of jobs lie: one file a job, named by its values and by the code that computes it."""

import dataclasses
import functools
import inspect
import pathlib
from typing import Protocol

import xarray as xr

from ntk_localsgd import results
from ntk_localsgd.provenance import code_fingerprint

__all__ = ["Job", "Store", "code_of"]


class Job(Protocol):
    """What is measured, in plain values: a frozen dataclass that pickles, at home in a module that can be imported."""

    def compute(self) -> xr.Dataset:
        """Measure: seconds to hours, numbers to keep."""
        ...


@dataclasses.dataclass(frozen=True)
class Store:
    """Results of jobs in a folder.

    A file's name changes with anything that the job's module imports, directly or through others, with versions and
    with the device; with nothing else. Jobs from outside the packages of ``home``, a user's scripts, are always
    computed anew: what they read besides their imports is not known. With ``fresh`` all are.
    """

    folder: pathlib.Path
    fresh: bool = False
    home: tuple[str, ...] = ("verification", "figures")

    def path(self, job: Job) -> pathlib.Path:
        """Where the result of a job is, or would be, stored."""
        return results.path_for(job, self.folder, code=code_of(type(job)))

    def has(self, job: Job) -> bool:
        """Whether a result is there that may be read."""
        return not self._anew(job) and self.path(job).exists()

    def get(self, job: Job) -> xr.Dataset:
        """The result of a job, computed if it is not there yet."""
        code = code_of(type(job))
        return results.load_or_compute(job, job.compute, self.folder, code=code, fresh=self._anew(job))

    def _anew(self, job: Job) -> bool:
        return self.fresh or type(job).__module__.partition(".")[0] not in self.home


@functools.cache
def code_of(kind: type) -> str:
    """Fingerprint of the module that defines a class and of its import closure."""
    return code_fingerprint(pathlib.Path(inspect.getfile(kind)))
