"""Other machines as an executor: a Dask scheduler that is there, or Slurm jobs with a scheduler here.

Nothing listens on more than this machine's own loopback unless an address is given. Dask reads the options of TLS
itself: ``tls://`` in the address and ``distributed.comm.tls`` in its configuration.
"""

import contextlib
import logging
import os
import pathlib
import re
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from ntk_localsgd.errors import InputError
from verification.engine.worker import device_as_the_client

__all__ = ["ClusterExecutor", "connected", "slurm", "slurm_options"]

_LOOPBACK = "127.0.0.1"

# Chunks that wait at each worker's while it works, so that it need not wait for the client.
_AHEAD = 2

#: What a configuration says of Slurm jobs, and of which type.
_KEYS = {
    "jobs": int,
    "partition": str,
    "cores": int,
    "memory": str,
    "walltime": str,
    "gpus": int,
    "address": str,
    "python": str,
    "dask": dict,
}


class ClusterExecutor(Executor):
    """A Dask client as an executor.

    `distributed.Client.get_executor` is the like, but its futures never end when a result is lost with its worker and
    the second computation of it fails too (distributed 2026.8, ``cfexecutor._cascade_future``).

    Attributes
    ----------
    device
        What the first worker computes on; waits for that worker.
    """

    def __init__(self, client: Any, expected: int = 1) -> None:
        self._client, self._expected = client, expected
        self._counted = (0.0, expected)
        _say("waiting for a worker")
        self.device = self.submit(device_as_the_client, os.environ.get("XLA_FLAGS", "")).result()

    @property
    def workers(self) -> int:
        """Calls that are worth being under way at the moment."""
        at, number = self._counted
        if time.monotonic() - at > 1:
            threads = sum(self._client.nthreads().values())
            number = max(threads, self._expected)
            self._counted = time.monotonic(), number
        return _AHEAD * number

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function on some worker."""
        # Pure calls with equal arguments would be one call, and a second try the failed first.
        asked = self._client.submit(fn, *args, **kwargs, pure=False)
        future: Future[Any] = Future()

        def settle(_: Any) -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(asked.result())
            except BaseException as error:
                future.set_exception(error)

        asked.add_done_callback(settle)
        future.add_done_callback(lambda ended: asked.cancel() if ended.cancelled() else None)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing: client and workers are ended by who began them."""


@contextlib.contextmanager
def connected(address: str) -> Iterator[ClusterExecutor]:
    """The workers of a scheduler that is there.

    Raises
    ------
    InputError
        If Dask is not installed, or nothing answers at the address.
    """
    if not re.fullmatch(r"(tcp|tls)://.+:\d+", address):
        raise InputError(f"cluster is {address!r}, needs to be tcp://host:port, tls://host:port or slurm.")
    client_of = _dask("distributed").Client
    try:
        client = client_of(address, timeout=20)
    except OSError as error:
        raise InputError(
            f"cluster {address} does not answer ({type(error).__name__}), needs a Dask scheduler."
        ) from error
    with client:
        _say(f"scheduler {client.scheduler.address}, {len(client.nthreads())} workers")
        yield ClusterExecutor(client)


@contextlib.contextmanager
def slurm(config: pathlib.Path) -> Iterator[ClusterExecutor]:
    """Workers in Slurm jobs, with a scheduler here.

    Raises
    ------
    InputError
        If Dask is not installed, Slurm's commands are missing, or the configuration cannot be used.
    """
    import shutil

    settings = _read(config)
    dask, distributed, jobqueue = (_dask(name) for name in ("dask", "distributed", "dask_jobqueue"))
    if shutil.which("sbatch") is None:
        raise InputError("cluster is slurm, needs the command sbatch of Slurm on this machine.")
    logging.getLogger("distributed").setLevel(logging.ERROR)
    # A job that kills its worker is not given to another one behind the engine's back: it counts.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        try:
            cluster = jobqueue.SLURMCluster(**slurm_options(settings))
        except (TypeError, ValueError, OSError) as error:
            raise InputError(f"cluster-config {config} does not serve ({str(error).splitlines()[0]}).") from error
        with cluster, distributed.Client(cluster) as client:
            _say(f"scheduler {client.scheduler.address}, {settings['jobs']} Slurm jobs")
            cluster.scale(jobs=settings["jobs"])
            yield ClusterExecutor(client, settings["jobs"])


def slurm_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `dask_jobqueue.SLURMCluster` for a configuration.

    Every Slurm job runs one worker that computes one chunk at a time, on all cores of the job.

    >>> options = slurm_options({"jobs": 2, "cores": 4, "memory": "8GB", "partition": "short", "gpus": 1})
    >>> options["queue"], options["job_cpu"], options["job_extra_directives"]
    ('short', 4, ['--gres=gpu:1'])
    >>> options["scheduler_options"]["host"]
    '127.0.0.1'
    """
    address = settings.get("address", _LOOPBACK)
    cores = settings.get("cores", 1)
    options = {
        "cores": 1,
        "processes": 1,
        "job_cpu": cores,
        "memory": settings["memory"],
        "queue": settings.get("partition"),
        "walltime": settings.get("walltime"),
        "python": settings.get("python", sys.executable),
        "log_directory": "results/slurm",
        "scheduler_options": {"host": address, "dashboard_address": f"{_LOOPBACK}:0"},
        "job_script_prologue": [f"export {name}={cores}" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")],
        "worker_extra_args": ["--no-dashboard", "--dashboard-address", f"{_LOOPBACK}:0"],
    }
    if gpus := settings.get("gpus", 0):
        options["job_extra_directives"] = [f"--gres=gpu:{gpus}"]
    if address == _LOOPBACK:
        options["worker_extra_args"] += ["--host", _LOOPBACK]
    given = dict(settings.get("dask", {}))
    for name in ("scheduler_options", "worker_extra_args", "job_script_prologue", "job_extra_directives"):
        if name in given and name in options:  # besides ours
            more = given.pop(name)
            options[name] = options[name] | more if isinstance(more, dict) else [*options[name], *more]
    return options | given


def _read(config: pathlib.Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cluster-config {config} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"cluster-config {config} is no TOML ({error}).") from error
    for name, value in settings.items():
        if name not in _KEYS:
            raise InputError(f"cluster-config {config} has {name!r}, needs names out of {', '.join(_KEYS)}.")
        if type(value) is not _KEYS[name]:
            raise InputError(
                f"cluster-config {config}: {name} is {value!r}, needs to be of type {_KEYS[name].__name__}."
            )
    for name in ("jobs", "memory"):
        if name not in settings:
            raise InputError(f"cluster-config {config} lacks {name}.")
    for name in ("jobs", "cores"):
        if settings.get(name, 1) < 1:
            raise InputError(f"cluster-config {config}: {name} is {settings[name]}, needs to be at least 1.")
    return settings


def _dask(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"cluster needs {name}: make extras, or pip install distributed dask-jobqueue.") from error


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
