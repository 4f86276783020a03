"""``ntk-localsgd results``: what is stored, how old and large it is; away with it, or into tables."""

import dataclasses
import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import tyro
import xarray as xr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ntk_localsgd import stored
from ntk_localsgd.cli.parsing import command
from ntk_localsgd.errors import InputError
from ntk_localsgd.provenance import versions

__all__ = ["Results"]

_FOLDER = pathlib.Path("results/runs")
_DAY = 86400.0


@dataclasses.dataclass(frozen=True)
class _File:
    """A stored result, known by its attributes."""

    path: pathlib.Path
    job: str
    values: Mapping[str, Any]
    about: Mapping[str, Any]
    size: int
    age: float  # seconds

    @property
    def seconds(self) -> float:
        """How long it took to compute; NaN where that is not known."""
        return float(self.about.get("cost", {}).get("seconds", np.nan))


@dataclasses.dataclass(frozen=True)
class List:
    """One line a result, the newest first, and what all of them take."""

    folder: pathlib.Path = _FOLDER
    """Folder of stored results."""
    job: str = ""
    """Results of jobs with this in their class' name."""
    most: int = 40
    """Lines at most."""

    def __call__(self) -> int:
        """Print."""
        files = _files(self.folder, self.job)
        console, table = Console(), Table()
        others = 78  # characters that the other columns take, a class of twenty included
        for name in ("result", "job", "values", "size", "age", "computed in"):
            table.add_column(name, no_wrap=True, max_width=max(8, console.width - others) if name == "values" else None)
        for file in files[: self.most]:
            known = [file.path.stem, file.job.rpartition(".")[2], _short(file.values), _bytes(file.size)]
            table.add_row(*map(Text, (*known, _time(file.age), _time(file.seconds))))
        console.print(table)
        left_out = f", {len(files) - self.most} of them not shown" if len(files) > self.most else ""
        total = f"{_count(len(files), 'result')}{left_out}: {_bytes(sum(file.size for file in files))}"
        console.print(f"{total}, computed in {_time(float(np.nansum([file.seconds for file in files])))}.")
        for path in (*_damaged(self.folder), *stored.leftovers(self.folder)):
            console.print(f"{path.name}: no result ({_bytes(path.stat().st_size)}); prune deletes it.", markup=False)
        return 0


@dataclasses.dataclass(frozen=True)
class Show:
    """Everything about one result."""

    name: tyro.conf.Positional[str]
    """The beginning of its file's name."""
    folder: pathlib.Path = _FOLDER
    """Folder of stored results."""

    def __call__(self) -> int:
        """Print."""
        paths = sorted(_existing(self.folder).glob("*.nc"))
        found = [path for path in paths if path.name.startswith(self.name)]
        if len(found) != 1:
            raise InputError(f"name {self.name!r} fits {len(found)} results in {self.folder}, needs to fit one.")
        file, dataset = _file(found[0]), stored.load(found[0])
        if dataset is None:
            raise InputError(f"{found[0]} is damaged, needs to be computed again.")
        console = Console()
        about = {"job": file.job, "size": _bytes(file.size), "age": _time(file.age), "computed in": _time(file.seconds)}
        about |= {key: file.about[key] for key in ("device", "versions") if key in file.about}
        for key, value in (about | dict(file.values)).items():
            console.print(f"{key}: {_text(value)}", markup=False, highlight=False)
        console.print(dataset.drop_attrs(), markup=False, highlight=False)
        return 0


@dataclasses.dataclass(frozen=True)
class Prune:
    """Delete what was left half-written or is damaged, and results that are old, of some job, or of other versions."""

    folder: pathlib.Path = _FOLDER
    """Folder of stored results."""
    older_than: float | None = None
    """Results of more than so many days."""
    job: str = ""
    """Of these, or of all, results of jobs with this in their class' name."""
    other_versions: bool = False
    """Results of other versions of Python or of the libraries, which are never read here."""
    dry_run: bool = False
    """Only say what would be deleted."""

    def __call__(self) -> int:
        """Delete, and say how much."""
        gone = [*_damaged(self.folder), *stored.leftovers(self.folder)]
        if self.older_than is not None or self.job or self.other_versions:
            gone += [file.path for file in _files(self.folder, self.job) if self._goes(file)]
        size = sum(path.stat().st_size for path in gone)
        for path in gone:
            if not self.dry_run:
                path.unlink(missing_ok=True)
        word = "would be deleted" if self.dry_run else "deleted"
        print(f"{_count(len(gone), 'file')} {word}, {_bytes(size)}.")
        return 0

    def _goes(self, file: _File) -> bool:
        old = self.older_than is None or file.age > self.older_than * _DAY
        return old and not (self.other_versions and file.about.get("versions") == versions())


@dataclasses.dataclass(frozen=True)
class Export:
    """Tables of what is stored: one file a class of jobs and set of dimensions, one row an entry."""

    to: tyro.conf.Positional[pathlib.Path]
    """Folder that the tables are written to."""
    folder: pathlib.Path = _FOLDER
    """Folder of stored results."""
    job: str = ""
    """Results of jobs with this in their class' name."""
    format: Literal["csv", "parquet"] = "csv"
    """Parquet needs pyarrow."""

    def __call__(self) -> int:
        """Write, and print the files' names."""
        tables: dict[str, list[pd.DataFrame]] = {}
        for file in reversed(_files(self.folder, self.job)):
            if (dataset := stored.load(file.path)) is not None:
                for name, table in _tables(file, dataset):
                    tables.setdefault(name, []).append(table)
        stored.require_writable(self.to)
        for name, parts in tables.items():
            whole, path = pd.concat(parts, ignore_index=True), self.to / f"{name}.{self.format}"
            try:
                whole.to_csv(path, index=False) if self.format == "csv" else whole.to_parquet(path, index=False)
            except ImportError as error:
                raise InputError("format is 'parquet', needs pyarrow: pip install pyarrow, or --format csv.") from error
            except OSError as error:
                raise InputError(f"{path} cannot be written ({error.strerror}).") from error
            print(path)
        return 0


@command
@dataclasses.dataclass(frozen=True)
class Results:
    """Stored results of long computations: list, show, prune, export."""

    action: tyro.conf.OmitArgPrefixes[
        Annotated[List, tyro.conf.subcommand("list", prefix_name=False)]
        | Annotated[Show, tyro.conf.subcommand("show", prefix_name=False)]
        | Annotated[Prune, tyro.conf.subcommand("prune", prefix_name=False)]
        | Annotated[Export, tyro.conf.subcommand("export", prefix_name=False)]
    ]

    def __call__(self) -> int:
        """Run."""
        return self.action()


def _existing(folder: pathlib.Path) -> pathlib.Path:
    if not folder.is_dir():
        raise InputError(f"folder {folder} is not there, needs to be one of stored results, such as results/runs.")
    return folder


def _file(path: pathlib.Path) -> _File:
    about, status = stored.attributes(path), path.stat()
    job = about.get("job")
    if not isinstance(job, Mapping) or "class" not in job:  # a mapping, or from before there was such an attribute
        name = str(about.get("configuration", "?")).partition("{")[0] or "mapping"
        job = {"class": name, "values": job or {}}
    return _File(path, job["class"], job["values"], about, status.st_size, time.time() - status.st_mtime)


def _files(folder: pathlib.Path, job: str) -> list[_File]:
    """Every result, the newest first."""
    files = [_file(path) for path in _existing(folder).glob("*.nc")]
    return sorted((file for file in files if job in file.job), key=lambda file: (file.age, file.path.name))


def _damaged(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(_existing(folder).glob("*.damaged"))


def _tables(file: _File, dataset: xr.Dataset) -> Iterable[tuple[str, pd.DataFrame]]:
    """A table for all variables that have the same dimensions: the job's values in every row, then labels, numbers."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for name, variable in dataset.data_vars.items():
        kinds.setdefault(tuple(map(str, variable.dims)), []).append(str(name))
    known = {"result": file.path.stem} | {key: _text(value) for key, value in file.values.items()}
    for dims, names in kinds.items():
        part = dataset[names].reset_coords(drop=True)
        # Dimensions without labels are counted from 0.
        frame = part.to_dataframe().reset_index() if dims else pd.DataFrame({n: [part[n].item()] for n in names})
        columns = {f"job_{key}" if key in frame else key: value for key, value in known.items()}
        about = pd.DataFrame(columns, index=frame.index)
        yield "-".join((file.job.rpartition(".")[2], *dims)), pd.concat([about, frame], axis=1)


def _text(value: Any) -> Any:
    """A value of a job as a table has it: numbers stay, what is composed is written out."""
    if isinstance(value, Mapping) and set(value) == {"class", "values"}:
        return f"{value['class'].rpartition('.')[2]}({_short(value['values'])})"
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _short(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_text(value)}" for key, value in values.items())


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _bytes(size: float) -> str:
    """A size in the largest unit that leaves a whole number.

    >>> _bytes(2048)
    '2 KiB'
    """
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"


def _time(seconds: float) -> str:
    """A time in the largest unit that it has two of.

    >>> _time(7200), _time(0.5)
    ('2 h', '0.5 s')
    """
    if not np.isfinite(seconds):
        return ""
    for unit, length in (("d", _DAY), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
