"""Sweeps of thresholds: what is needed and what is asked for, over one parameter at a time, and how both grow."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import xarray as xr

from ntk_localsgd.evidence import Condition
from ntk_localsgd.statistics import Interval, slope
from verification.data import Problem
from verification.engine import Results
from verification.jobs.thresholds import StepThreshold, WidthThreshold
from verification.judging import in_words

__all__ = [
    "TOLERANCE",
    "Point",
    "close_pair",
    "exponents",
    "jobs_of",
    "measured",
    "no_faster",
    "one_at_a_time",
    "value_of",
]

#: How far the exponent of what is needed may lie beyond that of what is asked for. Grids have steps of √2: over a
#: sweep of 4 one step more at its end is an exponent of ¼.
TOLERANCE = 0.25

Job = WidthThreshold | StepThreshold


@dataclasses.dataclass(frozen=True)
class Point:
    """A threshold to be measured, the parameter that is varied and its value, and what a theorem asks for there."""

    parameter: str
    at: float
    job: Job
    asked: float


def close_pair(problem: Problem) -> str:
    """Name of the data where the pair's distance is varied."""
    return "sphere with a close pair" if problem.source.kind == "planted" else problem.dataset.name


def value_of(parameter: str, job: Job) -> float:
    """A parameter's value at a job."""
    training, problem = job.training, job.training.problem
    known = {"n": problem.num_samples, "K": training.num_clients, "τ": training.local_steps, "L": training.depth or 0}
    return known[parameter] if parameter in known else _of_data(parameter, problem)


def _of_data(parameter: str, problem: Problem) -> float:
    return {"λ0": problem.lambda0.lower, "φ": problem.dataset.separation}[parameter]


def jobs_of(repeats: Iterable[Sequence[Point]]) -> Iterator[Job]:
    """Of every data set's points; those that several sweeps share come twice."""
    return (point.job for points in repeats for point in points)


def one_at_a_time(repeats: Sequence[Sequence[Point]]) -> Condition:
    """The premise of a map of thresholds: along a sweep nothing changes but its parameter, and what follows from it.

    The step size, the largest that is stable times a constant, and half batches follow from the data and the clients.
    """
    alike = all(
        len({_but_for(name, point.job) for point in points if point.parameter == name}) == 1
        for points in repeats
        for name in {point.parameter for point in points}
    )
    return Condition(
        "along a sweep all but its parameter, and the step size that follows from it, stays as it is", alike
    )


def _but_for(parameter: str, job: Job) -> Job:
    """A job with one parameter, and what follows from it, set to what no job has."""
    training = dataclasses.replace(job.training, step_size=0.0, batch_size=None)
    fields = {"K": "num_clients", "τ": "local_steps", "L": "depth"}
    if parameter in fields:
        training = dataclasses.replace(training, **{fields[parameter]: 0})  # type: ignore[arg-type]
    else:
        changed: dict[str, float] = {"num_samples": 0} if parameter == "n" else {"distance": 0.0}
        training = dataclasses.replace(training, data=dataclasses.replace(training.data, **changed))  # type: ignore[arg-type]
    return dataclasses.replace(job, training=training)


def measured(results: Results, repeats: Sequence[Sequence[Point]]) -> xr.Dataset:
    """Thresholds, where the conclusion still fails, and what a theorem asks for, [repeat point].

    ``repeats`` hold the same parameters, one a data set. Every point keeps its parameter's name and value.
    """
    thresholds = [[results[point.job] for point in points] for points in repeats]
    values = {name: [[float(each[name]) for each in row] for row in thresholds] for name in ("threshold", "fails")}
    values |= {name: [[getattr(point, name) for point in points] for points in repeats] for name in ("asked", "at")}
    arrays = {name: (("repeat", "point"), np.array(rows, np.float64)) for name, rows in values.items()}
    return xr.Dataset(arrays, {"parameter": ("point", np.array([point.parameter for point in repeats[0]]))})


def exponents(table: xr.Dataset, quantity: str = "threshold") -> Mapping[str, Interval]:
    """By parameter: the power of it that the thresholds, or what is ``"asked"``, grow with, over data sets.

    A parameter at one of whose values there is no threshold is left out.
    """
    powers, names = {}, table.parameter.values
    for name in dict.fromkeys(names.tolist()):
        part = table.isel(point=names == name)
        if quantity == "threshold" and not (np.isfinite(part.threshold) & (part.threshold > 0)).all():
            continue
        powers[name] = slope(np.exp(np.log(part["at"].values).mean(axis=0)), part[quantity].values)
    return powers


def no_faster(table: xr.Dataset, *, step: bool = False) -> tuple[bool | None, str]:
    """Whether widths needed grow no faster than those asked for in any parameter, up to `TOLERANCE`, and in words.

    A width asked for that grows as its parameter falls (λ0, φ) is compared as the parameter falls. With ``step`` the
    thresholds are step sizes, which may fall no faster. None if an interval leaves it open, or a threshold is missing.
    """
    needed, asked = exponents(table), exponents(table, "asked")
    verdicts: list[bool | None] = [None] * (len(needed) < len(asked))
    for name, own in needed.items():
        sign = (-1 if name in ("λ0", "φ") else 1) * (-1 if step else 1)
        ends, most = sorted((sign * own.lower, sign * own.upper)), sign * asked[name].estimate + TOLERANCE
        verdicts.append(True if ends[1] <= most else False if ends[0] > most else None)
    words = "; ".join(f"{name} {in_words(own)} beside {asked[name].estimate:.1f}" for name, own in needed.items())
    return False if False in verdicts else None if None in verdicts else True, words
