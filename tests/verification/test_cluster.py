"""Other machines: a Dask scheduler on loopback, options of Slurm jobs, what is refused; Slurm is in integration."""

import logging
import pathlib
import sys

import numpy as np
import pytest

from ntk_localsgd.errors import InputError
from tests.verification.light import Deadly, Walk
from verification import commands as command
from verification import registry
from verification.engine import cluster, compute, executors
from verification.store import Store

WALKS = [Walk(seed, steps) for steps in (10, 20) for seed in range(6)]


@pytest.fixture(scope="module")
def dask_cluster():
    distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed: make extras")
    dask = pytest.importorskip("dask")
    quiet = {"distributed.scheduler.allowed-failures": 0, "distributed.worker.memory.terminate": False}
    with dask.config.set(quiet):
        options = {"n_workers": 1, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
        with distributed.LocalCluster(**options, silence_logs=logging.CRITICAL) as local:
            yield local


def test_a_dask_scheduler_s_workers_compute_the_same_bits(tmp_path, dask_cluster, capsys):
    serial = compute(WALKS, Store(tmp_path / "serial", home=("tests",)))
    with cluster.connected(dask_cluster.scheduler_address) as executor:
        assert dask_cluster.scheduler_address in capsys.readouterr().err
        store = Store(tmp_path / "spread", home=("tests",), device=executor.device)
        killer = Deadly(str(tmp_path), 1)
        spread = compute([*WALKS, killer], store, executor=executor)
        for job in WALKS:
            np.testing.assert_array_equal(serial[job].walk, spread[job].walk)
        assert int(spread[killer].tries) == 2  # tried again by the worker that has come in place of the killed one
        assert len(list((tmp_path / "spread").glob("*.nc"))) == len(WALKS) + 1


def test_the_command_runs_on_a_cluster(tmp_path, dask_cluster):
    registry.discover()
    argv = ["run", "K2", "--preset", "smoke", "--out", str(tmp_path), "--cluster", dask_cluster.scheduler_address]
    assert command.main(argv) == 0


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["--workers", "0"], "workers is 0"),
        (["--workers", "2", "--cluster", "tcp://127.0.0.1:1"], "needs to be one of them"),
        (["--cluster", "here"], "needs to be tcp://host:port"),
        (["--cluster", "slurm"], "belong together"),
        (["--cluster-config", "a.toml"], "belong together"),
        (["--cluster", "slurm", "--cluster-config", "absent.toml"], "absent.toml cannot be read"),
    ],
)
def test_bad_options_are_one_sentence(tmp_path, capsys, argv, named):
    registry.discover()
    assert command.main(["run", "C5", "--preset", "smoke", "--out", str(tmp_path), *argv]) == 2
    told = capsys.readouterr().err
    assert named in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("jobs = ", "no TOML"),
        ("jobs = 2", "lacks memory"),
        ("memory = '1GB'", "lacks jobs"),
        ("jobs = 0\nmemory = '1GB'", "jobs is 0"),
        ("jobs = '2'\nmemory = '1GB'", "needs to be of type int"),
        ("jobs = 2\nmemory = '1GB'\nqueue = 'a'", "'queue'"),
    ],
)
def test_a_configuration_is_checked_before_anything_is_asked_for(tmp_path, text, named):
    path = tmp_path / "my.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=named), cluster.slurm(path):
        pass


def test_an_absent_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(InputError, match=r"cluster needs distributed: make extras"),
        executors.chosen(cluster="tcp://127.0.0.1:1"),
    ):
        pass


def test_a_slurm_job_asks_for_what_the_configuration_says_and_listens_on_loopback_only():
    jobqueue = pytest.importorskip("dask_jobqueue", reason="the extra cluster is not installed: make extras")
    settings = {"jobs": 2, "cores": 4, "memory": "8GB", "partition": "short", "walltime": "00:10:00", "gpus": 2}
    options = cluster.slurm_options(settings | {"dask": {"account": "me", "job_extra_directives": ["--exclusive"]}})
    with jobqueue.SLURMCluster(**options) as made:
        script = made.job_script()
        assert made.scheduler_address.startswith("tcp://127.0.0.1:")
    for line in ("-p short", "-A me", "--cpus-per-task=4", "--mem=8G", "-t 00:10:00", "--gres=gpu:2", "--exclusive"):
        assert f"#SBATCH {line}" in script
    assert "--nthreads 1" in script
    assert "--host 127.0.0.1" in script
    assert "--host" not in cluster.slurm_options(settings | {"address": "10.0.0.5"})["worker_extra_args"]
    assert cluster.slurm_options(settings | {"address": "10.0.0.5"})["scheduler_options"]["host"] == "10.0.0.5"


def test_workers_listen_on_loopback_where_the_scheduler_does():
    arguments = cluster.slurm_options({"jobs": 1, "memory": "8GB"})["worker_extra_args"]
    assert arguments[arguments.index("--host") + 1] == "127.0.0.1"


def test_no_address_of_a_network_is_written_into_the_code():
    text = pathlib.Path(cluster.__file__).read_text()
    assert "0.0.0.0" not in text
