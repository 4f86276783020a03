"""Runs pytest in forks of a process that has loaded what the project stands on, but nothing of the project itself.

A script, not a module: ``tests`` of the sources must not be imported before the mutated ones are. It reads one request
a line, ``{"folder", "arguments", "timeout"}``, and answers ``{"code", "output"}``; code null: no end within timeout.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
import time

# Three seconds of imports that every mutation would repeat.
_LOADED = (
    *("pytest", "hypothesis.strategies", "typeguard", "jax.numpy", "jax.scipy.special", "equinox", "jaxtyping"),
    *("scipy.linalg", "scipy.optimize", "scipy.sparse.linalg", "scipy.spatial", "scipy.special", "scipy.stats"),
    *("xarray", "h5netcdf", "tyro", "rich.progress", "rich.table"),
)


def run(folder: str, arguments: list[str], timeout: float | None) -> dict[str, object]:
    """Exit code and output of pytest in the folder, whose sources come before the installed ones."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            os.setsid()
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
            os.chdir(folder)
            os.environ["PYTHONPATH"] = folder
            sys.path.insert(0, folder)
            code = importlib.import_module("pytest").main(arguments)
            sys.stdout.flush()
            os._exit(int(code))
        code = _code(child, timeout)
        output.seek(0)
        return {"code": code, "output": output.read().decode(errors="replace")}


def _end(child: int) -> None:
    """Kill it and what it has started; 0: it has ended."""
    if child:
        with contextlib.suppress(ProcessLookupError):  # it may not have a group of its own yet
            os.killpg(child, signal.SIGKILL)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _code(child: int, timeout: float | None) -> int | None:
    end = None if timeout is None else time.monotonic() + timeout
    try:
        while end is None or time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                child = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return None
    finally:  # also after Ctrl-C, which does not reach the child: its session is another
        _end(child)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder
    for name in _LOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)
