"""What happens where jobs are computed: in a thread here, in a process here, or on another machine.

Nothing of JAX is imported before a job does so: a process that is bound to a GPU begins here.
"""

import dataclasses
import os
import pathlib
import pickle
import sys
import time
import traceback
from collections.abc import Sequence

import cloudpickle
import xarray as xr

from ntk_localsgd import results
from ntk_localsgd.errors import InputError, StorageError
from ntk_localsgd.provenance import device_name, versions
from ntk_localsgd.stored import save
from verification.store import Job

__all__ = ["PARENT", "Done", "JobError", "Order", "carry_out", "device_as_the_client", "here", "order", "orphaned"]

#: The variable by which a worker process knows its client's number: a worker that has lost its client stops.
PARENT = "NTK_LOCALSGD_CLIENT"


class JobError(RuntimeError):
    """What a job raised elsewhere, where that cannot be sent; says of which kind it was."""


@dataclasses.dataclass(frozen=True)
class Order:
    """Jobs to compute in turn.

    Attributes
    ----------
    jobs
        The jobs; in another process pickled, with the classes that only scripts of the user define.
    paths
        Where each one's result is stored, if the folder is shared.
    marker
        File that is there while the sweep goes on: seen by who shares the folder.
    device, versions, x64, compiling
        What the results are to be computed with, the last being XLA's flags; None: it is this process, and so it is.
    """

    jobs: bytes | tuple[Job, ...]
    paths: tuple[pathlib.Path, ...]
    marker: pathlib.Path | None
    device: str
    versions: dict[str, str] | None = None
    x64: bool = False
    compiling: str = ""


@dataclasses.dataclass(frozen=True)
class Done:
    """What has become of one job of an order: stored, returned, or failed."""

    number: int
    result: xr.Dataset | None = None
    error: Exception | None = None
    trace: str = ""
    seconds: float = 0.0


def here(jobs: Sequence[Job], paths: Sequence[pathlib.Path], device: str) -> Order:
    """An order that is carried out in this process: results are stored and returned."""
    return Order(tuple(jobs), tuple(paths), None, device)


def order(jobs: Sequence[Job], paths: Sequence[pathlib.Path], marker: pathlib.Path, device: str) -> Order:
    """An order that may be carried out anywhere with this project."""
    import jax

    for module in {type(job).__module__ for job in jobs}:
        if module.partition(".")[0] not in _INSTALLED and module in sys.modules:
            cloudpickle.register_pickle_by_value(sys.modules[module])
    pickled = cloudpickle.dumps(tuple(jobs))
    x64, compiling = bool(jax.config.read("jax_enable_x64")), os.environ.get("XLA_FLAGS", "")
    return Order(pickled, tuple(paths), marker, device, versions(), x64, compiling)


# Packages that workers have too; all else is a script of the user's, which goes along.
_INSTALLED = ("verification", "figures", "ntk_localsgd", "tests", "__main__")


def carry_out(wanted: Order) -> list[Done]:
    """Compute the jobs of an order in turn, until all are done, the disk is full, or the sweep is over."""
    elsewhere = wanted.versions is not None
    # Who sees the folder of the marker, and not the marker, has come when all was over.
    shared = wanted.marker is None or wanted.marker.parent.is_dir()
    if elsewhere:
        _as_the_client(wanted)
    jobs: tuple[Job, ...] = pickle.loads(wanted.jobs) if isinstance(wanted.jobs, bytes) else wanted.jobs
    outcomes: list[Done] = []
    for number, (job, path) in enumerate(zip(jobs, wanted.paths, strict=True)):
        if elsewhere and shared and (orphaned() or not (wanted.marker and wanted.marker.exists())):
            break
        begun = time.perf_counter()
        try:
            result = results.measured(job, job.compute, device=_device(wanted.device) if elsewhere else None)
            if elsewhere and (device := _device(wanted.device)) != wanted.device:
                raise _other_device(device, wanted.device)  # noqa: TRY301 (fails like a job)
            if shared:
                path.parent.mkdir(parents=True, exist_ok=True)
                result = save(path, result)
            seconds = time.perf_counter() - begun
            outcomes.append(Done(number, None if elsewhere and shared else result, seconds=seconds))
        except Exception as error:
            trace = traceback.format_exc()
            outcomes.append(Done(number, error=_portable(error) if elsewhere else error, trace=trace))
            if isinstance(error, StorageError):
                break
    return outcomes


def _as_the_client(wanted: Order) -> None:
    """The same versions and the same flags of JAX as where the names of results are made.

    Raises
    ------
    InputError
        If libraries or XLA's flags differ: results would be stored under names that are not theirs.
    """
    mine = versions()
    if differing := [name for name, version in (wanted.versions or {}).items() if mine.get(name) != version]:
        name = differing[0]
        raise InputError(
            f"worker {_host()} has {name} {mine.get(name)}, needs {(wanted.versions or {})[name]} as the client has."
        )
    _compile_as(wanted.compiling)
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", wanted.x64)
    else:
        os.environ["JAX_ENABLE_X64"] = str(int(wanted.x64))


def _compile_as(flags: str) -> None:
    """XLA's flags are the client's; it reads them once, so that a worker that has used others is refused."""
    if "jax" not in sys.modules:
        os.environ["XLA_FLAGS"] = flags
    elif (mine := os.environ.get("XLA_FLAGS", "")) != flags:
        raise InputError(
            f"worker {_host()} compiles with XLA_FLAGS={mine!r}, needs {flags!r} as the client has: restart it."
        )


def device_as_the_client(flags: str) -> str:
    """What a worker computes on, XLA's flags being the client's: to ask is to use JAX, which reads them.

    Raises
    ------
    InputError
        If the worker has used JAX with other flags.
    """
    _compile_as(flags)
    return device_name()


def _device(expected: str) -> str:
    """What a job was computed on; one that has not used JAX says nothing about its device."""
    return device_name() if "jax" in sys.modules else expected


def _other_device(mine: str, wanted: str) -> JobError:
    return JobError(f"worker {_host()} computes on {mine}, the sweep on {wanted}: bits may differ.")


def orphaned() -> bool:
    """Whether the client that started this process is gone."""
    return os.environ.get(PARENT, str(os.getppid())) != str(os.getppid())


def _host() -> str:
    import socket

    return f"{socket.gethostname()}, process {os.getpid()},"


def _portable(error: Exception) -> Exception:
    """The error, if it survives the way to the client, or its words."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # whatever pickling raises means that it cannot be sent
        pass
    return JobError(f"{type(error).__name__}: {error}")
