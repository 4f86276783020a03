"""Files of the user's own as inputs, targets, labels and clients: columns by name, texts as classes, repeated rows."""

import csv
import pathlib
import re
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial import KDTree

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.files import counting, read_csv, read_npz
from ntk_localsgd.separation import SAME_ROW

__all__ = ["Parts", "merged", "read_parts", "standardised"]

# How `read_csv` says that a column that needs numbers holds a text.
_TEXT_COLUMN = re.compile(r"column '([^']*)' is '([^']*)', needs to be a number")

# Texts of a target, and groups of rows, that a sentence lists.
_LISTED = 4


class Parts(NamedTuple):
    """What a file holds, and what was done to it; without targets, labels or clients where it has none."""

    inputs: Float[ndarray, "n d"]
    targets: ndarray | None
    labels: ndarray | None
    client: ndarray | None
    notes: tuple[str, ...]


def read_parts(
    path: pathlib.Path, *, target: str = "target", client: str = "client", drop: Sequence[str] = ()
) -> Parts:
    """The arrays of a .npz file, or the columns of a .csv one, as `datasets.load` describes them.

    Raises
    ------
    InputError
        If the file cannot be read or holds anything but finite numbers where no text may stand; for names of columns
        that are not there, and for a target of texts none of which is named as +1.
    """
    if path.suffix == ".npz":
        if target != "target" or client != "client" or drop:
            raise InputError(f"{path} holds arrays and no columns: target, client and drop are for .csv files.")
        arrays = read_npz(path, ("inputs", "targets", "client", "labels"))
        for name, held in arrays.items():
            if not (name == "client" and held.dtype.kind == "U"):
                _check_numbers(path, name, held)
        if "inputs" not in arrays:
            raise InputError(f"{path} lacks an array 'inputs'.")
        return Parts(arrays["inputs"], arrays.get("targets"), arrays.get("labels"), arrays.get("client"), ())
    name, _, one = target.partition("=")
    needed = [given for asked, given in (("target", name), ("client", client)) if given != asked]
    try:
        columns = read_csv(path, drop=drop, texts=(name, client, "label"), needed=needed)
    except InputError as error:
        # What is no number is, in a file without a target, most likely the target.
        found = _TEXT_COLUMN.search(str(error))
        if found is None or name in _header(path) or needed:
            raise
        raise InputError(
            f"target is {name!r}, but {path} has no such column, and its column {found[1]!r} holds texts: needs to be "
            f"one of {', '.join(_header(path))} ('{found[1]}={found[2]}' makes {found[2]} +1 and all others -1)."
        ) from error
    values, holders, labels = (columns.pop(column, None) for column in (name, client, "label"))
    targets: ndarray | None = None
    classes: ndarray | None = None
    notes: tuple[str, ...] = ()
    if values is not None:
        targets, classes, notes = _coded(path, name, values, one)
    if labels is not None and labels.dtype.kind == "U":
        labels = np.unique(labels, return_inverse=True)[1]
    if index := counting(columns):
        text = f"{path}: column {index[0]!r} counts the rows and is an input like the others; drop it if it is none."
        warnings.warn(text, stacklevel=3)
    inputs = np.column_stack(list(columns.values())) if columns else np.zeros((1, 0))
    for column, part in (("inputs", inputs), ("targets", targets), ("labels", labels)):
        if part is not None:
            _check_numbers(path, column, part)
    return Parts(inputs, targets, classes if labels is None else labels, holders, notes)


def _header(path: pathlib.Path) -> list[str]:
    """Names of a .csv file's columns."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        line = file.readline()
    separator = next((mark for mark in ",;\t" if mark in line), ",")
    return [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]


def _coded(path: pathlib.Path, name: str, values: ndarray, one: str) -> tuple[ndarray, ndarray | None, tuple[str, ...]]:
    """Targets as numbers, the class of each row if they were texts, and how they were coded."""
    texts = values.dtype.kind == "U"
    if not texts and not one:
        return values, None, ()
    if not texts:
        values = np.array([f"{value:g}" for value in values])
    known, classes = np.unique(values, return_inverse=True)
    listed = ", ".join(known[:_LISTED]) + (", …" if len(known) > _LISTED else "")
    if one and one not in known:
        raise InputError(f"target {name!r} of {path} holds no {one!r}, but {listed}.")
    if not one:
        raise InputError(
            f"target {name!r} of {path} holds texts ({listed}), needs numbers: "
            f"'{name}={known[0]}' makes that one +1 and all others -1."
        )
    return np.where(values == one, 1.0, -1.0), classes, (f"target {name!r}: {one} is +1, all else is -1",)


def standardised(inputs: Float[ndarray, "n d"]) -> Float[ndarray, "n d"]:
    """Columns with mean 0 and standard deviation 1; a constant column becomes 0."""
    rows = real_array("inputs", inputs, ndim=2)
    centred = rows - rows.mean(axis=0)
    spread = centred.std(axis=0)
    # A column that is constant but for the mean's rounding has nothing to tell.
    constant = spread <= 8 * np.finfo(np.float64).eps * np.abs(rows).max(axis=0)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, spread))


def merged(parts: Parts) -> Parts:
    """Rows that coincide once they have norm 1 as one row each: the first of them, with the mean of their targets.

    The loss of the merged rows is that of the mean, which counts once however many rows it stands for.
    """
    rows = real_array("inputs", parts.inputs, ndim=2)
    norms = np.linalg.norm(rows, axis=1)
    if parts.targets is None or len(rows) < 2 or (norms == 0).any():
        return parts
    pairs = KDTree(rows / norms[:, None]).query_pairs(SAME_ROW * (1 + 1e-9), output_type="ndarray")
    shape = (len(rows), len(rows))
    graph = scipy.sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=shape)
    number, group = scipy.sparse.csgraph.connected_components(graph, directed=False)
    if number == len(rows):
        return parts
    targets = real_array("targets", parts.targets, ndim=(1, 2))
    sums = np.zeros((number, *targets.shape[1:]))
    np.add.at(sums, group, targets)
    sizes = np.bincount(group)
    first: Int[ndarray, " k"] = np.sort(np.unique(group, return_index=True)[1])
    means = (sums.T / sizes).T[group[first]]
    repeated = [np.flatnonzero(group == k) + 1 for k in group[first] if sizes[k] > 1]
    said = "; ".join(" and ".join(map(str, rows)) for rows in repeated[:_LISTED]) + "; …" * (len(repeated) > _LISTED)
    gone = len(rows) - number
    which = "row" if gone == 1 else "rows"
    note = f"{gone} {which} merged into others that they repeat, targets averaged (rows {said}, from 1)"
    labels, client = (None if part is None else part[first] for part in (parts.labels, parts.client))
    return Parts(rows[first], means, labels, client, (*parts.notes, note))


def _check_numbers(path: pathlib.Path, name: str, values: ndarray) -> None:
    """Refuse text and what is not finite, by row and column as a reader counts them."""
    if values.dtype.kind in "fc" and (bad := np.argwhere(~np.isfinite(values))).size:
        where = ", ".join(f"{axis} {k + 1}" for axis, k in zip(("row", "column", "layer"), bad[0], strict=False))
        raise InputError(f"{path}: {name}, {where} is {values[tuple(bad[0])]}, needs to be finite.")
    real_array(f"{name} of {path}", values, ndim=(1, 2))
