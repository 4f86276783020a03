"""``python -m benchmarks.sweeps``: what the engine adds to jobs, how workers share them, how fast it skips some.

Wall time says what a user waits for and depends on what else runs; processor time, of this process and of its workers,
does not, and is given beside it.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import jax

from benchmarks.spinning import Spin
from ntk_localsgd import results, stored
from ntk_localsgd.cli.parsing import execute
from verification.engine import compute
from verification.engine.workers import Workers
from verification.store import Store


@dataclasses.dataclass(frozen=True)
class Sweeps:
    """Measure, and print one line of JSON a measurement."""

    jobs: int = 200
    """Jobs of a sweep."""
    milliseconds: float = 50.0
    """Work in each of those that keep a core busy."""
    finished: int = 100_000
    """Finished jobs that are skipped."""
    only: tuple[str, ...] = ()
    """Names out of storing, workers, chunks, dask, skipping; none: all."""

    def __call__(self) -> int:
        """Run."""
        jax.config.update("jax_enable_x64", True)
        for name in ("storing", "workers", "chunks", "dask", "skipping"):
            if name in (self.only or (name,)):
                with tempfile.TemporaryDirectory() as folder:
                    about = {"load": os.getloadavg()[0], "cores": os.cpu_count()}
                    print(
                        json.dumps({"what": name} | getattr(self, f"_{name}")(pathlib.Path(folder)) | about), flush=True
                    )
        return 0

    def _storing(self, folder: pathlib.Path) -> dict[str, Any]:
        """Computing nothing and storing it, without an engine: what is not overhead of a sweep."""
        number = 100
        stored.save(folder / "first.nc", results.measured(Spin(-1, 0), Spin(-1, 0).compute))
        with _clock() as clock:
            for job in (Spin(seed, 0) for seed in range(number)):
                stored.save(folder / f"{job.seed}.nc", results.measured(job, job.compute))
        return {"ms_a_job": clock.wall / number * 1e3, "cpu_ms_a_job": clock.cpu / number * 1e3}

    def _workers(self, folder: pathlib.Path) -> dict[str, Any]:
        """The same jobs on one worker and on two, each with one core."""
        rounds, told = _rounds(self.milliseconds), {}
        for number in (1, 2):
            jobs = [Spin(seed, rounds) for seed in range(self.jobs)]
            wall, cpu, busy = self._swept(jobs, folder / str(number), number)
            told |= {f"wall_{number}": wall, f"cpu_{number}": cpu, f"cpu_of_jobs_{number}": busy}
        return told | {
            "times_as_fast": told["wall_1"] / told["wall_2"],
            "seconds_a_job": told["cpu_of_jobs_1"] / self.jobs,
        }

    def _chunks(self, folder: pathlib.Path) -> dict[str, Any]:
        """Jobs of no work, of one shape, on one worker."""
        wall, cpu, _ = self._swept([Spin(seed, 0) for seed in range(self.jobs)], folder, 1)
        return {"ms_a_job": wall / self.jobs * 1e3, "cpu_ms_a_job": cpu / self.jobs * 1e3}

    def _swept(self, jobs: list[Spin], folder: pathlib.Path, number: int) -> tuple[float, float, float]:
        """Wall time, processor time of client and workers, and of the jobs alone; workers are started before."""
        with Workers(number) as workers:
            store = Store(folder, home=("benchmarks",), device=workers.device)
            compute([Spin(-1 - k, 0) for k in range(2 * number)], store, executor=workers)
            before = [_processor_time(pid) for pid in workers.pids()]
            with _clock() as clock:
                swept = compute(jobs, store, executor=workers)
            used = sum(_processor_time(pid) for pid in workers.pids()) - sum(before)
            busy = sum(swept[job].attrs["cost"]["cpu_seconds"] for job in jobs)
        return clock.wall, clock.cpu + used, busy

    def _dask(self, folder: pathlib.Path) -> dict[str, Any]:
        """Jobs of no work that go alone, to one worker behind a scheduler on loopback."""
        try:
            import distributed
        except ImportError:
            return {"note": "not run: the extra cluster is not installed"}
        from verification.engine.cluster import connected

        options = {"n_workers": 1, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
        with distributed.LocalCluster(**options) as local, connected(local.scheduler_address) as executor:
            store = Store(folder, home=("benchmarks",), device=executor.device)
            compute([Spin(-1, 0)], store, executor=executor)
            pids = [nanny.process.pid for nanny in local.workers.values()]
            before = sum(map(_processor_time, pids))
            with _clock() as clock:
                compute([Spin(0, 0, shape) for shape in range(self.jobs)], store, executor=executor)
            cpu = clock.cpu + sum(map(_processor_time, pids)) - before
        return {"ms_a_job": clock.wall / self.jobs * 1e3, "cpu_ms_a_job": cpu / self.jobs * 1e3}

    def _skipping(self, folder: pathlib.Path) -> dict[str, Any]:
        """A sweep whose every result is stored: files of one content under every job's name, each with its own sum."""
        store = Store(folder, home=("benchmarks",))
        first = stored.save(store.path(Spin(0, 0)), results.measured(Spin(0, 0), Spin(0, 0).compute))
        content = store.path(Spin(0, 0)).read_bytes()
        content = content[: content.rindex(b"\n# sha256 ")]
        jobs = [Spin(seed, 0) for seed in range(self.finished)]
        for job in jobs:
            path = store.path(job)
            digest = hashlib.sha256(path.name.encode() + b"\0" + content).hexdigest()
            path.write_bytes(content + b"\n# sha256 " + digest.encode() + b"\n")
        with _clock() as clock:
            swept = compute(jobs, store)
        assert len(swept.computed) == self.finished
        assert swept[jobs[0]].identical(first)
        return {"jobs": self.finished, "seconds": clock.wall, "cpu_seconds": clock.cpu}


@dataclasses.dataclass
class _Clock:
    wall: float = 0.0
    cpu: float = 0.0


@contextlib.contextmanager
def _clock() -> Iterator[_Clock]:
    """Wall time and processor time of this process meanwhile."""
    clock, begun, used = _Clock(), time.perf_counter(), _own()
    yield clock
    clock.wall, clock.cpu = time.perf_counter() - begun, _own() - used


def _own() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _processor_time(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rounds(milliseconds: float) -> int:
    """Rounds that take so long here, by processor time."""
    Spin(0, 1).compute()  # the first data set of a process takes long
    begun = time.process_time()
    Spin(0, 100_000).compute()
    return int(milliseconds / 1e3 / (time.process_time() - begun) * 100_000)


if __name__ == "__main__":
    sys.exit(execute(Sweeps, prog="python -m benchmarks.sweeps", description=__doc__ or ""))
