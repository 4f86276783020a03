"""Results kept in a folder: computed once, one file a result, named by a hash of what decides it.

The hash covers the configuration, the source code, the versions of libraries and the device, so that a stored result is
never read as if today's code had made it.
"""

import dataclasses
import functools
import hashlib
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from ntk_localsgd.errors import InputError
from ntk_localsgd.provenance import code_fingerprint, device_name, versions
from ntk_localsgd.stored import load, require_writable, save

__all__ = ["canonical", "load", "load_or_compute", "measured", "path_for", "plain", "require_writable"]

_LIBRARY = pathlib.Path(__file__).parent


def load_or_compute(
    config: Any,
    compute: Callable[[], xr.Dataset],
    folder: str | pathlib.Path,
    *,
    code: str | None = None,
    fresh: bool = False,
) -> xr.Dataset:
    """The stored result of a configuration, or the computed one, which is then stored.

    The file is written under another name and moved into place, so that an interrupted run leaves none behind. A file
    that cannot be read is moved aside, as ``….damaged``, and its result computed again.

    Parameters
    ----------
    config
        A dataclass or mapping of plain values; decides the file's name.
    compute
        Called if the file does not exist.
    folder
        Where the files lie; made if missing, and refused before anything is computed.
    code
        Fingerprint of the code that ``compute`` runs; None: that of the whole library.
    fresh
        Compute even if there is a file.

    Returns
    -------
    xarray.Dataset
        As it is read from the file; `measured` says what its attributes are.

    Raises
    ------
    InputError
        If the folder cannot be written, or the configuration holds what has no plain value.
    """
    path = path_for(config, folder, code=code)
    if not fresh and (stored := load(path, canonical(config))) is not None:
        return stored
    require_writable(path.parent)
    return save(path, measured(config, compute))


def measured(config: Any, compute: Callable[[], xr.Dataset], *, device: str | None = None) -> xr.Dataset:
    """What ``compute`` returns, with where it is from among its attributes.

    ``configuration`` is the text that is hashed, ``job`` the same as class and values, ``device`` (None: the one here)
    and ``versions`` say what it was computed with, ``cost`` how many seconds it took, how many of this process'
    processor time, and the largest memory that the process has had so far, in bytes.
    """
    begun, used = time.perf_counter(), time.process_time()
    result = compute()
    cost = {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - used, "memory": _peak()}
    about = {"configuration": canonical(config), "job": plain(config), "cost": cost}
    return result.assign_attrs(about, device=device or device_name(), versions=versions())


def path_for(
    config: Any, folder: str | pathlib.Path, *, code: str | None = None, device: str | None = None
) -> pathlib.Path:
    """File of a configuration: the first 16 hexadecimal digits of the SHA-256 of all that decides the result."""
    import jax  # here, since workers that compute without it come here only to store

    # 63-bit seeds and default dtypes depend on JAX's x64 flag, roundings on what XLA makes of a program.
    x64, compiling = bool(jax.config.read("jax_enable_x64")), os.environ.get("XLA_FLAGS", "")
    where = [versions(), device or device_name(), x64, compiling]
    return pathlib.Path(folder) / f"{_hash([config, code or _library_code(), *where])}.nc"


def _hash(identity: Sequence[Any]) -> str:
    return hashlib.sha256(canonical(identity).encode()).hexdigest()[:16]


@functools.cache
def _library_code() -> str:
    return code_fingerprint(_LIBRARY)


def _peak() -> int:
    """Bytes: the largest memory of this process; the kernel's other account of it includes that of its parent."""
    try:
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def plain(value: Any) -> Any:
    """A configuration as mappings, tuples and plain values: a dataclass becomes ``{"class": …, "values": {…}}``."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        values = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}", "values": values}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [*map(plain, value)] if isinstance(value, list) else tuple(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


def canonical(value: Any) -> str:
    """One text for one configuration: types are told apart (1, 1.0, True and "1"), the order of names is not."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return f"{type(value).__module__}.{type(value).__qualname__}{canonical(fields)}"
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{canonical(key)}:{canonical(entry)}" for key, entry in value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, np.generic):
        return canonical(value.item())
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    raise InputError(f"configuration holds {value!r}, a {type(value).__name__}, needs plain values.")
