"""One NetCDF file a result, named by a hash of what decides it; an existing one is not computed again.

The hash covers the configuration, the source code, the versions of libraries and the device, so that a stored result is
never read as if today's code had made it.
"""

import dataclasses
import functools
import hashlib
import json
import logging
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr

from ntk_localsgd.errors import InputError
from ntk_localsgd.provenance import code_fingerprint, device_name, versions

__all__ = ["load", "load_or_compute", "path_for", "require_writable"]

_LIBRARY = pathlib.Path(__file__).parent

# NetCDF has no lists of one, booleans, tuples or nothing among its attributes: this one keeps what they are, as JSON.
_ATTRIBUTES = "attributes_json"


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
        As it is read from the file, with configuration, device and versions among its attributes.

    Raises
    ------
    InputError
        If the folder cannot be written, or the configuration holds what has no plain value.
    """
    path = path_for(config, folder, code=code)
    if not fresh and (stored := load(path)) is not None:
        return stored
    require_writable(path.parent)
    result = compute().assign_attrs(configuration=_canonical(config), device=device_name(), versions=versions())
    storable = _storable(result.as_numpy())
    _write(path, storable)
    return _restored(storable)


def path_for(config: Any, folder: str | pathlib.Path, *, code: str | None = None) -> pathlib.Path:
    """File of a configuration: the first 16 hexadecimal digits of the SHA-256 of all that decides the result."""
    # 63-bit seeds and default dtypes depend on JAX's x64 flag.
    identity = [config, code or _library_code(), versions(), device_name(), bool(jax.config.read("jax_enable_x64"))]
    return pathlib.Path(folder) / f"{hashlib.sha256(_canonical(identity).encode()).hexdigest()[:16]}.nc"


@functools.cache
def _library_code() -> str:
    return code_fingerprint(_LIBRARY)


def load(path: pathlib.Path) -> xr.Dataset | None:
    """The result in a file, equal to what was stored; None if there is none, or it was damaged and moved aside."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            return _restored(opened.load())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        aside = path.with_name(path.name + ".damaged")
        path.replace(aside)
        logging.getLogger(__name__).warning("%s is damaged (%s): moved to %s.", path, type(error).__name__, aside.name)
        return None


def require_writable(folder: pathlib.Path) -> None:
    """Make a folder, and refuse one that cannot be written before hours of work, not after.

    Raises
    ------
    InputError
        If it is a file, or may not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"folder {folder} cannot be written ({error.strerror}): a writable folder is needed."
        ) from error


def _write(path: pathlib.Path, storable: xr.Dataset) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    temporary = pathlib.Path(name)
    try:
        os.close(handle)
        storable.to_netcdf(temporary, engine="h5netcdf")
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path.parent} cannot be written ({error.strerror}): room to write is needed.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _storable(result: xr.Dataset) -> xr.Dataset:
    """The same without attributes, which stand in one of them as JSON."""
    attributes = {"": result.attrs} | {str(name): variable.attrs for name, variable in result.variables.items()}
    bare = result.drop_attrs()
    return bare.assign_attrs({_ATTRIBUTES: json.dumps({name: _tagged(attrs) for name, attrs in attributes.items()})})


def _restored(stored: xr.Dataset) -> xr.Dataset:
    attributes = json.loads(stored.attrs[_ATTRIBUTES])
    variables = {name: variable for name, variable in stored.variables.items() if variable.dtype == object}
    stored = stored.assign({str(name): v.copy(data=v.values.astype(str)) for name, v in variables.items()})
    stored.attrs = _untagged(attributes[""])
    for name, variable in stored.variables.items():
        variable.attrs = _untagged(attributes[str(name)])
        variable.encoding = {}
    return stored


def _tagged(value: Any) -> Any:
    """JSON that tells tuples, arrays and NumPy's numbers from what JSON makes of them."""
    if isinstance(value, Mapping):
        return {str(key): _tagged(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_tagged(entry) for entry in value]
    if isinstance(value, tuple):
        return {"tuple of": [_tagged(entry) for entry in value]}
    if isinstance(value, np.ndarray | np.generic):
        return {"array of": str(value.dtype), "shape": list(value.shape), "values": np.ravel(value).tolist()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InputError(f"attribute {value!r} is a {type(value).__name__}, needs to be a plain value to be stored.")


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(entry) for entry in value]
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"tuple of"}:
        return tuple(_untagged(entry) for entry in value["tuple of"])
    if set(value) == {"array of", "shape", "values"}:
        array = np.array(value["values"], value["array of"]).reshape(value["shape"])
        return array if value["shape"] else array[()]
    return {key: _untagged(entry) for key, entry in value.items()}


def _canonical(value: Any) -> str:
    """One text for one configuration: types are told apart (1, 1.0, True and "1"), the order of names is not."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return f"{type(value).__module__}.{type(value).__qualname__}{_canonical(fields)}"
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{_canonical(key)}:{_canonical(entry)}" for key, entry in value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, np.generic):
        return _canonical(value.item())
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    raise InputError(f"configuration holds {value!r}, a {type(value).__name__}, needs plain values.")
