"""Results of jobs, read when they are asked for."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import xarray as xr

from ntk_localsgd.errors import InputError
from verification.store import Job, Store

__all__ = ["Kept", "Results"]


class Kept(Mapping[Job, xr.Dataset]):
    """What is stored or was computed here, by job; a file is read when it is asked for, and once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[Job, xr.Dataset | None] = {}

    def add(self, job: Job, result: xr.Dataset | None = None) -> None:
        """A job whose result is stored, and the result if it is at hand."""
        self._read[job] = result

    def __getitem__(self, job: Job) -> xr.Dataset:
        result = self._read[job]
        if result is None:
            result = self._read[job] = self._store.read(job)
        return result

    def __contains__(self, job: object) -> bool:
        return job in self._read  # what Mapping does instead would open the file

    def __iter__(self) -> Iterator[Job]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


@dataclasses.dataclass(frozen=True)
class Results:
    """Results of jobs, and the errors of those that failed.

    ``results[job]`` raises what the job raised: the claims that need it say so, the others go on.
    """

    computed: Mapping[Job, xr.Dataset]
    failed: Mapping[Job, Exception] = dataclasses.field(default_factory=dict)
    named: frozenset[Job] | None = None  # those that may be read; None: all

    def __getitem__(self, job: Job) -> xr.Dataset:
        if self.named is None or job in self.named:
            if job in self.failed:
                raise self.failed[job]
            if job in self.computed:
                return self.computed[job]
        raise InputError(f"{job} was not computed: a claim or figure needs to name every job that it reads.")

    def only(self, jobs: Iterable[Job]) -> "Results":
        """These results without those of other jobs."""
        return dataclasses.replace(self, named=frozenset(jobs))
