"""Files of data as arrays, checked as far as the format goes: .npz, .csv, and MNIST's IDX."""

import csv
import difflib
import gzip
import math
import pathlib
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped
from numpy import ndarray

from ntk_localsgd.errors import InputError

__all__ = ["counting", "read_csv", "read_idx", "read_npz"]

# What stands for no text in files that others write; in lower case.
_MISSING = {"", "nan", "na", "n/a", "null", "none", "?"}


def read_npz(path: pathlib.Path, names: tuple[str, ...]) -> dict[str, ndarray]:
    """Those arrays of ``names`` that a .npz file holds; raises `InputError` if it is no such file."""
    try:
        arrays = np.load(path)
        if not isinstance(arrays, ndarray):
            with arrays:
                return {name: arrays[name] for name in names if name in arrays}
    except Exception as error:  # whatever a parser raises means that the file is none of its kind
        raise _unreadable(path, error, "a .npz file") from error
    raise InputError(f"{path} holds one array without a name, needs {names[0]} and {names[1]} (numpy.savez).")


def read_csv(
    path: pathlib.Path, *, drop: Sequence[str] = (), texts: Sequence[str] = (), needed: Sequence[str] = ()
) -> dict[str, Shaped[ndarray, " n"]]:
    """The columns of a .csv file but those to ``drop``, by the names in its header, every entry a number.

    Columns among ``texts`` may hold texts instead, in every row; ``needed`` ones must be there. The separator is a
    comma, a semicolon or a tab, whichever the header has.

    Raises
    ------
    InputError
        If the file cannot be read; names the column and the row, both counted from 1 without the header.
    """
    import pandas as pd  # here: half a second that other kinds of files do without

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            line = file.readline()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, "a .csv file") from error
    separator = next((mark for mark in ",;\t" if mark in line), ",")
    names = [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
    for number, name in enumerate(names, 1):
        if not name:
            raise InputError(
                f"{path}: column {number} has no name, needs one; pandas writes an index so unless told index=False."
            )
        if names.count(name) > 1:
            raise InputError(f"{path} has {names.count(name)} columns {name!r}, needs one.")
    with warnings.catch_warnings():
        # Rows with more fields than the header would lose them with no more than this warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            table = pd.read_csv(
                path,
                sep=separator,
                header=0,
                names=names,
                index_col=False,
                encoding="utf-8-sig",
                skipinitialspace=True,
                keep_default_na=False,  # n/a and NULL are no empty fields
            )
        except pd.errors.ParserWarning as error:
            raise InputError(f"{path} has rows of more than {len(names)} fields, needs one a name.") from error
        except Exception as error:  # whatever a parser raises means that the file is none of its kind
            raise _unreadable(path, error, "a .csv file") from error
    if unknown := [name for name in (*needed, *drop) if name not in names]:
        near = difflib.get_close_matches(unknown[0], names, n=1, cutoff=0)
        raise InputError(f"{path} has no column {unknown[0]!r}, the nearest is {near[0] if near else ''!r}.")
    columns = {}
    for name in names:
        if name in drop:
            continue
        numbers = pd.to_numeric(table[name], errors="coerce")
        if (bad := np.flatnonzero(numbers.isna())).size:
            if name in texts and numbers.isna().all() and not table[name].isna().any():
                words = np.array([str(value).strip() for value in table[name]])
                if not _MISSING & {word.lower() for word in words}:
                    columns[name] = words
                    continue
            value = table[name].iloc[bad[0]]
            said = "empty" if isinstance(value, float) or not value.strip() else repr(value)
            raise InputError(f"{path}: row {bad[0] + 1}, column {name!r} is {said}, needs to be a number.")
        columns[name] = numbers.to_numpy(np.float64)
    return columns


def counting(columns: Mapping[str, ndarray]) -> list[str]:
    """Names of the columns that count their rows, 0 … n − 1 or 1 … n with n ≥ 3, as an index does that was written.

    >>> counting({"id": np.arange(1.0, 5.0), "age": np.array([3.0, 4.0, 5.0, 6.0])})
    ['id']
    """
    return [
        name
        for name, values in columns.items()
        if len(values) > 2 and values[0] in (0, 1) and np.array_equal(values, values[0] + np.arange(len(values)))
    ]


def read_idx(folder: pathlib.Path, name: str, kind: str) -> ndarray:
    """Unsigned bytes of an IDX file: two zero bytes, type 8, the number of axes, the sizes, the values.

    The file is ``name-kind`` or ``name.kind`` in the folder, gzipped or not; ``kind`` is idx1-ubyte or idx3-ubyte.
    Raises `InputError` if there is none, or it is cut short, empty or of another kind.
    """
    names = [f"{name}{mark}{kind}{ending}" for mark in "-." for ending in ("", ".gz")]
    path = next((folder / name for name in names if (folder / name).exists()), None)
    if path is None:
        raise InputError(f"folder {folder} holds none of {', '.join(names)}.")
    axes = int(kind[3])
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            raw = file.read()
    except Exception as error:  # of the system or of the decompression
        raise InputError(f"{path} is no IDX file ({error}).") from error
    # Files of MNIST's kind may hold rows in place of pictures; labels are one number each.
    dims = raw[3] if len(raw) > 3 else 0
    shape = tuple(np.frombuffer(raw[4 : 4 + 4 * dims], ">u4").tolist()) if len(raw) >= 4 + 4 * dims else ()
    if raw[:3] != b"\x00\x00\x08" or not shape or len(raw) != 4 + 4 * dims + math.prod(shape):
        raise InputError(f"{path} is no IDX file of unsigned bytes, or it is cut short.")
    if 0 in shape or (dims != 1 if axes == 1 else dims < 2):
        raise InputError(f"{path} has shape {shape}, needs at least one entry and {'1' if axes == 1 else '3'} axes.")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)


def _unreadable(path: pathlib.Path, error: Exception, kind: str) -> InputError:
    """The one sentence about a file that the system or a parser could not read."""
    if isinstance(error, OSError) and error.strerror:
        return InputError(f"{path} cannot be read ({error.strerror}).")
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return InputError(f"{path} cannot be read as {kind} ({reason.rstrip('.')}).")
