"""Maps jobs to their results: any executor, one store, progress while it lasts, whatever dies meanwhile."""

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait

from rich.progress import Progress
from threadpoolctl import threadpool_limits

from ntk_localsgd import stored
from ntk_localsgd.errors import InputError, StorageError
from ntk_localsgd.provenance import device_name
from verification.engine import worker
from verification.engine.chunks import Chunks
from verification.engine.leases import Leases
from verification.engine.progress import progress_bar
from verification.engine.results import Kept, Results
from verification.store import Job, Store

__all__ = ["compute"]

# How often a job is tried by workers that may be lost; and how long until somebody else's jobs are looked at again.
_ATTEMPTS, _POLL = 3, 0.5

# Jobs at a time: while one is traced and compiled, which takes one core, another's rounds use the second.
_THREADS = 2


def compute(
    jobs: Iterable[Job], store: Store, *, executor: Executor | None = None, width: int | None = None
) -> Results:
    """The result of every job, each once, from the store where it is there.

    Another sweep may run on the same folder, here or on another machine: each job is computed by one of them.

    Parameters
    ----------
    jobs
        In the order in which they are to be begun; repetitions are dropped.
    store
        Where results are kept.
    executor
        Any of `concurrent.futures`' kind, to whose workers jobs are sent in chunks; they store results where they see
        the folder and return them where they do not. A worker that is lost is replaced by another: a job fails when it
        has failed three times. None: two threads, and half of the cores for the linear algebra of each.
    width
        Chunks that are under way at a time; None: as many as the executor has workers.

    Returns
    -------
    Results

    Raises
    ------
    StorageError
        If the disk is full; what was finished before is stored.
    InputError
        If the folder cannot be written, or workers have other versions of libraries than this process.
    KeyboardInterrupt
        If interrupted; jobs that were finished are stored.
    """
    own = ThreadPoolExecutor(max_workers=_THREADS) if executor is None else None
    pool = executor or own
    assert pool is not None
    try:
        with _shared_cores() if own else contextlib.nullcontext():
            return _Sweep(list(dict.fromkeys(jobs)), store, pool, width).run()
    finally:
        if own is not None:
            own.shutdown(wait=True, cancel_futures=True)


def _shared_cores() -> contextlib.AbstractContextManager[object]:
    """Linear algebra on each worker's share of the cores.

    Its threads spin while they wait for a core, and small systems take six times as long as on one.
    """
    return threadpool_limits(max(1, (os.cpu_count() or 1) // _THREADS), user_api="blas")


class _Sweep:
    """One call of `compute`."""

    def __init__(self, jobs: Sequence[Job], store: Store, pool: Executor, width: int | None) -> None:
        self.jobs, self.store, self.pool, self._width = jobs, store, pool, width
        self.here = type(pool) is ThreadPoolExecutor
        self.computed, self.failed = Kept(store), dict[Job, Exception]()
        self.strikes: dict[Job, int] = {}
        self.under_way: dict[Future[list[worker.Done]], list[Job]] = {}
        self.elsewhere: list[Job] = []

    @property
    def width(self) -> int:
        """Chunks under way; executors that grow say how many that are by an attribute ``workers``."""
        workers: int = getattr(self.pool, "workers", 0) or getattr(self.pool, "_max_workers", 2)
        return self._width or workers

    def run(self) -> Results:
        """Until every job is computed or has failed."""
        with progress_bar() as progress:
            task = progress.add_task("jobs", total=len(self.jobs))
            self.tell = lambda job: progress.update(task, advance=1, description=type(job).__name__)
            there = self.store.stored(self.jobs)
            for job in there:
                self.computed.add(job)
            progress.update(task, advance=len(there))
            if there:
                progress.console.print(f"{len(there)} of {len(self.jobs)} results are read from the store.")
            waiting = [job for job in self.jobs if job not in self.computed]
            if waiting:
                stored.require_writable(self.store.folder)
                self._clear()
                self.chunks = Chunks(waiting, together=not self.here, workers=self.width)
                with Leases(self.store.folder) as self.leases:
                    self._work(progress)
                self._clear()
        return Results(self.computed, self.failed)

    def _clear(self) -> None:
        """Delete what processes that were killed had begun to write."""
        for path in stored.leftovers(self.store.folder):
            path.unlink(missing_ok=True)

    def _work(self, progress: Progress) -> None:
        try:
            while True:
                self._hand_out()
                if not (self.under_way or self.elsewhere):
                    return
                if not self.under_way:
                    time.sleep(_POLL)
                for future in wait(
                    self.under_way, timeout=_POLL if self.elsewhere else None, return_when=FIRST_COMPLETED
                ).done:
                    self._take(future)
        finally:
            self.leases.stop()
            running = [jobs for future, jobs in self.under_way.items() if not (future.cancel() or future.done())]
            if running:
                names = ", ".join(sorted({type(job).__name__ for jobs in running for job in jobs}))
                progress.console.print(f"waiting for {names} to end and be stored")
            for future in wait(self.under_way).done:
                self._take_what_is_left(future)

    def _hand_out(self) -> None:
        """As many chunks as there are workers, of jobs that nobody else has; others' come when all else is out."""
        self._look_elsewhere()
        while len(self.under_way) < self.width and (chunk := self.chunks.next()):
            mine = self._mine(chunk)
            if not mine:
                continue
            paths = [self.store.path(job).absolute() for job in mine]
            device = self.store.device or device_name()
            if self.here:
                order = worker.here(mine, paths, device)
            else:
                order = worker.order(mine, paths, self.leases.marker, device)
            self.under_way[self.pool.submit(worker.carry_out, order)] = mine

    def _mine(self, chunk: list[Job]) -> list[Job]:
        """Those jobs of a chunk whose lease is had; what is always computed anew is shared with nobody."""
        names = {job: self.store.path(job).stem for job in chunk}
        shared = {job for job in chunk if not self.store.anew(job)}
        held = self.leases.acquire(names[job] for job in shared)
        mine = []
        for job in chunk:
            if job not in shared:
                mine.append(job)
            elif names[job] not in held:
                self.elsewhere.append(job)
            elif self.store.has(job):  # finished by another a moment ago
                self._finished(job)
            else:
                mine.append(job)
        return mine

    def _look_elsewhere(self) -> None:
        """What others have computed is there; what they have left goes to the end of the queue."""
        if not self.elsewhere or self.chunks or len(self.under_way) >= self.width:
            return
        left = []
        for job in self.elsewhere:
            if self.store.has(job):
                self._finished(job)
            else:
                left.append(job)
        self.elsewhere = []
        self.chunks.alone(left)

    def _take(self, future: Future[list[worker.Done]]) -> None:
        """What has become of a chunk."""
        jobs = self.under_way.pop(future)
        try:
            outcomes = future.result()
        except InputError:
            raise
        except (Exception, CancelledError) as error:
            self._lost(jobs, error)
            return
        if not outcomes:  # a worker that sees the sweep's folder but not yet its marker
            time.sleep(_POLL)
        for done in outcomes:
            self.chunks.took(jobs[done.number], done.seconds)
            self._settle(jobs[done.number], done)
        self.chunks.alone(jobs[len(outcomes) :])
        self.leases.release(self.store.path(job).stem for job in jobs)

    def _settle(self, job: Job, done: worker.Done) -> None:
        if done.error is None:
            result = done.result
            if result is not None and not self.here:
                result = self.store.save(job, result)
            self._finished(job, result)
        elif isinstance(done.error, StorageError):
            raise done.error
        elif self.here or isinstance(done.error, InputError):
            self._give_up(job, done.error, done.trace)
        else:
            self._strike(job, done.error, done.trace)

    def _lost(self, jobs: list[Job], error: BaseException) -> None:
        """A worker is gone: what it has stored is there, the rest is tried again, job by job."""
        left = []
        for job in jobs:
            if self.store.has(job):
                self._finished(job)
            else:
                left.append(job)
        self.leases.release(self.store.path(job).stem for job in jobs)
        if len(left) > 1:
            self.chunks.alone(left)
        elif left:
            reason = worker.JobError(
                f"its worker was lost, as by a kill or for want of memory ({type(error).__name__})."
            )
            self._strike(left[0], reason, "")

    def _strike(self, job: Job, error: Exception, trace: str) -> None:
        self.strikes[job] = self.strikes.get(job, 0) + 1
        if self.strikes[job] < _ATTEMPTS:
            self.chunks.alone([job])
        else:
            self._give_up(job, error, trace)

    def _give_up(self, job: Job, error: Exception, trace: str) -> None:
        self.failed[job] = error
        if trace and not isinstance(error, InputError):
            print(trace, end="", file=sys.stderr)
        if self.strikes.get(job, 0) > 1:
            print(f"{job} has failed {self.strikes[job]} times: {error}", file=sys.stderr)
        self.tell(job)

    def _finished(self, job: Job, result: object = None) -> None:
        self.computed.add(job, result)  # type: ignore[arg-type]
        self.tell(job)

    def _take_what_is_left(self, future: Future[list[worker.Done]]) -> None:
        """The sweep ends early: what comes from workers that do not see the folder is still stored."""
        jobs = self.under_way.pop(future)
        if future.cancelled() or future.exception() is not None:
            return
        for done in future.result():
            if done.result is not None and not self.here:
                self.store.save(jobs[done.number], done.result)
