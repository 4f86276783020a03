"""``ntk-localsgd diagnose``: its numbers are those of the library, its advice is that of the changed setting."""

import json

import jax
import numpy as np
import pytest

from ntk_localsgd import cli, clients, datasets, diagnosis, prediction
from ntk_localsgd.cli.diagnose import Diagnose, changes
from ntk_localsgd.cli.start import read_start
from ntk_localsgd.kernels import empirical_gram
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.networks import TwoLayerReLU

DATA = datasets.digits(12, classes=(3, 8), key=jax.random.key(0))
HOLDERS = np.argsort(np.argsort(DATA.targets, kind="stable")) // 4


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", inputs=DATA.inputs, targets=DATA.targets, client=HOLDERS)
    TwoLayerReLU.init(jax.random.key(1), width=300, input_dim=64, dtype=np.float64).save("net.npz")
    return tmp_path


def _diagnose(*argv):
    code = cli.main(["diagnose", "data.npz", "--local-steps", "4", "--weights", "net.npz", *argv])
    with open("results/diagnose-data.json", encoding="utf-8") as file:
        return code, json.load(file)


def test_what_is_written_is_the_diagnosis_of_the_given_network(folder, capsys):
    code, written = _diagnose("--step-size", "0.05", "--rounds", "30")
    shown = capsys.readouterr().out
    assert code == 0
    net, split, config = TwoLayerReLU.load("net.npz"), clients.from_assignment(HOLDERS), LocalSGD(0.05, 4, 30)
    gram, residual = np.asarray(empirical_gram(net, DATA.inputs)), np.asarray(net(DATA.inputs)) - DATA.targets
    assert written["largest_stable_step_size"] == pytest.approx(
        diagnosis.largest_stable_step(gram, split, config), rel=1e-5
    )
    local, central = (
        np.square(follow(gram, split, residual, config)).sum(axis=1) / 2
        for follow in (prediction.local_gd, diagnosis.centralized)
    )
    np.testing.assert_allclose(written["loss"]["local"], local, rtol=1e-8)
    np.testing.assert_allclose(written["loss"]["centralized"], central, rtol=1e-8)
    near = written["loss_over_centralized"]["round"]
    assert written["loss_over_centralized"]["quotient"] == pytest.approx(local[near] / central[near], rel=1e-8)
    assert near == 30 or central[near] <= 0.01 * central[0] < central[near - 1]
    order = np.argsort(-np.square(np.linalg.eigh(gram)[1][:, 0]))
    assert written["decisive_rows"] == (order[:8] + 1).tolist()
    assert f"{written['largest_stable_step_size']:.6g}" in shown
    assert written["conventions"][3]["step_sizes"] == pytest.approx([0.05 * 4 / 2] * 3)
    assert (folder / "results" / "diagnose-data.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.usefixtures("folder")
def test_the_scale_leaves_rates_and_divides_steps():
    (_, plain), (_, lazy) = _diagnose(), _diagnose("--scale", "100")
    assert lazy["rounds_per_tenth"] == pytest.approx(plain["rounds_per_tenth"], rel=1e-6)
    for name in ("largest_step_size", "largest_stable_step_size"):
        assert lazy[name] == pytest.approx(plain[name] / 10**4, rel=1e-5)
    assert lazy["loss"]["local"][0] == pytest.approx(6, rel=1e-9)


@pytest.mark.usefixtures("folder")
def test_a_step_that_is_too_large_is_diagnosed_and_not_refused(capsys):
    code, written = _diagnose("--step-size", "100")
    assert code == 0
    assert written["rounds_per_tenth"] is None
    shown = capsys.readouterr().out
    assert "never" in shown
    assert "beyond which no convergence is proved" in shown.replace("\n", " ")
    assert written["changes"][1]["what"].startswith("--step-size")


@pytest.mark.usefixtures("folder")
def test_every_change_is_what_the_changed_setting_gives():
    options = Diagnose(data="data.npz", local_steps=1, weights="net.npz", step_size=0.01)
    start = read_start(options, proved=False)
    found = {change.what: change.rounds for change in changes(start, start.config(options, 0), key=jax.random.key(0))}
    own = found.pop("as it is")
    assert all(rounds < 0.95 * own for rounds in found.values())
    assert list(found.values()) == sorted(found.values())
    gram, config = start.gram.matrix, LocalSGD(0.01, 1, 0)
    row = int(diagnosis.decisive_samples(gram).rows[0])
    kept = np.delete(np.arange(12), row)
    split = clients.from_assignment(HOLDERS[kept])
    rate = prediction.contraction(gram[np.ix_(kept, kept)], split, config).asymptotic_rate
    assert found[f"without row {row + 1} (from 1)"] == pytest.approx(diagnosis.rounds_per_tenth(rate), rel=1e-9)
    assert found["--local-steps 2"] == pytest.approx(own / 2, rel=0.02)


@pytest.mark.usefixtures("folder")
def test_columns_of_other_units_are_found_out():
    rows = np.random.default_rng(0).normal(size=(8, 3)) + np.array([0, 0, 50])
    np.savez("units.npz", inputs=rows, targets=np.ones(8), client=np.arange(8) % 2)
    assert cli.main(["diagnose", "units.npz", "--local-steps", "2", "--width", "2000"]) == 0
    with open("results/diagnose-units.json", encoding="utf-8") as file:
        own, best, *_ = json.load(file)["changes"]
    assert best["what"] == "--standardise"
    assert cli.main(["diagnose", "units.npz", "--local-steps", "2", "--width", "2000", "--standardise"]) == 0
    with open("results/diagnose-units.json", encoding="utf-8") as file:
        assert json.load(file)["rounds_per_tenth"] == pytest.approx(best["rounds"], rel=1e-9)
    assert best["rounds"] < own["rounds"] / 100


@pytest.mark.usefixtures("folder")
def test_means_and_weights_of_fedavg_are_diagnosed_as_such(capsys):
    _, plain = _diagnose()
    _, fedavg = _diagnose("--mean-loss", "--client-weights", "samples", "--batch-size", "2", "--epochs", "3")
    assert fedavg["conventions"][0]["loss"] == "½ mean (f − y)², as here"
    assert "DataLoader(batch_size=2, shuffle=True), 3 epochs" in fedavg["options"]["PyTorch loop"]
    # Clients of four samples each: means with n_c/n are sums with 1/K and a quarter of the step.
    assert fedavg["largest_step_size"] == pytest.approx(4 * plain["largest_step_size"], rel=1e-9)
    assert fedavg["largest_stable_step_size"] == pytest.approx(4 * plain["largest_stable_step_size"], rel=1e-5)
    capsys.readouterr()
    assert _diagnose("--epochs", "3")[0] == 2
    assert "--epochs is 3, which needs --batch-size" in capsys.readouterr().err
