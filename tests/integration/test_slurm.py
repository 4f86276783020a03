"""Sweeps through a real Slurm of one node, started by slurm.sh on loopback."""

import os
import pathlib
import shutil
import socket
import subprocess
import time

import numpy as np
import pytest

from tests.verification.light import Deadly, Walk
from verification import commands as command
from verification import registry
from verification.engine import cluster, compute
from verification.store import Store

HERE = pathlib.Path(__file__).parent
# As the kernel writes them: 127.0.0.1, ::1, ::ffff:127.0.0.1.
_LOOPBACKS = ("0100007F", "0" * 24 + "01000000", "0000000000000000FFFF00000100007F")

WALKS = [Walk(seed, steps) for steps in (10, 20) for seed in range(10)]


def _missing():
    """What there is not, of what a Slurm here needs."""
    absent = [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "Slurm's daemons are started by root only"


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(_missing()), reason=_missing() or "all is there")]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Configuration for --cluster-config, while Slurm runs."""
    for name in ("distributed", "dask_jobqueue"):
        pytest.importorskip(name, reason="the extra cluster is not installed: make extras")
    folder = tmp_path_factory.mktemp("slurm")
    for parent in (folder, *folder.parents[:2]):  # munge's clients pass through
        parent.chmod(0o755)
    ports = [str(port) for port in _free_ports(2)]
    started = subprocess.run(
        ["bash", str(HERE / "slurm.sh"), "start", str(folder), *ports], capture_output=True, text=True, check=False
    )
    try:
        assert started.returncode == 0, started.stderr
        config = folder / "my.toml"
        config.write_text(f"""
jobs = 1
partition = "test"
cores = 1
memory = "1GB"
walltime = "00:05:00"
dask = {{ log_directory = "{folder}/log/jobs", death_timeout = 60 }}
""")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            yield config
            for _ in range(100):  # jobs end with their sweep, for which their daemon is needed
                if not (queue := subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=False).stdout):
                    break
                time.sleep(0.2)
            assert queue == ""
    finally:
        subprocess.run(["bash", str(HERE / "slurm.sh"), "stop", str(folder)], check=False)


def _free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _open_to_the_world():
    """Local addresses, in the kernel's notation, that are listened at and are not of loopback."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            if state == "0A" and not local.startswith(_LOOPBACKS):
                found.add(local)
    return found


def test_a_sweep_on_slurm_is_that_of_this_machine_and_listens_on_loopback_only(tmp_path, slurm, capsys):
    serial = compute(WALKS, Store(tmp_path / "serial", home=("tests",)))
    before = _open_to_the_world()
    with cluster.slurm(slurm) as executor:
        assert "scheduler tcp://127.0.0.1:" in capsys.readouterr().err
        killer = Deadly(str(tmp_path), 1)
        store = Store(tmp_path / "spread", home=("tests",), device=executor.device)
        spread = compute([*WALKS, killer], store, executor=executor)
        assert _open_to_the_world() <= before
    for job in WALKS:
        np.testing.assert_array_equal(serial[job].walk, spread[job].walk, strict=True)
    assert int(spread[killer].tries) == 2
    assert {int(spread[job].pid) for job in WALKS} != {os.getpid()}


def test_the_command_runs_on_slurm_and_goes_on_where_it_was(tmp_path, slurm, capsys):
    registry.discover()
    argv = ["run", "K2", "--preset", "smoke", "--out", str(tmp_path), "--cluster", "slurm"]
    argv += ["--cluster-config", str(slurm)]
    assert command.main(argv) == 0
    assert "from the store" not in capsys.readouterr().err
    assert command.main(argv) == 0
    assert "from the store" in capsys.readouterr().err
