"""A sweep whose workers are killed meanwhile: ``python -m tests.verification.faulty FOLDER SEED KILLS``."""

import os
import pathlib
import random
import signal
import sys
import threading

from ntk_localsgd.errors import InputError
from tests.verification.light import Walk
from verification.engine import compute
from verification.engine.workers import Workers
from verification.store import Store

JOBS = [Walk(seed, steps, milliseconds=15.0) for seed in range(100) for steps in (30, 60)]


def store(folder, device=None):
    """The store of the sweep."""
    return Store(pathlib.Path(folder), home=("tests",), device=device)


def _finished(folder):
    return len(list(pathlib.Path(folder).glob("*.nc")))


def main(folder, seed, kills):
    """Exit code: 0 if every job is stored, 1 if some have failed, 2 if the disk is full."""
    with Workers(2) as workers:
        over, draw = threading.Event(), random.Random(seed)

        def kill():
            left, due = kills, _finished(folder)
            while left and not over.wait(0.02):
                if _finished(folder) >= due and (pids := workers.pids()):
                    os.kill(draw.choice(pids), signal.SIGKILL)
                    print("killed", flush=True)
                    left, due = left - 1, _finished(folder) + draw.randrange(8, 24)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            results = compute(JOBS, store(folder, workers.device), executor=workers)
        except InputError as error:
            print(error, flush=True)
            return 2
        finally:
            over.set()
            killer.join()
    return int(bool(results.failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
