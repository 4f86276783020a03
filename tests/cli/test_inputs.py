"""What commands read, say and refuse before they compute anything."""

import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from ntk_localsgd import cli, datasets, kernels
from ntk_localsgd.cli.inputs import ProblemOptions, read_problem
from ntk_localsgd.cli.start import measured_gram, read_network
from ntk_localsgd.evidence import finite
from ntk_localsgd.networks import TwoLayerReLU

ROWS = np.random.default_rng(0).normal(size=(6, 4)) * np.arange(1, 7)[:, None]
TARGETS = np.array([1.0, -1, 1, -1, 1, -1])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", inputs=ROWS, targets=TARGETS, client=np.arange(6) % 2, labels=np.arange(6) // 3)
    np.savez("real.npz", inputs=ROWS, targets=np.linspace(0, 1, 6))
    pathlib.Path("t.csv").write_text("a,b,target\n1,2,1\n2,1,-1\n")
    np.savez("huge.npz", inputs=ROWS, targets=np.full(6, 10.0))
    TwoLayerReLU.init(jax.random.key(1), width=500, input_dim=4, dtype=np.float64).save("net.npz")
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_network_of_the_user_s_is_asked_about_the_rows_it_was_trained_on():
    options = ProblemOptions(data="d.npz", local_steps=1, weights="net.npz")
    dataset, _, scales, notes, *_ = read_problem(options)
    assert notes == []
    net = read_network(options, dataset)
    np.testing.assert_allclose(scales * np.asarray(net(dataset.inputs)), np.asarray(net(ROWS)), rtol=1e-12)
    (gram, trouble), raw = measured_gram(net, dataset, scales), np.asarray(kernels.empirical_gram(net, dataset.inputs))
    assert trouble is None
    jacobian = jax.jacobian(lambda w: net.with_trained((w,))(ROWS))(net.weights).reshape(6, -1)
    np.testing.assert_allclose(gram.matrix, jacobian @ jacobian.T, rtol=1e-10)
    assert gram.smallest.lower <= np.linalg.eigvalsh(gram.matrix)[0] <= gram.smallest.upper
    np.testing.assert_array_equal(measured_gram(net, dataset)[0].matrix, raw)


@pytest.mark.parametrize("seed", range(6))
def test_a_gram_matrix_that_is_singular_for_lack_of_neurons_leads_to_a_width_that_does(seed):
    """Θ of m neurons has rank m·d at most, so that the first width named is 2n/d, and each further one its double."""
    dataset, widths = datasets.from_arrays(np.random.default_rng(seed).normal(size=(30, 3)), np.ones(30)), [2]
    while len(widths) < 5:
        net = TwoLayerReLU.init(jax.random.key(seed), width=widths[-1], input_dim=3, dtype=np.float64)
        trouble = measured_gram(net, dataset)[1]
        if trouble is None:
            break
        widths.append(int(re.search(r"a wider network is needed, try m = (\d+)\.$", trouble)[1]))
    assert widths in ([2, 20], [2, 20, 40], [2, 20, 40, 80])


@pytest.mark.usefixtures("folder")
def test_only_commands_with_clients_speak_of_their_number(capsys):
    assert cli.main(["gram", "d.npz", "--client", "2"]) == 2
    assert "--clients" not in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_a_gram_matrix_that_unlike_columns_make_singular_names_the_remedy(capsys):
    rows = np.random.default_rng(2).normal(size=(6, 3)) * [1, 1, 1e-9] + [1e9, 0, 0]
    np.savez("uneven.npz", inputs=rows, targets=TARGETS)
    assert cli.main(["gram", "uneven.npz"]) == 0
    assert "--standardise" in capsys.readouterr().out


def test_what_a_file_is_warned_of_is_one_line(folder, capsys):
    (folder / "i.csv").write_text("id,age,target\n1,3,1\n2,1,-1\n3,7,1\n")
    assert cli.main(["gram", "i.csv"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("ntk-localsgd: i.csv: column 'id' counts the rows")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("folder")
def test_the_loss_at_the_start_is_the_user_s(capsys):
    argv = "predict d.npz --local-steps 2 --rounds 3 --weights net.npz"
    losses = {}
    for rows in ([], ["--rows", "scaled"]):
        assert cli.main([*argv.split(), *rows]) == 0
        with open("results/predict-d.json", encoding="utf-8") as file:
            written = json.load(file)
        losses[len(rows)] = written["loss"]["full_batch"][0], written["notes"]
    net = TwoLayerReLU.load("net.npz")
    assert losses[0] == (pytest.approx(float(((np.asarray(net(ROWS)) - TARGETS) ** 2).sum()) / 2), [])
    (note,) = losses[2][1]
    norms = np.linalg.norm(ROWS, axis=1)
    scaled = ((np.asarray(net(ROWS / norms[:, None])) - TARGETS) ** 2).sum() / 2
    assert losses[2][0] == pytest.approx(float(scaled), rel=1e-5)
    assert losses[2][0] != pytest.approx(losses[0][0], rel=1e-2)
    assert note == f"rows scaled to norm 1, yours were {norms.min():.4g} … {norms.max():.4g}"
    assert note in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_labels_and_clients_of_the_file_are_used_or_it_is_said():
    split = ProblemOptions(data="d.npz", local_steps=1, clients=2, scheme="by_label", classes_per_client=1)
    _, clients, _, notes, *_ = read_problem(split)
    assert [part.tolist() for part in sorted(clients.indices, key=min)] == [[0, 1, 2], [3, 4, 5]]
    assert notes[0] == "split anew into 2 clients, the file's own are not used"


@pytest.mark.usefixtures("folder")
def test_an_implausible_kernel_regime_is_said(capsys):
    argv = "predict huge.npz --clients 2 --local-steps 2 --rounds 50 --width 60"
    assert cli.main(argv.split()) == 0
    assert "kernel regime is not plausible" in capsys.readouterr().out
    assert cli.main(["predict", "d.npz", "--local-steps", "2", "--rounds", "5", "--width", "20000"]) == 0
    shown = capsys.readouterr().out
    assert "plausible" not in shown
    assert "share of patterns that flip" in shown


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ("predict d.npz --scheme by_label", "scheme is by_label, but without --clients"),
        ("predict d.npz --clients 2 --concentration 1", "which only --scheme dirichlet uses"),
        ("predict real.npz --clients 2 --scheme by_label", "6 different targets, which are no classes"),
        ("predict d.npz --client 2", "holds arrays and no columns; the number of clients is --clients."),
        ("predict t.csv --client 2", "; the number of clients is --clients."),
        ("predict absent.csv --client 2", "cannot be read"),
        ("predict d.npz --width 100000000000000", "GiB of memory"),
        ("predict d.npz --seed 100000000000000000000", "seed is 100000000000000000000"),
        ("predict d.npz --out d.npz/x", "out folder d.npz/x cannot be written"),
        ("certify d.npz --save net", "ends in .npz"),
        ("certify d.npz --save d.npz/net.npz", "folder of save"),
        ("certify d.npz --weights net.npz", "but the proof is for norm 1"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_is_written(folder, capsys, argv, named):
    rounds = ["--rounds", "2"] if argv.startswith("predict") else []
    assert cli.main([*argv.split(), "--local-steps", "1", *rounds]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1
    assert not (folder / "results").exists()


@pytest.mark.usefixtures("folder")
def test_rounds_are_kept_when_the_proof_is_refused(monkeypatch, capsys):
    from ntk_localsgd import certificate
    from ntk_localsgd.errors import InputError

    def refuse(*_, **__):
        raise InputError("the Gram matrix collapsed.")

    monkeypatch.setattr(certificate, "certify", refuse)
    argv = "certify d.npz --local-steps 1 --width 40 --rounds 4 --every 2 --rows scaled --save new/net.npz"
    assert cli.main(argv.split()) == 2
    assert "the Gram matrix collapsed; the 4 rounds are kept in new/net.npz" in capsys.readouterr().err
    assert TwoLayerReLU.load("new/net.npz").width == 40
    with open("results/certify-d.json", encoding="utf-8") as file:
        assert len(json.load(file)["loss"]) == 5


_INTERRUPTED = """
import os, signal, sys
from ntk_localsgd import certificate, cli
def stop(self, checkpoint):
    if checkpoint.round == 2:
        os.kill(os.getpid(), signal.SIGINT)
    return False
certificate.UntilCertified.__call__ = stop
sys.exit(cli.main("certify d.npz --local-steps 1 --width 40 --rounds 9 --every 1".split()))
"""


def test_an_interrupted_run_ends_in_one_line_and_keeps_its_rounds(folder):
    root = os.path.dirname(os.path.dirname(cli.__path__[0]))
    ended = subprocess.run([sys.executable, "-c", _INTERRUPTED], env=os.environ | {"PYTHONPATH": root}, check=False,
                           capture_output=True, text=True, encoding="utf-8", cwd=folder)  # fmt: skip
    assert ended.returncode == 128 + signal.SIGINT
    progress, line = ended.stderr.splitlines()
    assert progress.startswith("Local SGD")
    kept = "results/certify-d-checkpoint.npz"
    assert line == f"ntk-localsgd: interrupted; 2 rounds are kept in {kept}, --resume goes on."
    assert (folder / kept).exists()


def test_a_terminal_of_few_letters_gets_the_table(folder):
    root = os.path.dirname(os.path.dirname(cli.__path__[0]))
    code = "import sys; from ntk_localsgd import cli; sys.exit(cli.main(['gram', 'd.npz']))"
    environment = os.environ | {"PYTHONPATH": root, "PYTHONIOENCODING": "cp1252"}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, cwd=folder)
    assert "?_min(H^?)" in shown.stdout.decode("cp1252")


def test_what_is_infinite_becomes_null():
    assert finite({"a": [1.0, np.inf], "b": {"c": float("nan")}, "d": "x"}) == {
        "a": [1.0, None],
        "b": {"c": None},
        "d": "x",
    }


def test_a_file_of_texts_without_a_target_is_asked_for_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flowers.csv").write_text("a,b,kind\n1,2,rose\n3,4,lily\n")
    assert cli.main(["gram", "flowers.csv"]) == 2
    said = capsys.readouterr().err
    assert (
        "--target is 'target', but flowers.csv has no such column: needs to be one of a, b, kind (column 'kind'" in said
    )
    assert "'kind=rose' makes rose +1" in said
    (tmp_path / "typo.csv").write_text("a,target\n1,2\nx,4\n")
    assert cli.main(["gram", "typo.csv"]) == 2
    assert "row 2, column 'a' is 'x', needs to be a number" in capsys.readouterr().err


def test_clients_are_called_what_the_file_calls_them_and_rows_held_out_leave_an_assignment(tmp_path):
    rows = np.random.default_rng(0).standard_normal((4, 3))
    np.savez(tmp_path / "d.npz", inputs=rows, targets=[1.0, -1, 1, -1], client=np.array(["b", "a", "b", "a"]))
    (tmp_path / "who.txt").write_text("x\ny\nx\nz\n")
    options = ProblemOptions(data=tmp_path / "d.npz", local_steps=1)
    assert read_problem(options).names == ("a", "b")
    assert read_problem(dataclasses.replace(options, clients=2)).names == ("0", "1")
    assigned = dataclasses.replace(options, assignment=tmp_path / "who.txt")
    assert read_problem(assigned).names == ("x", "y", "z")
    held = read_problem(assigned, hold_out=0.25)
    assert (held.dataset.num_samples, held.held_out.num_samples) == (3, 1)
    assert held.clients.num_samples == 3
