"""A sweep of one's own: a class of jobs over a grid of values, as one labelled data set."""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import xarray as xr

from ntk_localsgd.errors import InputError, unknown_name
from verification.engine.computing import compute
from verification.store import Job, Store

__all__ = ["sweep"]


def sweep(
    job_class: Callable[..., Job],
    grid: Mapping[str, Any],
    folder: str | pathlib.Path,
    executor: Executor | None = None,
) -> xr.Dataset:
    """Results of jobs for every combination of values, along one dimension a varied value.

    Finished jobs are read from the folder, so that a sweep that was interrupted goes on, and one with more values adds
    what is missing. Results are named by the job's values and by the code of its module and of all that this imports;
    what it reads besides, a file of data, say, needs to be among its values.

    Parameters
    ----------
    job_class
        A frozen dataclass of plain values with ``compute() -> xarray.Dataset``, in a module that can be imported.
    grid
        By field of the class: a list, whose values are combined with those of the others, or one value for all jobs (a
        tuple is one value).
    folder
        Where results are kept.
    executor
        As in `compute`: `Workers` of this machine, or any of `concurrent.futures`' kind.

    Returns
    -------
    xarray.Dataset
        The jobs' data sets along dimensions that are called as the lists' names and labelled by their values; what is
        the same for all jobs is an attribute.

    Raises
    ------
    InputError
        If a name is no field, a list is empty, or a job has failed: the others are stored.
    """
    name_of_class, fields = _named(job_class)
    if unknown := [name for name in grid if name not in fields]:
        raise InputError(unknown_name(f"field of {name_of_class}", unknown[0], fields))
    varied = {name: values for name, values in grid.items() if isinstance(values, list)}
    fixed = {name: value for name, value in grid.items() if name not in varied}
    if empty := [name for name, values in varied.items() if not values]:
        raise InputError(f"grid has no value for {empty[0]}, needs at least one.")
    jobs = [job_class(**fixed, **dict(zip(varied, each, strict=True))) for each in itertools.product(*varied.values())]

    # A user's own class is stored too: its fingerprint covers what it imports from beside it.
    home = (job_class.__module__.partition(".")[0],)
    store = Store(pathlib.Path(folder), home=home, device=getattr(executor, "device", None))
    results = compute(jobs, store, executor=executor)
    if results.failed:
        job, error = next(iter(results.failed.items()))
        raise InputError(
            f"{len(results.failed)} of {len(jobs)} jobs have failed, the first is {job} ({error}); others are stored."
        )
    parts = iter(results[job].drop_attrs() for job in jobs)
    whole = _stacked(parts, list(varied.items()))
    return whole.assign_attrs({name: _label(value) for name, value in fixed.items()}, job=name_of_class)


def _named(job_class: Any) -> tuple[str, list[str]]:
    """Name and fields of a class of jobs."""
    if not (isinstance(job_class, type) and dataclasses.is_dataclass(job_class)):
        raise InputError(f"job_class is {job_class!r}, needs to be a dataclass with compute().")
    return job_class.__name__, [field.name for field in dataclasses.fields(job_class)]


def _stacked(parts: Any, varied: Sequence[tuple[str, Sequence[Any]]]) -> xr.Dataset:
    """Data sets in the order of a product, along its dimensions."""
    if not varied:
        return next(parts)
    (name, values), *others = varied
    index = xr.Variable(name, np.array([_label(value) for value in values]))
    inner = [_stacked(parts, others) for _ in values]
    if any(name in part.variables or name in part.dims for part in inner):
        raise InputError(f"results have something called {name!r} like the grid, needs other names.")
    return xr.concat(inner, dim=index, data_vars="all", coords="minimal", compat="override", join="outer")


def _label(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)
