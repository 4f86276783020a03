"""What a sweep survives: killed workers, a killed client, damaged files, a full disk, and another sweep beside it."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ntk_localsgd.provenance import processor_name
from tests.verification.faulty import JOBS, store
from verification.engine import compute

ROOT = pathlib.Path(__file__).parents[2]


@contextlib.contextmanager
def _small_disk(folder):
    """A disk of 4 MiB where it may be mounted; elsewhere a file ``full`` makes writers say that there is no room."""
    folder.mkdir()
    mounted = False
    if os.geteuid() == 0:
        options = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
        with contextlib.suppress(OSError):
            mounted = subprocess.run(options, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(folder, mounted):
    full = folder / "full"
    with full.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while mounted:
            file.write(bytes(4096))
    return full


def _client(folder, seed, kills):
    environment = os.environ | {"JAX_ENABLE_X64": "1", "NTK_TESTS_FULL": str(folder / "full")}
    argv = [sys.executable, "-m", "tests.verification.faulty", str(folder / "runs"), str(seed), str(kills)]
    return subprocess.Popen(argv, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _ended(client, within=150):
    out, err = client.communicate(timeout=within)
    return client.returncode, out, err


def _wait_for(condition, within=60.0):
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_whatever_happens_every_job_is_there_once_and_the_same_bit_for_bit(tmp_path):
    with _small_disk(tmp_path / "disk") as mounted:
        disk, runs = tmp_path / "disk", tmp_path / "disk" / "runs"
        # Workers are killed, then their client, in the middle.
        first = _client(disk, seed=1, kills=4)
        _wait_for(lambda: len(list(runs.glob("*.nc"))) >= 40 or first.poll() is not None)
        first.send_signal(signal.SIGKILL)
        first.wait()
        there = sorted(runs.glob("*.nc"))
        assert 40 <= len(there) < len(JOBS)
        # One file is cut short and one zeroed.
        cut, zeroed = there[3], there[20]
        cut.write_bytes(cut.read_bytes()[:1000])
        zeroed.write_bytes(bytes(zeroed.stat().st_size))
        # The disk is full: one sentence, nothing torn.
        full = _fill(disk, mounted)
        code, out, err = _ended(_client(disk, seed=2, kills=0))
        assert code == 2, err
        assert "cannot be written (No space left on device)" in out
        full.unlink()
        # Two sweeps share what is left while workers of both are killed.
        both = [_client(disk, seed, kills=2) for seed in (3, 4)]
        ends = [_ended(client) for client in both]
        assert [code for code, _, _ in ends] == [0, 0], ends
        assert "killed" in "".join(out for _, out, _ in ends)

        own = store(runs, processor_name(1))
        names = {own.path(job).name for job in JOBS}
        assert {path.name for path in runs.glob("*.nc")} == names
        assert {path.name for path in runs.iterdir()} == names | {
            "leases",
            f"{cut.name}.damaged",
            f"{zeroed.name}.damaged",
        }
        assert list((runs / "leases").iterdir()) == []
        serial = compute(JOBS, store(tmp_path / "serial"))
        assert own.stored(JOBS) == JOBS
        survived = compute(JOBS, own)
        for job in JOBS:
            np.testing.assert_array_equal(survived[job].walk, serial[job].walk, strict=True)
            assert survived[job].attrs["configuration"] == serial[job].attrs["configuration"]
