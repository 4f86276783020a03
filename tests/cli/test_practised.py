"""``ntk-localsgd track`` with what federated learning libraries run: the run, its prediction, and what is said."""

import jax
import numpy as np
import pytest
import xarray as xr

from ntk_localsgd import cli, clients, datasets, local_sgd, prediction
from ntk_localsgd.cli.inputs import purpose_key
from ntk_localsgd.kernels import empirical_gram
from ntk_localsgd.networks import TwoLayerReLU

DATA = datasets.sphere(jax.random.key(0), 9, 5)
HOLDERS = np.array([0, 1, 1, 2, 0, 2, 1, 1, 2])
SPLIT = clients.from_assignment(HOLDERS)
FAST = ["--every", "4", "--observe", "movement"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", inputs=DATA.inputs, targets=DATA.targets, client=HOLDERS)
    TwoLayerReLU.init(jax.random.key(1), width=20, input_dim=5, dtype=np.float64).save("net.npz")
    (tmp_path / "weights.txt").write_text("1\n2\n5\n")
    (tmp_path / "factors.txt").write_text("1 0.5 0.5 0.25 2 2")
    return tmp_path


def _track(*argv):
    return cli.main(["track", "data.npz", "--weights", "net.npz", "--step-size", "0.4", *FAST, *argv])


def _written(out="results"):
    with xr.open_dataset(f"{out}/track-data.nc", engine="h5netcdf") as opened:
        return opened.load()


OPTIONS = {
    "fedavg": (
        ["--local-epochs", "2", "--batch-size", "2", "--mean-loss", "--client-weights", "samples", "--proximal", "0.1"],
        {
            "local_steps": local_sgd.epoch_steps(SPLIT, 2, 2), "batch_size": 2, "batches": "epochs", "proximal": 0.1,
            "reduction": "mean", "client_weights": "samples",
        },
    ),
    "server": (
        ["--local-steps", "2", "--server-momentum", "0.5", "--server-step-size", "0.5", "--step-factors", "sqrt"],
        {
            "local_steps": 2, "server": local_sgd.Momentum(0.5), "server_step_size": 0.5,
            "step_factors": (1 + np.arange(6)) ** -0.5,
        },
    ),
    "adam": (
        ["--local-steps", "2", "--server-adam", "1e-3", "--server-step-size", "0.01", "--client-momentum", "0.5"],
        {
            "local_steps": 2, "server": local_sgd.Adam(epsilon=1e-3), "server_step_size": 0.01, "client_momentum": 0.5,
        },
    ),
    "files": (
        [
            "--local-steps", "2", "--client-weights", "weights.txt", "--step-factors", "factors.txt",
            "--participants", "2",
        ],
        {
            "local_steps": 2, "client_weights": (1, 2, 5), "step_factors": (1, 0.5, 0.5, 0.25, 2, 2), "participants": 2,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.usefixtures("folder")
def test_options_are_settings_of_the_library_and_a_run_goes_on(name, capsys):
    argv, settings = OPTIONS[name]
    assert _track(*argv, "--rounds", "6") == 0
    said = capsys.readouterr().out
    config = local_sgd.LocalSGD(0.4, num_rounds=6, **settings)
    net = TwoLayerReLU.load("net.npz")
    key = purpose_key(0, 2) if config.random else None
    run, whole = local_sgd.run(net, DATA, SPLIT, config, key=key), _written()
    np.testing.assert_allclose(whole.loss, run.trajectory.loss, rtol=1e-9)
    assert "no theorem here and no certificate speaks of" in said
    gram, residual = np.asarray(empirical_gram(net, DATA.inputs)), np.asarray(net(DATA.inputs)) - DATA.targets
    if name == "server":
        path = prediction.local_gd(gram, SPLIT, residual, config)
        np.testing.assert_allclose(whole.predicted_loss, (path**2).sum(axis=1) / 2, rtol=1e-9)
    elif name == "files":
        moments = prediction.local_sgd_second_moment(gram, SPLIT, residual, config)
        np.testing.assert_allclose(whole.predicted_loss, moments / 2, rtol=1e-9)
    else:
        assert "no prediction: " in said
        assert "predicted_loss" not in whole
    if name != "adam":  # which remembers most
        return
    assert _track(*argv, "--rounds", "3", "--out", "half") == 0
    assert _track(*argv, "--rounds", "6", "--out", "half", "--resume") == 0
    np.testing.assert_allclose(_written("half").loss, whole.loss, rtol=1e-10)


@pytest.mark.usefixtures("folder")
def test_rows_are_held_out_and_evaluated(capsys):
    steps = ["--local-steps", "2", "--rounds", "4", "--clients", "2", "--hold-out", "0.3"]
    assert _track(*steps) == 0
    whole = _written()
    assert whole.attrs["num_samples"] == 6
    assert whole.attrs["client_sizes"].sum() == 6
    assert whole.held_out_loss.shape == (5,)
    assert "3 rows are held out" in capsys.readouterr().out
    order = np.asarray(whole.held_out_error)
    assert set(np.round(order * 3)) <= {0, 1, 2, 3}
    net = TwoLayerReLU.load("results/track-data-network.npz")
    errors = (np.asarray(net(DATA.inputs)) - DATA.targets) ** 2
    kept = errors.sum() / 2 - float(whole.loss[-1])  # what is not in the loss of those that are trained on
    assert float(whole.held_out_loss[-1]) == pytest.approx(kept / 3, rel=1e-9)


@pytest.mark.usefixtures("folder")
def test_small_clients_take_all_they_hold_and_it_is_said(capsys):
    assert _track("--local-steps", "2", "--rounds", "2", "--batch-size", "3") == 0
    assert "1 client of 2 … 2 samples takes all of them for a batch of 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "--local-steps or --local-epochs is needed, and not both"),
        (["--local-epochs", "1"], "--local-epochs is 1, which needs --batch-size"),
        (["--local-steps", "1", "--server-adam", "1e-3"], "--server-adam is set, which needs --server-step-size"),
        (["--local-steps", "1", "--client-weights", "none.txt"], "--client-weights is none.txt, needs to be uniform"),
        (["--local-steps", "1", "--step-factors", "factors.txt", "--rounds", "9"], "--step-factors are 6, need to be"),
        (["--local-steps", "1", "--participants", "0"], "--participants is 0"),
        (["--local-steps", "1", "--participants", "9"], "--participants is 9, needs to be at most K = 3"),
        (["--local-steps", "1", "--hold-out", "2"], "--hold-out is 2, needs to be a share of the 9 rows"),
        (["--local-steps", "1", "--hold-out", "0.2", "--scale", "2"], "--hold-out is set, but"),
        (["--local-steps", "1", "--min-samples", "2"], "--min-samples is 2, but without --clients"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_does_not_go_together_is_one_sentence(capsys, argv, words):
    rounds = [] if "--rounds" in argv else ["--rounds", "2"]
    assert _track(*argv, *rounds) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
