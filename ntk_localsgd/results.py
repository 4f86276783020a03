"""One NetCDF file per run, named by a hash of its configuration; an existing one is not run again.

The hash covers the configuration, the package's source code, the library versions and the device, so that a stored
result is never read as if today's code had made it.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import xarray as xr

from ntk_localsgd.errors import InputError

__all__ = ["code_fingerprint", "device_name", "load_or_compute", "path_for", "versions"]

_PACKAGE = pathlib.Path(__file__).parent


def load_or_compute(config: Any, compute: Callable[[], xr.Dataset], folder: str | pathlib.Path) -> xr.Dataset:
    """The stored result of a configuration, or the computed one, which is then stored.

    The file is written under another name and moved into place, so that an interrupted run leaves none behind.

    Parameters
    ----------
    config
        A dataclass or mapping of plain values; decides the file's name.
    compute
        Called if the file does not exist.
    folder
        Where the files lie; made if missing.

    Returns
    -------
    xarray.Dataset
        With the configuration, device and versions among its attributes.

    Raises
    ------
    InputError
        If the folder cannot be written, or an existing file cannot be read.
    """
    path = path_for(config, folder)
    if path.exists():
        try:
            return xr.load_dataset(path, engine="h5netcdf")
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path} cannot be read ({type(error).__name__}): delete it to have it made again."
            ) from error
    result = compute().assign_attrs(
        configuration=_canonical(config), device=device_name(), versions=_canonical(versions())
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        os.close(handle)
        try:
            result.to_netcdf(temporary, engine="h5netcdf")
            os.replace(temporary, path)
        finally:
            pathlib.Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent} cannot be written ({error.strerror}): a writable folder is needed.") from error
    return result


def path_for(config: Any, folder: str | pathlib.Path) -> pathlib.Path:
    """File of a configuration: the first 16 hexadecimal digits of the SHA-256 of all that decides the result."""
    identity = _canonical([_plain(config), code_fingerprint(_PACKAGE), versions(), device_name()])
    return pathlib.Path(folder) / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.nc"


@functools.cache
def code_fingerprint(*paths: pathlib.Path) -> str:
    """SHA-256 of source files: those given, and all .py files in the folders given."""
    digest = hashlib.sha256()
    for path in paths:
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(source.relative_to(path.parent).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that numbers depend on."""
    names = ("ntk-localsgd", "jax", "jaxlib", "neural-tangents", "numpy", "scipy", "scikit-learn")
    return {"python": platform.python_version()} | {name: _version(name) for name in names}


def device_name() -> str:
    """Name of the device that JAX computes on, as its maker calls it."""
    kind = jax.devices()[0].device_kind
    return f"{platform.machine()} CPU, {os.cpu_count()} cores" if kind == "cpu" else kind


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _plain(config: Any) -> Any:
    return dataclasses.asdict(config) if dataclasses.is_dataclass(config) and not isinstance(config, type) else config


def _canonical(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))
