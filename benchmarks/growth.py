"""How processor time grows: exponents fitted beside those of the operation count, at the same sizes."""

import contextlib
import pathlib
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import Case, Route
from benchmarks.workers import Worker
from benchmarks.works import deep_gram_case, local_gd_case

_REPEATS = 5


def series(smoke: bool) -> dict[str, dict[float, Case]]:
    """One quantity varied at a time: its name, its values, the case at each."""
    small = 16 if smoke else 1

    def gram(n: int = 512 // small, m: int = 512 // small, depth: int = 3) -> Case:
        return deep_gram_case(n, m, depth, routes=(Route("ours"),))

    def local(m: int = 512 // small, depth: int = 2, clients: int = 4, tau: int = 4, held: int = 64 // small) -> Case:
        return local_gd_case(m, depth, (Route("ours"),), clients=clients, held=held, tau=tau, rounds=4)

    def vary(make: Callable[..., Case], name: str, values: tuple[int, ...]) -> dict[float, Case]:
        values = tuple(value // small for value in values) if name in ("n", "m", "held") else values
        return {value: make(**{name: value}) for value in values}

    def jobs(number: int) -> Case:
        return Case(f"{number} jobs", "jobs", lambda: {}, {"number": number}, (), float(number))

    numbers = (5, 10) if smoke else (25, 50, 100, 200)
    return {
        "deep Gram, n": vary(gram, "n", (256, 512, 1024, 2048)),
        "deep Gram, m": vary(gram, "m", (256, 512, 1024, 2048)),
        "deep Gram, L": vary(gram, "depth", (2, 4, 6, 8)),
        "Local GD, n_c": vary(local, "held", (32, 64, 128, 256)),
        "Local GD, m": vary(local, "m", (256, 512, 1024, 2048)),
        "Local GD, L": vary(local, "depth", (1, 2, 4, 6)),
        "Local GD, K": vary(local, "clients", (2, 4, 8, 16)),
        "Local GD, τ": vary(local, "tau", (2, 4, 8, 16)),
        "jobs of a sweep, each of no work": {number: jobs(number) for number in numbers},
    }


def grown(cases: dict[float, Case]) -> dict[str, Any]:
    """Times of the cases taken in turns, the fitted exponent, and that of their operation counts."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        worker = running.enter_context(Worker("project", "this_project"))

        def timed(value: float, case: Case) -> float:
            arrays = pathlib.Path(folder) / f"{value}.npz"
            if not arrays.exists():
                np.savez(arrays, **case.arrays())
            worker.ask(do="prepare", work=case.function, arrays=str(arrays), settings=case.settings)
            worker.ask(do="time")  # warms up; compiles in the first turn
            return worker.ask(do="time")["cpu"]

        turns = [[timed(value, case) for value, case in cases.items()] for _ in range(_REPEATS)]
    seconds = [statistics.median(times) for times in zip(*turns, strict=True)]
    fit = partial(exponent, list(cases))
    counts = [case.operations for case in cases.values()]
    return {"sizes": list(cases), "seconds": seconds, "exponent": fit(seconds), "counted": fit(counts)}


def exponent(sizes: list[float], values: list[float]) -> float:
    """Slope of log value against log size."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
