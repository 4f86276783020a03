"""Jobs in processes: bound to cores or GPUs, replaced when killed, in chunks, with or without a shared folder."""

import concurrent.futures
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.errors import InputError, StorageError
from tests.verification.light import Deadly, Walk
from verification.data import Source
from verification.engine import compute, worker
from verification.engine.chunks import Chunks, shape_of
from verification.engine.workers import Workers, environments, gpus, shared_out
from verification.jobs.training import Training
from verification.store import Store

ROOT = pathlib.Path(__file__).parents[2]
WALKS = [Walk(seed, steps) for steps in (10, 20) for seed in range(10)]


@pytest.fixture(scope="module")
def workers():
    with Workers(2) as two:
        yield two


def _store(folder, **options):
    return Store(folder, home=("tests",), device="x86_64 CPU, 1 core", **options)


def _equal(some, others, jobs):
    for job in jobs:
        np.testing.assert_array_equal(some[job].walk, others[job].walk, strict=True)


def test_processes_compute_the_same_bits_as_threads_in_other_processes(tmp_path, workers):
    serial = compute(WALKS, Store(tmp_path / "serial", home=("tests",)))
    spread = compute(WALKS, _store(tmp_path / "spread"), executor=workers)
    _equal(serial, spread, WALKS)
    pids = {int(spread[job].pid) for job in WALKS}
    assert os.getpid() not in pids
    assert pids <= set(workers.pids())
    assert spread[WALKS[0]].attrs["device"] == workers.device
    assert len(list((tmp_path / "spread").glob("*.nc"))) == len(WALKS)
    again = compute(WALKS, _store(tmp_path / "spread"), executor=workers)
    assert {int(again[job].pid) for job in WALKS} == pids  # read, not computed
    anew = compute(WALKS[:2], _store(tmp_path / "spread", fresh=True), executor=workers)
    _equal(serial, anew, WALKS[:2])


def test_a_killed_worker_s_job_is_tried_again_and_one_that_always_kills_is_named(tmp_path, workers, capsys):
    survivor, killer, raising = (Deadly(str(tmp_path), times, r) for times, r in ((2, False), (5, False), (5, True)))
    jobs = [*WALKS[:3], killer, survivor, raising, *WALKS[3:]]
    results = compute(jobs, _store(tmp_path), executor=workers)
    assert set(results.failed) == {killer, raising}
    assert int(results[survivor].tries) == 3
    assert all(job in results.computed for job in WALKS)
    shown = capsys.readouterr().err
    assert f"{killer} has failed 3 times: its worker was lost" in shown
    assert f"{raising} has failed 3 times: not today" in shown
    with pytest.raises(worker.JobError, match="lost"):
        results[killer]
    assert len(list((tmp_path / "leases").iterdir())) == 0


class _Elsewhere(concurrent.futures.ThreadPoolExecutor):
    """Workers that see nothing of the client's folder."""

    def submit(self, fn, order):
        return super().submit(fn, dataclasses.replace(order, marker=pathlib.Path("/nowhere/at/all")))


def test_without_a_shared_folder_results_come_back_and_the_client_writes_them(tmp_path):
    with _Elsewhere(2) as pool:
        results = compute(WALKS, store := Store(tmp_path, home=("tests",)), executor=pool)
        assert len(store.stored(WALKS)) == len(WALKS)
        old = int(results[WALKS[0]].pid)
        assert old == os.getpid()
        changed = store.path(WALKS[0])
        store.save(WALKS[0], xr.Dataset({"walk": ("step", np.zeros(10))}, attrs=results[WALKS[0]].attrs))
        fresh = compute(WALKS[:1], Store(tmp_path, fresh=True, home=("tests",)), executor=pool)
        assert fresh[WALKS[0]].walk.values.any()  # not what lay there
        assert changed.exists()


class _Full(concurrent.futures.ThreadPoolExecutor):
    def submit(self, *_):
        return super().submit(lambda: [worker.Done(0, error=StorageError("runs cannot be written (full)."))])


def test_a_full_disk_ends_the_sweep_in_one_sentence(tmp_path):
    with _Full(1) as pool, pytest.raises(StorageError, match="full"):
        compute(WALKS, Store(tmp_path, home=("tests",)), executor=pool)


def test_other_versions_are_refused_and_flags_are_the_client_s(tmp_path, monkeypatch):
    order = worker.order(WALKS[:1], [tmp_path / "a.nc"], pathlib.Path("/nowhere/marker"), "x86_64 CPU, 1 core")
    assert order.x64
    with pytest.raises(InputError, match=r"has jax .*, needs 0\.1 as the client has"):
        worker.carry_out(dataclasses.replace(order, versions=order.versions | {"jax": "0.1"}))
    (done,) = worker.carry_out(order)  # JAX is imported here, and this is another device
    assert "bits may differ" in str(done.error)


def test_a_worker_compiles_as_the_client_or_is_refused(monkeypatch):
    """In a process that has not used JAX the flags are set; in this one XLA has read its own."""
    code = "import os; from verification.engine.worker import device_as_the_client as device; import sys"
    code += "; sys.stdout.write(device('--xla_backend_optimization_level=1') + os.environ['XLA_FLAGS'])"
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run([sys.executable, "-c", code], env=plain, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("--xla_backend_optimization_level=1")
    jax.devices()  # flags that XLA does not know end a process in which it reads them
    monkeypatch.setenv("XLA_FLAGS", "--xla_of_mine=1")
    assert worker.device_as_the_client("--xla_of_mine=1")
    with pytest.raises(InputError, match=r"compiles with XLA_FLAGS='--xla_of_mine=1', needs '' as the client has"):
        worker.device_as_the_client("")


def test_a_worker_stops_when_the_sweep_or_its_client_is_over(tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    marker.touch()
    from ntk_localsgd.provenance import device_name

    order = worker.order(WALKS[:2], [tmp_path / "a.nc", tmp_path / "b.nc"], marker, device_name())
    monkeypatch.setattr(worker, "save", lambda *_: marker.unlink(missing_ok=True))
    assert len(worker.carry_out(order)) == 1
    assert worker.carry_out(order) == []  # nor does it begin
    marker.touch()
    monkeypatch.setenv(worker.PARENT, "1")
    assert worker.carry_out(order) == []


def test_errors_that_cannot_be_sent_come_as_words():
    class Odd(Exception):
        def __init__(self, a, b):
            super().__init__(f"{a} and {b}")

    assert isinstance(worker._portable(ValueError("a")), ValueError)
    assert str(worker._portable(Odd("a", "b"))) == "Odd: a and b"


def test_shapes_depend_on_widths_and_not_on_seeds_or_step_sizes():
    job = Training(Source("digits", 8, 0), 2, 16, 0.1, 2, 3, seeds=(1, 2))
    for same in ({"seeds": (3, 4)}, {"step_size": 0.2}, {"data": Source("digits", 8, 5)}):
        assert shape_of(dataclasses.replace(job, **same)) == shape_of(job)
    for other in ({"seeds": (1, 2, 3)}, {"width": 17}, {"dtype": "float64"}, {"data": Source("digits", 9, 0)}):
        assert shape_of(dataclasses.replace(job, **other)) != shape_of(job)


def test_chunks_hold_one_shape_grow_with_what_is_known_and_leave_something_for_all():
    chunks = Chunks(WALKS, together=True, workers=2)
    assert chunks.next() == WALKS[:1]  # nothing is known yet
    chunks.took(WALKS[0], 0.002)
    assert chunks.next() == WALKS[1:4]  # a quarter of what waits
    chunks.took(WALKS[0], 1e6)
    assert chunks.next() == WALKS[4:5]
    chunks.alone([WALKS[1]])
    assert chunks.next() == [WALKS[1]]
    left = []
    while chunks:
        left += chunks.next()
    assert left == WALKS[5:]
    assert chunks.next() == []
    mixed = Chunks([WALKS[0], WALKS[10], WALKS[1]], together=False, workers=2)
    assert [mixed.next() for _ in range(3)] == [[WALKS[0]], [WALKS[10]], [WALKS[1]]]


def test_cores_are_shared_out_evenly_and_gpus_in_turn(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 6}, raising=False)
    assert shared_out(2) == [[0, 1], [2, 3]]
    assert shared_out(6) == [[0], [1], [2], [3], [6], [0]]
    four = environments(4, ["3", "7"], 1)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in four] == ["3", "7", "3", "7"]
    assert {each["XLA_PYTHON_CLIENT_MEM_FRACTION"] for each in four} == {"0.375"}
    assert "CUDA_VISIBLE_DEVICES" not in environments(2, [], 1)[0]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    assert gpus() == ["2", "5"]
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert gpus() == []


def test_no_workers_are_refused():
    with pytest.raises(InputError, match="workers is 0"):
        Workers(0)


def test_workers_end_when_their_client_is_killed():
    program = (
        "import os, time\nfrom verification.engine.workers import Workers\n"
        "print(Workers(1).submit(os.getpid).result(), flush=True)\ntime.sleep(60)"
    )
    client = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    worker_pid = int(client.stdout.readline())
    os.kill(worker_pid, 0)  # is there
    client.send_signal(signal.SIGKILL)
    client.wait()
    for _ in range(100):
        try:
            os.kill(worker_pid, 0)
        except ProcessLookupError:
            return
        if _zombie(worker_pid):
            return
        time.sleep(0.1)
    pytest.fail("the worker is still there after ten seconds")


def _zombie(pid):
    """Ended, but not yet taken leave of by whoever has adopted it."""
    try:
        return " Z " in pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:4]
    except OSError:
        return False
