"""Where the results of jobs lie: one file a job, named by its values and by the code that computes it."""

import dataclasses
import functools
import inspect
import os
import pathlib
from collections.abc import Iterable
from typing import Protocol

import xarray as xr

from ntk_localsgd import results
from ntk_localsgd.errors import InputError
from ntk_localsgd.provenance import code_fingerprint, device_name
from ntk_localsgd.stored import is_whole, load, require_writable, save

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
    computed anew: what they read besides their imports is not known. With ``fresh`` all are. ``device`` is what results
    are computed on, if not on that of this process.
    """

    folder: pathlib.Path
    fresh: bool = False
    home: tuple[str, ...] = ("verification", "figures")
    device: str | None = None

    def path(self, job: Job) -> pathlib.Path:
        """Where the result of a job is, or would be, stored."""
        return results.path_for(job, self.folder, code=code_of(type(job)), device=self.device)

    def has(self, job: Job) -> bool:
        """Whether a whole result is there that may be read; a damaged one is moved aside."""
        return not self.anew(job) and is_whole(self.path(job), results.canonical(job))

    def stored(self, jobs: Iterable[Job]) -> list[Job]:
        """Those that `has` says yes to, in order."""
        try:
            with os.scandir(self.folder) as entries:  # to ask for absent files one by one takes longer
                there = {entry.name for entry in entries}
        except OSError:
            return []
        paths = ((job, self.path(job)) for job in jobs if not self.anew(job))
        return [job for job, path in paths if path.name in there and is_whole(path, results.canonical(job))]

    def read(self, job: Job) -> xr.Dataset:
        """The result of a job that was stored a moment ago; computed if it has been damaged or deleted since."""
        stored = load(self.path(job), results.canonical(job))
        return self._computed(job) if stored is None else stored

    def save(self, job: Job, result: xr.Dataset) -> xr.Dataset:
        """Store a result that was computed without this folder."""
        return save(self.path(job), result)

    def anew(self, job: Job) -> bool:
        """Whether a job is computed even if its result is stored."""
        return self.fresh or type(job).__module__.partition(".")[0] not in self.home

    def _computed(self, job: Job) -> xr.Dataset:
        if self.device not in (None, device_name()):
            raise InputError(f"{self.path(job)} is gone, and was computed on {self.device}, this is {device_name()}.")
        require_writable(self.folder)
        return self.save(job, results.measured(job, job.compute))


@functools.cache
def code_of(kind: type) -> str:
    """Fingerprint of the module that defines a class and of its import closure.

    Raises
    ------
    InputError
        If the class is not defined in a file.
    """
    try:
        file = inspect.getfile(kind)
    except (OSError, TypeError) as error:
        raise InputError(
            f"{kind.__qualname__} is not defined in a file, needs to be: its code names its results."
        ) from error
    return code_fingerprint(pathlib.Path(file))
