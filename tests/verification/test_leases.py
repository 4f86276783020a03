"""Leases: one owner a job, whoever comes first; left ones are taken over by one."""

import os
import subprocess
import sys
import threading
import time

import pytest

from ntk_localsgd.errors import StorageError
from verification.engine import leases
from verification.engine.leases import Leases


def test_a_job_is_one_sweeps_until_it_gives_it_back(tmp_path):
    with Leases(tmp_path) as first, Leases(tmp_path) as second:
        assert first.acquire(["a", "b"]) == {"a", "b"}
        assert second.acquire(["a", "b", "c"]) == {"c"}
        first.release(["a"])
        assert second.acquire(["a", "b"]) == {"a"}
        second.release(["b"])  # not its own: nothing happens
        assert second.acquire(["b"]) == set()
    assert list((tmp_path / "leases").iterdir()) == []


_DYING = """
import pathlib, sys, os, signal
from verification.engine.leases import Leases
Leases(pathlib.Path(sys.argv[1])).__enter__().acquire(["a"])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_lease_of_a_process_that_is_gone_is_taken_over_at_once_and_by_one(tmp_path):
    assert subprocess.run([sys.executable, "-c", _DYING, str(tmp_path)], check=False).returncode == -9
    assert {path.suffix for path in (tmp_path / "leases").iterdir()} == {".lease", ".sweep"}
    with Leases(tmp_path) as first, Leases(tmp_path) as second:
        assert len(list(first.folder.glob("*.sweep"))) == 2  # the dead one's is gone
        assert first.acquire(["a"]) == {"a"}
        assert second.acquire(["a"]) == set()
        first.release(["a"])
        assert second.acquire(["a"]) == {"a"}
    assert list(first.folder.iterdir()) == []


def test_who_comes_late_to_a_left_lease_takes_nothing_from_those_who_came_meanwhile(tmp_path, monkeypatch):
    assert subprocess.run([sys.executable, "-c", _DYING, str(tmp_path)], check=False).returncode == -9
    with Leases(tmp_path) as first, Leases(tmp_path) as late, Leases(tmp_path) as third:
        create = late._create

        def slow(name, generation):  # between what it has seen of the dead one and its own lease
            if generation:
                assert first.acquire([name]) == {name}
                first.release([name])
                assert third.acquire([name]) == {name}
            return create(name, generation)

        with monkeypatch.context() as patch:
            patch.setattr(late, "_create", slow)
            assert late.acquire(["a"]) == set()
        assert first.acquire(["a"]) == set()
        third.release(["a"])
        assert late.acquire(["a"]) == {"a"}
    assert list(first.folder.iterdir()) == []


def test_what_the_dead_have_left_on_stored_results_is_swept_up(tmp_path):
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", _DYING, str(tmp_path)], check=False).returncode == -9
        with Leases(tmp_path) as own:
            pass
        assert [path.name for path in own.folder.iterdir()] == ["a.0.lease"]  # somebody will ask for it
        (tmp_path / "a.nc").touch()
        with Leases(tmp_path):
            pass
        assert list(own.folder.iterdir()) == []
        (tmp_path / "a.nc").unlink()


def test_a_number_that_another_process_has_now_does_not_keep_a_lease(tmp_path, monkeypatch):
    with Leases(tmp_path) as first, Leases(tmp_path) as second:
        with monkeypatch.context() as patch:
            patch.setattr(leases, "_begun", lambda _: "1")  # somebody of the same number, long ago
            first.acquire(["a"])
        assert second.acquire(["a"]) == {"a"}


def test_a_lease_of_another_machine_expires_when_it_shows_no_sign_of_life(tmp_path, monkeypatch):
    with Leases(tmp_path, expiry=0.4) as first, Leases(tmp_path, expiry=0.4) as second:
        with monkeypatch.context() as patch:
            patch.setattr(leases, "_machine", lambda: "elsewhere/1/2")
            first.acquire(["a"])
        for _ in range(8):  # longer than it takes to expire: the first one touches it all the time
            assert second.acquire(["a"]) == set()
            time.sleep(0.1)
        first._over.set()
        first._beating.join()
        assert second.acquire(["a"]) == set()
        time.sleep(0.5)
        assert second.acquire(["a"]) == {"a"}


def test_of_many_who_want_the_same_at_the_same_time_each_job_goes_to_one(tmp_path):
    assert subprocess.run([sys.executable, "-c", _DYING, str(tmp_path)], check=False).returncode == -9
    names, got = ["a", *map(str, range(20))], []
    barrier = threading.Barrier(8)

    def want():
        with Leases(tmp_path) as own:
            barrier.wait()
            got.extend(own.acquire(names))
            barrier.wait()

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(names)


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with Leases(tmp_path) as own:
        for function in ("open", "write"):
            with monkeypatch.context() as patch:
                patch.setattr(os, function, full)
                with pytest.raises(StorageError, match="No space left"):
                    own.acquire(["a"])
            assert list(own.folder.glob("*.lease")) == []
