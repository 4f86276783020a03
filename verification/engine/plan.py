"""What jobs are going to take, before it is spent: from what like jobs have taken, or from their operations."""

import dataclasses
import statistics
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ntk_localsgd import stored
from ntk_localsgd.results import plain
from verification.engine.chunks import shape_of_plain
from verification.store import Job, Store

__all__ = ["Part", "operations", "plan", "show"]

# Results that are looked at, the newest; to read one's attributes takes half a millisecond.
_MOST = 4000


@dataclasses.dataclass(frozen=True)
class Part:
    """The jobs of one class.

    Attributes
    ----------
    kind
        Name of the class.
    number, stored
        Jobs, and how many of them have a result already.
    seconds
        Sum of what the others are estimated to take, each for itself; ``unknown`` of them not included.
    unknown
        Jobs like which none has been seen, and of which no operations are counted.
    memory
        Most bytes that a process with such a job has had; None: not known.
    basis
        What the estimate stands on.
    """

    kind: str
    number: int
    stored: int
    seconds: float
    unknown: int
    memory: int | None
    basis: str


@dataclasses.dataclass
class _Seen:
    """What stored results have taken: by shape and by class, and operations beside seconds."""

    by_shape: dict[Hashable, list[float]] = dataclasses.field(default_factory=dict)
    by_class: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    rates: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    memory: dict[str, int] = dataclasses.field(default_factory=dict)


def plan(jobs: Iterable[Job], store: Store) -> list[Part]:
    """What is there and what the rest takes, class by class.

    A job's time is the mean of stored results of the same shape; without one, its operations over the rate at which
    stored jobs of its class have done theirs; without these, over that of a product of matrices here; and at last the
    mean of its class.
    """
    wanted = list(dict.fromkeys(jobs))
    there, seen = set(store.stored(wanted)), _seen(store)
    product_rate: list[float] = []
    parts: dict[str, list[Job]] = {}
    for job in wanted:
        parts.setdefault(_class(plain(job)), []).append(job)
    rows = []
    for kind, own in parts.items():
        open_jobs = [plain(job) for job in own if job not in there]
        estimates = [_estimate(job, seen, product_rate) for job in open_jobs]
        known = [seconds for seconds, _ in estimates if seconds is not None]
        bases = ", ".join(dict.fromkeys(basis for seconds, basis in estimates if seconds is not None))
        counts = len(own), len(own) - len(open_jobs), sum(known), len(open_jobs) - len(known)
        rows.append(Part(kind.rpartition(".")[2], *counts, seen.memory.get(kind), bases))
    return rows


def show(parts: Sequence[Part], workers: int) -> None:
    """Print the plan."""
    table = Table("job", "number", "stored", "estimated seconds", "memory", "estimated from")
    for part in parts:
        time_text = f"{part.seconds:.3g}" + f" + {part.unknown} unknown" * bool(part.unknown)
        memory = "" if part.memory is None else f"{part.memory / 2**30:.2g} GiB"
        table.add_row(part.kind, str(part.number), str(part.stored), time_text, memory, part.basis)
    console = Console()
    console.print(table)
    number, there = sum(part.number for part in parts), sum(part.stored for part in parts)
    seconds, unknown = sum(part.seconds for part in parts), sum(part.unknown for part in parts)
    largest = max((part.memory for part in parts if part.memory), default=None)
    memory = "" if largest is None else f", up to {largest / 2**30:.2g} GiB a process"
    more = f" and {unknown} of which nothing is known" if unknown else ""
    left = f"about {seconds / workers:.3g} s on {workers} workers{more}{memory}"
    console.print(
        f"{number} jobs, {there} of them stored; the others take {left if number > there else 'nothing'}.",
        soft_wrap=True,
    )


def operations(job: Any) -> float:
    """Additions and multiplications of all training in a job, given as `plain` gives it; 0 where there is none.

    A gradient of n samples takes 4 n m d for the first layer and 6 n m² for each further one.
    """
    if not isinstance(job, Mapping):
        return sum(map(operations, job)) if isinstance(job, list | tuple) else 0.0
    values = job.get("values", job)
    if _class(job).rpartition(".")[2] != "Training":
        return float(sum(map(operations, values.values())))
    data, width = values["data"]["values"], values["width"]
    inputs = data["input_dim"] if data["kind"] == "sphere" else 64
    samples = data["num_samples"]
    if values.get("batch_size"):
        samples = min(samples, values["batch_size"] * values["num_clients"])
    layers = 4 * width * inputs + 6 * width**2 * ((values.get("depth") or 1) - 1)
    steps = values["num_rounds"] * np.max(values["local_steps"])
    return float(samples * layers * steps * len(values["seeds"]))


def _class(job: Any) -> str:
    return str(job.get("class", "")) if isinstance(job, Mapping) else ""


def _estimate(job: Any, seen: _Seen, product_rate: list[float]) -> tuple[float | None, str]:
    kind = _class(job)
    if alike := seen.by_shape.get(shape_of_plain(job)):
        return statistics.fmean(alike), "like jobs"
    if count := operations(job):
        done, seconds = seen.rates.get(kind, (0.0, 0.0))
        if done:
            return count * seconds / done, "operations"
        if not product_rate:
            product_rate.append(_product_rate())
        return count / product_rate[0], "operations at a product's rate"
    if others := seen.by_class.get(kind):
        return statistics.fmean(others), "its class"
    return None, ""


def _seen(store: Store) -> _Seen:
    seen = _Seen()
    paths = sorted(store.folder.glob("*.nc"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in paths[:_MOST]:
        about = stored.attributes(path)
        job, cost = about.get("job"), about.get("cost")
        if not (isinstance(job, Mapping) and isinstance(cost, Mapping)):
            continue
        kind, seconds = _class(job), cost["seconds"]
        seen.by_shape.setdefault(shape_of_plain(job), []).append(seconds)
        seen.by_class.setdefault(kind, []).append(seconds)
        done, took = seen.rates.get(kind, (0.0, 0.0))
        seen.rates[kind] = done + operations(job), took + seconds
        seen.memory[kind] = max(seen.memory.get(kind, 0), cost["memory"])
    return seen


def _product_rate() -> float:
    """Operations a second of a product of matrices on one thread's share of this machine."""
    factor = np.ones((768, 768), np.float32)
    factor @ factor
    begun, number = time.perf_counter(), 0
    while time.perf_counter() - begun < 0.1:
        factor @ factor
        number += 1
    return number * 2 * 768**3 / (time.perf_counter() - begun)
