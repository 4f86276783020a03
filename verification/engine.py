"""Maps jobs to their results: one executor, one store, progress while it lasts."""

import dataclasses
import sys
import traceback
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed

import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ntk_localsgd.errors import InputError
from verification.store import Job, Store

__all__ = ["Results", "compute", "progress_bar"]


@dataclasses.dataclass(frozen=True)
class Results:
    """Results of jobs, and the errors of those that failed.

    ``results[job]`` raises what the job raised: the claims that need it say so, the others go on.
    """

    computed: Mapping[Job, xr.Dataset]
    failed: Mapping[Job, Exception] = dataclasses.field(default_factory=dict)

    def __getitem__(self, job: Job) -> xr.Dataset:
        if job in self.failed:
            raise self.failed[job]
        if job not in self.computed:
            raise InputError(f"{job} was not computed: a claim or figure needs to name every job that it reads.")
        return self.computed[job]

    def only(self, jobs: Iterable[Job]) -> "Results":
        """These results without those of other jobs."""
        wanted = set(jobs)
        computed = {job: value for job, value in self.computed.items() if job in wanted}
        return Results(computed, {job: error for job, error in self.failed.items() if job in wanted})


def compute(jobs: Iterable[Job], store: Store, *, executor: Executor | None = None) -> Results:
    """The result of every job, each once, from the store where it is there.

    Parameters
    ----------
    jobs
        In the order in which they are to be begun; repetitions are dropped.
    store
        Where results are kept.
    executor
        Any of `concurrent.futures`' kind, to whose workers jobs and store are sent. None: two threads; while one job
        is traced and compiled, which takes one core, another's rounds use the second.

    Returns
    -------
    Results

    Raises
    ------
    KeyboardInterrupt
        If interrupted; jobs that were finished are stored.
    """
    wanted = list(dict.fromkeys(jobs))
    computed: dict[Job, xr.Dataset] = {}
    failed: dict[Job, Exception] = {}
    own = ThreadPoolExecutor(max_workers=2) if executor is None else None
    pool = executor or own
    assert pool is not None
    with progress_bar() as progress:
        stored = sum(map(store.has, wanted))
        if stored:
            progress.console.print(f"{stored} of {len(wanted)} results are read from the store.")
        task = progress.add_task("jobs", total=len(wanted))
        futures: dict[Future[xr.Dataset], Job] = {pool.submit(store.get, job): job for job in wanted}
        try:
            for future in as_completed(futures):
                job = futures[future]
                try:
                    computed[job] = future.result()
                except Exception as error:
                    failed[job] = error
                    if not isinstance(error, InputError):
                        traceback.print_exception(error, file=sys.stderr)
                progress.update(task, advance=1, description=type(job).__name__)
        finally:
            running = [type(job).__name__ for future, job in futures.items() if not (future.cancel() or future.done())]
            if running:
                progress.console.print(f"waiting for {', '.join(running)} to end and be stored")
            if own is not None:
                own.shutdown(wait=True, cancel_futures=True)
    return Results(computed, failed)


def progress_bar() -> Progress:
    """A bar with counts, elapsed and remaining time on standard error."""
    done = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn())
    return Progress(*done, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))
