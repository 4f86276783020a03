"""Files of data, checked as far as the format goes: .npz, .csv, .parquet, and MNIST's IDX."""

import csv
import gzip
import math
import pathlib
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from ntk_localsgd.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["counting", "read_idx", "read_npz", "read_table"]

# What pandas calls an index without a name that it writes into a .parquet file.
_INDEX = re.compile(r"__index_level_\d+__")


def read_npz(path: pathlib.Path, names: tuple[str, ...], *, needed: tuple[str, ...] = ()) -> dict[str, ndarray]:
    """Those arrays of ``names`` that a .npz file holds.

    Raises
    ------
    InputError
        If it is no such file, or lacks one of ``needed``; the sentence names what it holds.
    """
    try:
        arrays = np.load(path)
        if not isinstance(arrays, ndarray):
            with arrays:
                held, kept = list(arrays), {name: arrays[name] for name in names if name in arrays}
    except Exception as error:  # whatever a parser raises means that the file is none of its kind
        raise _unreadable(path, error, "a .npz file") from error
    if isinstance(arrays, ndarray):
        raise InputError(f"{path} holds one array without a name, needs {names[0]} and {names[1]} (numpy.savez).")
    if missing := [name for name in needed if name not in kept]:
        holds = ", ".join(map(repr, sorted(held))) or "nothing"
        raise InputError(f"{path} lacks an array {missing[0]!r}, needs {' and '.join(needed)}; it holds {holds}.")
    return kept


def read_table(path: pathlib.Path) -> "pd.DataFrame":
    """The table of a .csv or .parquet file as it stands: every column named, texts and gaps where the file has them.

    The separator of a .csv is a comma, a semicolon or a tab, whichever the header has. An index that pandas has written
    into a .parquet is a column if it has a name, and left out if it has none.

    Raises
    ------
    InputError
        If the file cannot be read, a column has no name, or two have the same; for a .parquet without pyarrow.
    """
    table = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    names = list(map(str, table.columns))
    for number, name in enumerate(names, 1):
        if not name:
            raise InputError(
                f"{path}: column {number} has no name, needs one; pandas writes an index so unless told index=False."
            )
        if names.count(name) > 1:
            raise InputError(f"{path} has {names.count(name)} columns {name!r}, needs one.")
    return table


def _csv(path: pathlib.Path) -> "pd.DataFrame":
    import pandas as pd  # here: half a second that other kinds of files do without

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            line = file.readline()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, "a .csv file") from error
    separator = next((mark for mark in ",;\t" if mark in line), ",")
    names = [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
    with warnings.catch_warnings():
        # Rows with more fields than the header would lose them with no more than this warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            table = pd.read_csv(
                path,
                sep=separator,
                header=0,
                names=range(len(names)),
                index_col=False,
                encoding="utf-8-sig",
                skipinitialspace=True,
                keep_default_na=False,  # n/a and NULL are no empty fields
            )
        except pd.errors.ParserWarning as error:
            raise InputError(f"{path} has rows of more than {len(names)} fields, needs one a name.") from error
        except Exception as error:  # whatever a parser raises means that the file is none of its kind
            raise _unreadable(path, error, "a .csv file") from error
    return table.set_axis(names, axis=1)


def _parquet(path: pathlib.Path) -> "pd.DataFrame":
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(f"{path} needs pyarrow: pip install pyarrow, or write it as a .csv file.") from error
    try:
        table = pyarrow.parquet.read_table(path, partitioning=None).to_pandas(ignore_metadata=True)
    except Exception as error:  # whatever a parser raises means that the file is none of its kind
        raise _unreadable(path, error, "a .parquet file") from error
    return table.loc[:, [name for name in table if not _INDEX.fullmatch(str(name))]]


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
