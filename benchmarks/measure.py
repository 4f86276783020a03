"""A case measured: every route in a process of its own, checked to agree, then timed in turns."""

import contextlib
import pathlib
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cases import OURS, Case, Route, Work, distance
from benchmarks.environments import NotInstalledError
from benchmarks.workers import Worker, WorkerError

# Seconds that one route's repetitions may take, beyond the fewest there must be.
_PATIENCE, _FEWEST = 20.0, 3


def measure(work: Work, case: Case, say: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """One row a route: median seconds, ratio to this project's, peak memory, agreement; or why there is none."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        arrays = pathlib.Path(folder) / "arrays.npz"
        np.savez(arrays, **case.arrays())
        rows, workers = {}, {}
        for route in (r for r in case.routes if not r.alone):
            say(f"{case.label}: {route.name}")
            rows[route.name], worker = _begun(case, route, arrays, running)
            if worker:
                workers[route.name] = worker
        _check(work, case, rows, workers)
        _time_in_turns(case, rows, workers)
        for route in (r for r in case.routes if r.alone):
            say(f"{case.label}: {route.name}")
            running.close()
            rows[route.name], worker = _begun(case, route, arrays, running)
            if worker:
                _check(work, case, rows, {route.name: worker})
                _time_in_turns(case, rows, {route.name: worker})
    for row in rows.values():
        row.pop("result", None)
    return _compared(case, rows)


def _begun(
    case: Case, route: Route, arrays: pathlib.Path, running: contextlib.ExitStack
) -> tuple[dict[str, Any], Worker | None]:
    """A route's first result, which also warms it up, and its process; or the reason why there is none."""
    row: dict[str, Any] = {"case": case.label, "route": route.name, "peer": route.checked and route.name != OURS}
    if route.name in case.left_out:
        return row | {"note": case.left_out[route.name]}, None
    try:
        worker = running.enter_context(Worker(route.environment, route.script, route.arguments))
        function, settings = route.function or case.function, case.settings | route.settings
        worker.ask(do="prepare", work=function, arrays=str(arrays), settings=settings)
        result = arrays.with_name("result.npy")
        row["first"] = worker.ask(do="compute", to=str(result))["seconds"]
        row["result"] = np.load(result)
    except NotInstalledError as reason:
        return row | {"note": f"could not be installed here: {reason}"}, None
    except WorkerError as reason:
        return row | {"note": f"failed: {reason}"}, None
    return row, worker


def _check(work: Work, case: Case, rows: dict[str, Any], workers: dict[str, Worker]) -> None:
    """Leave out what does not compute the same numbers."""
    agreement = work.agreement or distance
    checked = [route for route in case.routes if route.checked and route.name in workers and route.name != OURS]
    for route in checked:
        if "result" not in rows.get(OURS, {}):
            continue
        name, tolerance = route.name, work.tolerance if route.within is None else route.within
        found = agreement(rows[name]["result"], rows[OURS]["result"])
        rows[name]["agreement"] = found
        if not found <= tolerance:
            rows[name]["note"] = f"not timed: off by {found:.2g}, more than {tolerance:g}"
            del workers[name]


def _time_in_turns(case: Case, rows: dict[str, Any], workers: dict[str, Worker]) -> None:
    slowest = max((rows[name]["first"] for name in workers), default=1.0)
    repeats = int(min(max(_FEWEST, _PATIENCE / slowest), case.most_repeats))
    for _ in range(repeats):
        for name, worker in list(workers.items()):
            try:
                took = worker.ask(do="time")
                rows[name].setdefault("repeats", []).append(took["seconds"])
                rows[name].setdefault("cpu_repeats", []).append(took["cpu"])
            except WorkerError as reason:
                rows[name]["note"] = f"failed: {reason}"
                del workers[name]
    for name, worker in workers.items():
        rows[name]["seconds"] = statistics.median(rows[name]["repeats"])
        rows[name]["cpu"] = statistics.median(rows[name]["cpu_repeats"])
        rows[name]["peak"] = worker.ask(do="memory")["peak"]


def _compared(case: Case, rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Ratios to this project's time, and its share of the rate of one large product."""
    ours = rows.get(OURS, {})
    for row in rows.values():
        if "seconds" in row and "seconds" in ours:
            row["ratio"] = paired(row["repeats"], ours["repeats"])
            row["cpu_ratio"] = paired(row["cpu_repeats"], ours["cpu_repeats"])
    products = [route for route in case.routes if route.function == "product" and "seconds" in rows[route.name]]
    if case.operations and "seconds" in ours:
        ours["operations"], ours["rate"] = case.operations, case.operations / ours["seconds"]
        for route in products:
            row = rows[route.name]
            row["rate"] = 2 * route.settings["size"] ** 3 / row["seconds"]
            del row["ratio"], row["cpu_ratio"]
            # Of the faster product, where PyTorch's and JAX's differ.
            ours["share"] = min(ours.get("share", np.inf), ours["rate"] / row["rate"])
    return list(rows.values())


def paired(times: list[float], ours: list[float]) -> float:
    """Median ratio of times that were taken one after the other, so that a machine's slow minute weighs on both."""
    return statistics.median(other / own for other, own in zip(times, ours, strict=False))
