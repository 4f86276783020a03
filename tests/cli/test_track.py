"""``ntk-localsgd track``: what it writes is the library's run, whole, resumed or interrupted."""

import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ntk_localsgd import cli, clients, datasets, local_sgd, prediction
from ntk_localsgd.cli.track import observables
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels import empirical_gram
from ntk_localsgd.networks import TwoLayerReLU, load_network

DATA = datasets.sphere(jax.random.key(0), 6, 5)
HOLDERS = np.array([0, 1, 1, 2, 0, 2])
FEW = ["--local-steps", "3", "--rounds", "6", "--every", "2"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", inputs=DATA.inputs, targets=DATA.targets, client=HOLDERS)
    TwoLayerReLU.init(jax.random.key(1), width=60, input_dim=5, dtype=np.float64).save("net.npz")
    return tmp_path


def _track(*argv):
    return cli.main(["track", "data.npz", *FEW, *argv])


def _written(name="data", out="results"):
    with xr.open_dataset(f"{out}/track-{name}.nc", engine="h5netcdf") as opened:
        return opened.load()


def test_what_is_written_is_the_run_of_the_given_network(folder, capsys):
    assert _track("--weights", "net.npz", "--step-size", "0.4", "--observe", "movement,gradient_norm,drift") == 0
    net, split = TwoLayerReLU.load("net.npz"), clients.from_assignment(HOLDERS)
    config = local_sgd.LocalSGD(0.4, 3, 6)
    observed = ("frobenius_movement", "gradient_norm", "client_drift")
    run, written = local_sgd.run(net, DATA, split, config, observe=observed), _written()
    for name in ("loss", "frobenius_movement", "gradient_norm"):
        np.testing.assert_allclose(written[name], run.trajectory[name], rtol=1e-9)
    np.testing.assert_allclose(written.client_drift, run.trajectory.client_drift.isel(local_step=-1), rtol=1e-9)
    residual = np.asarray(net(DATA.inputs)) - DATA.targets
    path = prediction.local_gd(np.asarray(empirical_gram(net, DATA.inputs)), split, residual, config)
    np.testing.assert_allclose(written.predicted_loss, (path**2).sum(axis=1) / 2, rtol=1e-9)
    assert written.attrs["local_steps"] == 3
    assert written.loss.attrs["units"] == "target²"
    table = pd.read_csv("results/track-data.csv", index_col="round")
    np.testing.assert_allclose(table.largest_client_drift, written.client_drift.max("client"), rtol=1e-12)
    np.testing.assert_allclose(load_network("results/track-data-network.npz").weights, run.network.weights, rtol=1e-9)
    assert (folder / "results" / "track-data.png").read_bytes()[:4] == b"\x89PNG"
    assert (folder / "results" / "track-data.pdf").read_bytes()[:4] == b"%PDF"
    assert f"{float(run.trajectory.loss[-1]):.6g}" in capsys.readouterr().out


@pytest.mark.parametrize("more", [[], ["--batch-size", "1", "--observe", "path_length,eigenvalue", "--scale", "9"]])
def test_a_run_that_goes_on_is_the_whole_run(folder, more):
    assert _track("--width", "40", "--out", "whole", *more) == 0
    assert _track("--width", "40", "--rounds", "3", *more) == 0
    assert _track("--width", "40", "--resume", *more) == 0
    xr.testing.assert_allclose(_written(), _written(out="whole"), rtol=1e-10, atol=1e-13)


@pytest.mark.usefixtures("folder")
def test_the_scale_changes_units_and_not_what_moves():
    small = ["--width", "40", "--every-step", "--observe", "movement,drift,local_loss,eigenvalue"]
    assert _track(*small, "--coupled", "--scale", "1", "--out", "one") == 0
    assert _track(*small, "--coupled", "--scale", "50", "--out", "fifty") == 0
    one, fifty = _written(out="one"), _written(out="fifty")
    assert one.loss[0] == pytest.approx(3) == fifty.loss[0]
    assert fifty.local_loss[0, 0].sum() == pytest.approx(3)
    assert float(one.frobenius_movement[-1] / fifty.frobenius_movement[-1]) == pytest.approx(50, rel=0.3)
    np.testing.assert_allclose(fifty.smallest_eigenvalue[0], 2500 * one.smallest_eigenvalue[0], rtol=1e-8)
    assert fifty.attrs["step_size"] == pytest.approx(one.attrs["step_size"] / 2500)
    np.testing.assert_allclose(fifty.predicted_loss, fifty.loss, rtol=0.05)
    steps = pd.read_csv("one/track-data-local_steps.csv")
    assert len(steps) == 7 * 4 * 3
    assert {"round", "local_step", "client", "client_drift", "local_loss"} <= set(steps)


def test_deep_networks_and_other_activations_are_tracked(folder):
    deep = ["--depth", "2", "--width", "12", "--activation", "tanh", "--observe", "layer_flip_fraction"]
    (folder / "who.txt").write_text("b\na\na\nb\nb\na\n")
    assert _track(*deep, "--assignment", "who.txt") == 0
    written, table = _written(), pd.read_csv("results/track-data.csv")
    assert written.attrs["depth"] == 2
    assert written.attrs["client_sizes"].tolist() == [3, 3]
    assert {"layer_flip_fraction_0", "layer_flip_fraction_1"} <= set(table)
    net = load_network("results/track-data-network.npz")
    assert ((np.asarray(net(DATA.inputs)) - DATA.targets) ** 2).sum() / 2 == pytest.approx(float(written.loss[-1]))


@pytest.mark.usefixtures("folder")
def test_a_run_that_diverges_says_so(capsys):
    assert _track("--width", "20", "--step-size", "1000", "--rounds", "40") == 1
    assert "the run diverged" in capsys.readouterr().out
    assert len(_written()["round"]) < 41


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--observe", "movment"], "'movment', which is no observable: did you mean movement"),
        (["--resume"], "track-data.nc cannot be read, needs to be there for --resume"),
        (["--every", "0"], "every is 0"),
        (["--depth", "2", "--coupled"], "deep networks have no coupled neurons"),
        (["--assignment", "data.npz"], "data.npz cannot be read"),
        (["--assignment", "no.txt", "--clients", "2"], "leave one of them out"),
        (["--weights", "net.npz", "--depth", "3"], "depth is 3, but weights net.npz"),
        (["--scale", "0"], "scale is 0.0"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_bad_input_ends_in_one_sentence(capsys, argv, words):
    assert _track(*argv) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.usefixtures("folder")
def test_another_run_is_not_taken_for_this_one(capsys):
    assert _track("--width", "20", "--rounds", "2") == 0
    assert _track("--width", "20", "--resume", "--seed", "1") == 2
    assert "is of another run (start was" in capsys.readouterr().err
    assert _track("--width", "20", "--resume", "--rounds", "1") == 2
    assert "holds 2 already" in capsys.readouterr().err
    TwoLayerReLU.init(jax.random.key(1), width=20, input_dim=5, dtype=np.float64).save("results/track-data-network.npz")
    assert _track("--width", "20", "--resume") == 2
    assert "is not the network of" in capsys.readouterr().err


_INTERRUPTED = """
import os, signal, sys
from ntk_localsgd import cli, local_sgd
whole = local_sgd.run
def run(*args, **options):
    ended = whole(*args, **options)
    if ended.trajectory["round"][-1] == 4:
        os.kill(os.getpid(), signal.SIGINT)
    return ended
local_sgd.run = run
sys.exit(cli.main("track data.npz --local-steps 3 --rounds 6 --every 2 --width 20".split()))
"""


def test_an_interrupted_run_keeps_its_rounds(folder):
    root = os.path.dirname(os.path.dirname(cli.__path__[0]))
    ended = subprocess.run([sys.executable, "-c", _INTERRUPTED], env=os.environ | {"PYTHONPATH": root}, check=False,
                           capture_output=True, text=True, encoding="utf-8", cwd=folder)  # fmt: skip
    assert ended.returncode == 128 + signal.SIGINT
    kept = len(_written()["round"]) - 1
    assert f"interrupted; {kept} rounds are kept in results/track-data.nc, --resume goes on" in ended.stderr
    assert kept in (2, 4)
    assert _track("--width", "20", "--resume") == 0
    assert len(_written()["round"]) == 7


def test_short_names_are_observables():
    assert observables("movement, flips,flip_fraction") == ("frobenius_movement", "flip_fraction")
    with pytest.raises(InputError):
        observables("nothing like it")
