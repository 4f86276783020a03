"""Files of the user's own as inputs, targets, labels and clients: columns by name, texts as classes, gaps, repeats."""

import dataclasses
import difflib
import pathlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int, Shaped
from numpy import ndarray
from scipy.spatial import KDTree

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError
from ntk_localsgd.files import counting, read_npz, read_table
from ntk_localsgd.separation import SAME_ROW

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TABLES", "Parts", "Reading", "merged", "read_parts", "standardised"]

#: Endings of files whose columns have names.
TABLES = (".csv", ".parquet")

# What stands for no text in files that others write; in lower case.
_MISSING = {"", "nan", "na", "n/a", "null", "none", "?"}

# Texts of a target, and groups of rows, that a sentence lists.
_LISTED = 4


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a file holds, and what was done to it; without targets, labels or clients where it has none.

    ``numbers``: of each row in the file, counted from 1 without the header.
    """

    inputs: Float[ndarray, "n d"]
    targets: ndarray | None
    labels: ndarray | None
    client: ndarray | None
    numbers: Int[ndarray, " n"]
    notes: tuple[str, ...] = ()

    def rows(self, chosen: Int[ndarray, " k"]) -> "Parts":
        """These rows alone, by their numbers from 0."""
        optional = {name: getattr(self, name) for name in ("targets", "labels", "client")}
        kept = {name: part[chosen] for name, part in optional.items() if part is not None}
        return dataclasses.replace(self, inputs=self.inputs[chosen], numbers=self.numbers[chosen], **kept)

    def noting(self, note: str, **changed: ndarray) -> "Parts":
        """The same with one more note, and what it speaks of changed."""
        return dataclasses.replace(self, notes=(*self.notes, note), **changed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How a file is read; arguments of `datasets.load`, which describes them."""

    target: str = "target"
    client: str = "client"
    drop: Sequence[str] = ()
    drop_incomplete: bool = False
    standardise: bool = False
    standardise_targets: bool = False
    merge_duplicates: bool = False


def read_parts(path: pathlib.Path, reading: Reading) -> Parts:
    """The arrays of a .npz file, or the columns of a table, changed as ``reading`` asks.

    Raises
    ------
    InputError
        If the file cannot be read, lacks targets, or holds anything but finite numbers where no text may stand; for
        names of columns that are not there, and for a target of texts none of which is named as +1.
    """
    if path.suffix not in (".npz", *TABLES):
        wrong = "is a folder" if path.is_dir() else f"ends in {path.suffix!r}" if path.suffix else "has no ending"
        raise InputError(f"{path} {wrong}, needs to be a file that ends in .npz, .csv or .parquet.")
    parts = _arrays(path, reading) if path.suffix == ".npz" else _table(path, reading)
    if reading.standardise:
        parts = parts.noting("columns of the inputs standardised", inputs=standardised(parts.inputs))
    if reading.merge_duplicates:
        parts = merged(parts)
    if reading.standardise_targets:
        y = real_array("targets", parts.targets, ndim=(1, 2))
        columns = y.reshape(len(y), -1)
        said = "; ".join(f"mean {column.mean():.4g}, deviation {column.std():.4g}" for column in columns.T)
        parts = parts.noting(f"targets standardised, yours had {said}", targets=standardised(columns).reshape(y.shape))
    return parts


def _arrays(path: pathlib.Path, reading: Reading) -> Parts:
    """What a .npz file holds."""
    given = {"target": reading.target != "target", "client": reading.client != "client"}
    for name, asked in (given | {"drop": bool(reading.drop), "drop_incomplete": reading.drop_incomplete}).items():
        if asked:
            raise InputError(f"{name} is for tables (.csv, .parquet), but {path} holds arrays and no columns.")
    arrays = read_npz(path, ("inputs", "targets", "client", "labels"), needed=("inputs", "targets"))
    for name, held in arrays.items():
        if not (name == "client" and held.dtype.kind == "U"):
            _check_numbers(path, name, held)
    inputs = arrays["inputs"]
    return Parts(inputs, arrays["targets"], arrays.get("labels"), arrays.get("client"), np.arange(1, len(inputs) + 1))


def _table(path: pathlib.Path, reading: Reading) -> Parts:
    """What a table holds, its columns given their parts."""
    table = read_table(path)
    target, _, one = reading.target.partition("=")
    _check_names(path, table, [*(name for name in (reading.client,) if name != "client"), *reading.drop])
    table = table.drop(columns=list(reading.drop))
    if target not in table:
        raise InputError(_no_target(path, target, table))
    columns, numbers, notes = _columns(path, table, (target, reading.client, "label"), whole=reading.drop_incomplete)
    values, holders, labels = (columns.pop(column, None) for column in (target, reading.client, "label"))
    assert values is not None  # it is in the table
    targets, classes, coded = _coded(path, target, values, one)
    if labels is not None and labels.dtype.kind == "U":
        labels = np.unique(labels, return_inverse=True)[1]
    if index := counting(columns):
        text = f"{path}: column {index[0]!r} counts the rows and is an input like the others; drop it if it is none."
        warnings.warn(text, stacklevel=3)
    inputs = np.column_stack(list(columns.values())) if columns else np.zeros((1, 0))
    for column, part in (("inputs", inputs), ("targets", targets), ("labels", labels)):
        if part is not None:
            _check_numbers(path, column, part, numbers)
    return Parts(inputs, targets, classes if labels is None else labels, holders, numbers, (*notes, *coded))


def _check_names(path: pathlib.Path, table: "pd.DataFrame", wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in table:
            near = difflib.get_close_matches(name, list(map(str, table)), n=1, cutoff=0)
            raise InputError(f"{path} has no column {name!r}, the nearest is {near[0] if near else ''!r}.")


def _no_target(path: pathlib.Path, target: str, table: "pd.DataFrame") -> str:
    """The sentence about a target that the table lacks: what columns there are, and one of classes if there is one."""
    names = list(map(str, table))
    if target != "target" and (near := difflib.get_close_matches(target, names, n=1, cutoff=0.6)):
        return f"{path} has no column {target!r}, the nearest is {near[0]!r}."
    said = f"target is {target!r}, but {path} has no such column: needs to be one of {', '.join(names)}"
    texts = {name: list(dict.fromkeys(table[name])) for name in names if _holds_texts(table[name])}
    if not texts:
        return f"{said}."
    name = min(texts, key=lambda each: len(texts[each]))  # few texts are classes, many are names
    one = texts[name][0]
    return f"{said} (column {name!r} holds texts: '{name}={one}' makes {one} +1 and all others -1)."


def _holds_texts(values: "pd.Series") -> bool:
    """Whether every entry is a text, and none a number or a gap."""
    return all(isinstance(value, str) and value.strip().lower() not in _MISSING for value in values)


def _columns(
    path: pathlib.Path, table: "pd.DataFrame", texts: Sequence[str], *, whole: bool
) -> tuple[dict[str, Shaped[ndarray, " n"]], Int[ndarray, " n"], tuple[str, ...]]:
    """Columns by their names, every entry a number, or every one a text in those among ``texts``.

    ``whole``: rows that lack an entry are left out, and it is said how many.
    """
    numeric = {name: _numeric(path, str(name), table[name]) for name in table}
    lacking = {name: _lacking(table[name], numbers) for name, numbers in numeric.items()}
    gaps = np.any(list(lacking.values()), axis=0)
    kept, notes = np.arange(len(table)), tuple[str, ...]()
    if whole and gaps.any():
        kept = np.flatnonzero(~gaps)
        if not kept.size:
            raise InputError(f"{path} has no row without a gap, needs one in the columns that drop leaves.")
        notes = (f"{gaps.sum()} of {len(table)} rows left out, an entry is missing there",)
    kept_columns: dict[str, ndarray] = {}
    wordy: list[str] = []
    trouble = ""
    for name, numbers in numeric.items():
        values, bad = table[name].iloc[kept], np.isnan(numbers[kept])
        if not bad.any():
            kept_columns[str(name)] = numbers[kept]
            continue
        words = bad & ~lacking[name][kept]
        if words.all() and name in texts:
            kept_columns[str(name)] = np.array([str(value).strip() for value in values])
        elif bad.all() and words.any() and name not in texts:
            wordy.append(str(name))
        elif not trouble:
            # A word among numbers is a mistake of its own, a gap may be one of many.
            mistaken = words if words.any() and not bad.all() else bad & ~words
            first = int(np.flatnonzero(mistaken)[0])
            value = values.iloc[first]
            said = repr(value) if isinstance(value, str) and value.strip() else "empty"
            hint = (
                ""
                if words[first]
                else f" (drop_incomplete leaves out the {gaps.sum()} of {len(table)} rows that lack an entry)"
            )
            trouble = f"row {kept[first] + 1}, column {str(name)!r} is {said}, needs to be a number{hint}."
    if wordy:
        raise InputError(f"drop lacks {', '.join(map(repr, wordy))} of {path}, texts where inputs need to be numbers.")
    if trouble:
        raise InputError(f"{path}: {trouble}")
    return kept_columns, kept + 1, notes


def _numeric(path: pathlib.Path, name: str, values: "pd.Series") -> Float[ndarray, " n"]:
    """A column's numbers, NaN where it has none."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(np.float64, na_value=np.nan)
    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        raise InputError(f"drop lacks {name!r} of {path}, dates where numbers or texts are needed.")
    if any(isinstance(value, (list, dict, ndarray)) for value in values):  # as a .parquet file may hold
        raise InputError(f"drop lacks {name!r} of {path}, which holds no numbers and no texts.")
    return np.asarray(pd.to_numeric(values.astype(object), errors="coerce"), np.float64)


def _lacking(values: "pd.Series", numbers: Float[ndarray, " n"]) -> ndarray:
    """Where a column has nothing, or what others write for nothing."""
    found = np.isnan(numbers)
    for row in np.flatnonzero(found):
        value = values.iloc[row]
        found[row] = not isinstance(value, str) or value.strip().lower() in _MISSING
    return found


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
        raise InputError(f"target is '{name}={one}', but {name!r} of {path} holds no {one!r}, needs one of {listed}.")
    if not one:
        raise InputError(
            f"target is {name!r}, but {name!r} of {path} holds texts ({listed}), needs numbers: "
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
    repeated = [parts.numbers[group == k] for k in group[first] if sizes[k] > 1]
    said = "; ".join(" and ".join(map(str, rows)) for rows in repeated[:_LISTED]) + "; …" * (len(repeated) > _LISTED)
    gone = len(rows) - number
    which = "row" if gone == 1 else "rows"
    note = f"{gone} {which} merged into others that they repeat, targets averaged (rows {said}, from 1)"
    return parts.rows(first).noting(note, targets=means)


def _check_numbers(path: pathlib.Path, name: str, values: ndarray, numbers: Int[ndarray, " n"] | None = None) -> None:
    """Refuse text and what is not finite, by column as a reader counts them and row, by its number in the file."""
    if values.dtype.kind in "fc" and (bad := np.argwhere(~np.isfinite(values))).size:
        place = bad[0] + 1
        if numbers is not None:
            place[0] = numbers[bad[0, 0]]
        where = ", ".join(f"{axis} {k}" for axis, k in zip(("row", "column", "layer"), place, strict=False))
        raise InputError(f"{path}: {name}, {where} is {values[tuple(bad[0])]}, needs to be finite.")
    real_array(f"{name} of {path}", values, ndim=(1, 2))
