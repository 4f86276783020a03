"""Processes of this machine as an executor: spawned, each with its own cores or its own GPU, replaced when they die."""

import os
import platform
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from joblib.externals.loky.process_executor import ProcessPoolExecutor

from ntk_localsgd.errors import InputError
from ntk_localsgd.provenance import device_name, processor_name
from verification.engine.worker import PARENT, orphaned

__all__ = ["Workers", "environments", "gpus"]

_Result = TypeVar("_Result")

# What the libraries below NumPy and JAX call their number of threads.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Workers(ThreadPoolExecutor):
    """``number`` processes, each behind a thread of this one that waits for it.

    Every process is a pool of its own: when it is killed, only its own call is lost, and the next call gets a new one.
    Processes are spawned, never forked (JAX deadlocks in forks). Without GPUs the cores that this process may use are
    shared out evenly; with GPUs worker k is bound to GPU k modulo their number, before it imports JAX.

    Attributes
    ----------
    device
        What results are computed on, in the words of `device_name`.
    """

    def __init__(self, number: int) -> None:
        if number < 1:
            raise InputError(f"workers is {number}, needs to be at least 1.")
        super().__init__(max_workers=number, thread_name_prefix="worker")
        self._settings: queue.SimpleQueue[tuple[dict[str, str], list[int]]] = queue.SimpleQueue()
        cores = shared_out(number)
        for setting in zip(environments(number, gpus(), len(cores[0])), cores, strict=True):
            self._settings.put(setting)
        self._of_thread = threading.local()
        self._pools: dict[int, ProcessPoolExecutor] = {}
        self.device = self.submit(device_name).result() if gpus() else processor_name(len(cores[0]))

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:
        """Call a function in whichever process is free first; raises `BrokenExecutor` there if that dies meanwhile."""
        return super().submit(self._call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; after an error or a second Ctrl-C at once."""
        for pool in list(self._pools.values()):
            pool.shutdown(wait=False, kill_workers=cancel_futures)
        super().shutdown(wait=wait, cancel_futures=cancel_futures)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.shutdown(cancel_futures=kind is not None)

    def pids(self) -> list[int]:
        """Numbers of the processes that run at the moment."""
        return [pid for pool in list(self._pools.values()) for pid in list(pool._processes or ())]

    def _call(self, fn: Callable[..., _Result], args: Sequence[Any], kwargs: dict[str, Any]) -> _Result:
        own = self._of_thread
        if not hasattr(own, "setting"):
            own.setting = self._settings.get_nowait()
        thread = threading.get_ident()
        if thread not in self._pools:
            environment, cores = own.setting
            self._pools[thread] = ProcessPoolExecutor(1, env=environment, initializer=_begin, initargs=(cores,))
        try:
            return self._pools[thread].submit(fn, *args, **kwargs).result()
        finally:
            if self._pools[thread]._flags.broken is not None:
                self._pools.pop(thread).shutdown(wait=False, kill_workers=True)


def shared_out(number: int) -> list[list[int]]:
    """Cores of each worker, all of them equally many; with more workers than cores, they share."""
    if not hasattr(os, "sched_getaffinity"):
        return [list(range(max(1, (os.cpu_count() or 1) // number)))] * number
    cores = sorted(os.sched_getaffinity(0))
    each = max(1, len(cores) // number)
    return [[cores[(worker * each + k) % len(cores)] for k in range(each)] for worker in range(number)]


def environments(number: int, gpu_names: Sequence[str], cores: int) -> list[dict[str, str]]:
    """Variables of each worker, set before anything is imported.

    >>> [worker["CUDA_VISIBLE_DEVICES"] for worker in environments(3, ["0", "1"], 2)]
    ['0', '1', '0']
    """
    common = {name: str(cores) for name in _THREADS} | {PARENT: str(os.getpid())}
    if not gpu_names:
        return [common] * number
    # JAX takes three quarters of a GPU's memory at its start: of that, each process on it takes its part.
    part = f"{0.75 / -(-number // len(gpu_names)):.3f}"
    common |= {"XLA_PYTHON_CLIENT_MEM_FRACTION": part}
    return [common | {"CUDA_VISIBLE_DEVICES": gpu_names[k % len(gpu_names)]} for k in range(number)]


def gpus() -> list[str]:
    """Names of the GPUs that this process may use, found without importing JAX."""
    if os.environ.get("JAX_PLATFORMS", "") == "cpu":
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name and name != "-1"]
    if platform.system() != "Linux" or shutil.which("nvidia-smi") is None:
        return []
    asked = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False)
    return told.stdout.split() if told.returncode == 0 else []


def _begin(cores: list[int]) -> None:
    """In the new process: Ctrl-C is the client's to answer, and threads stay on the worker's cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert "jax" not in sys.modules or not os.environ.get("CUDA_VISIBLE_DEVICES")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    threading.Thread(target=_end_with_client, daemon=True).start()


def _end_with_client() -> None:
    """A client that is killed cannot end its workers, which would wait for it for ever."""
    while not orphaned():
        time.sleep(1)
    os._exit(1)
