"""Datasets in NetCDF files that are whole or are not there: written aside, checked by a sum, equal when read.

Behind the NetCDF content, where its readers do not look, a file ends with the SHA-256 of its own name and content:
damage is noticed without opening it, and so is a file that lies under another's name.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import pathlib
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
import xarray as xr

from ntk_localsgd.errors import InputError, StorageError

__all__ = ["attributes", "is_alive", "is_whole", "leftovers", "load", "move_aside", "require_writable", "save"]

# NetCDF has no lists of one, booleans, tuples or nothing among its attributes: this one keeps what they are, as JSON.
_ATTRIBUTES = "attributes_json"

_MARK = b"\n# sha256 "
_TAIL = len(_MARK) + 64 + 1  # and the line's end
_BLOCK = 2**20
_DAY = 86400.0

# What the system may answer for a whole file as well.
_REFUSED = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE)

_HOST = re.sub(r"[^\w]", "_", socket.gethostname())


def save(path: pathlib.Path, result: xr.Dataset) -> xr.Dataset:
    """Write a dataset under another name in the same folder, force it to disk, and move it into place.

    Returns
    -------
    xarray.Dataset
        As `load` reads it.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written; nothing is left behind.
    """
    storable = _storable(result.as_numpy())
    temporary = None
    try:
        with _own_locks():
            content = storable.to_netcdf(None, engine="h5netcdf")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{_HOST}-{os.getpid()}-", suffix=".part")
        temporary = pathlib.Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.write(_MARK + _sum(path.name, memoryview(content)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise StorageError(f"{path.parent} cannot be written ({error.strerror}): room to write is needed.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return _restored(storable)


def load(path: pathlib.Path, configuration: str | None = None) -> xr.Dataset | None:
    """The dataset in a file, equal to what was saved; None if there is none, or it was moved aside.

    Parameters
    ----------
    path
        Of the file.
    configuration
        What the attribute of this name needs to be; a file of something else is moved aside like a damaged one.

    Raises
    ------
    StorageError
        If the system does not let it be read, which is no damage: for want of permission or of file handles.
    """
    try:
        with _refusals_said(path):
            whole = _sum_is_right(path) if _has_sum(path) else _is_bare(path)
        if not whole:
            move_aside(path, "its content is not what was written")
            return None
        with _refusals_said(path), xr.open_dataset(path, engine="h5netcdf") as opened:
            result = _restored(opened.load())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except StorageError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        move_aside(path, type(error).__name__)
        return None
    if configuration is not None and result.attrs.get("configuration") != configuration:
        move_aside(path, "it holds another configuration")
        return None
    return result


def attributes(path: pathlib.Path) -> dict[str, Any]:
    """The attributes of a saved dataset, without its arrays; empty if the file cannot be read, which stays there."""
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs[_ATTRIBUTES]
        return dict(_untagged(json.loads(text)[""]))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return {}


def is_whole(path: pathlib.Path, configuration: str | None = None) -> bool:
    """Whether `load` would return a dataset; what it would move aside is moved. Takes some 20 µs a small file.

    A file without a sum is one that an earlier version wrote, or that something else has: it is opened.
    """
    try:
        with _refusals_said(path):
            summed = _has_sum(path)
            if summed and _sum_is_right(path):
                return True
        if not summed:
            return load(path, configuration) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False
    move_aside(path, "its content is not what was written")
    return False


def move_aside(path: pathlib.Path, reason: str) -> None:
    """Keep a file that cannot be used as ``….damaged``, and say so on standard error."""
    aside = path.with_name(path.name + ".damaged")
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        path.replace(aside)
        logging.getLogger(__name__).warning("%s is damaged (%s): moved to %s.", path, reason, aside.name)


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
        kind = StorageError if error.errno == errno.ENOSPC else InputError
        raise kind(f"folder {folder} cannot be written ({error.strerror}): a writable folder is needed.") from error


def leftovers(folder: pathlib.Path) -> list[pathlib.Path]:
    """Files that were being written when their process was killed: one of this machine that is gone, or a day ago."""
    return [path for path in sorted(folder.glob("*.part")) if _is_left(path)]


def _is_left(path: pathlib.Path) -> bool:
    host, _, rest = path.name.partition("-")
    pid = rest.partition("-")[0]
    if host == _HOST and pid.isdigit():
        return not is_alive(int(pid))
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > _DAY
    return False


def is_alive(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _own_locks() -> contextlib.AbstractContextManager[Any]:
    """Where Dask is at work xarray asks its scheduler for a lock, which knows nothing of files in memory."""
    if "dask" not in sys.modules:
        return contextlib.nullcontext()
    return sys.modules["dask"].config.set(scheduler="synchronous")


@contextlib.contextmanager
def _refusals_said(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _REFUSED:
            raise StorageError(f"{path} cannot be read ({error.strerror}): it needs to be readable.") from error
        raise


def _sum(name: str, *blocks: memoryview | bytes) -> str:
    digest = hashlib.sha256(name.encode() + b"\0")
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _has_sum(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        return file.read(len(_MARK)) == _MARK


def _is_bare(path: pathlib.Path) -> bool:
    """Whether a file is HDF5 and no more: one that has lost its sum, and what else with it, is longer or shorter."""
    with path.open("rb") as file:
        head = file.read(48)
    if not h5py.is_hdf5(path) or len(head) < 48:
        return False
    # Where the superblock says that the file ends, after its base address and one other; earlier ones begin with more.
    start = {0: 40, 2: 28, 3: 28}.get(head[8])
    return start is not None and int.from_bytes(head[start : start + 8], "little") == path.stat().st_size


def _sum_is_right(path: pathlib.Path) -> bool:
    digest = hashlib.sha256(path.name.encode() + b"\0")
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - _TAIL
        while left > 0 and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
        return file.read() == _MARK + digest.hexdigest().encode() + b"\n"


def _sync(folder: pathlib.Path) -> None:
    """Force a folder's entries to disk, where the system has that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some network file systems sync no folders
            os.fsync(handle)
    finally:
        os.close(handle)


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
