"""``ntk-localsgd predict``: what it writes is the library's prediction, bad input ends in one sentence."""

import json

import jax
import numpy as np
import pytest

from ntk_localsgd import cli, clients, datasets, kernels, prediction
from ntk_localsgd.cli.inputs import ProblemOptions
from ntk_localsgd.cli.output import new_plot, shown_rounds, write_results
from ntk_localsgd.cli.start import checked_step_size
from ntk_localsgd.errors import InputError, rounded_down
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.networks import TwoLayerReLU

DIGITS = datasets.digits(24, classes=(3, 8), key=jax.random.key(0))
HOLDERS = np.arange(24) % 3
FEW = ["--local-steps", "5", "--rounds", "7"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Data with and without a client column, nearly parallel rows, several targets, networks; the working folder."""
    monkeypatch.chdir(tmp_path)
    x, y = DIGITS.inputs, DIGITS.targets
    np.savez("plain.npz", inputs=x, targets=y)
    np.savez("held.npz", inputs=x, targets=y, client=HOLDERS)
    np.savez("short.npz", inputs=x, targets=y, client=HOLDERS[:5])
    np.savez("halves.npz", inputs=x, targets=y, client=HOLDERS / 2)
    np.savez("named.npz", inputs=x, targets=y, client=np.array(["a", "b", "c"])[HOLDERS])
    np.savez("vectors.npz", inputs=x, targets=np.stack([y, -y], axis=1))
    near = np.array(x)
    near[20] = near[4] + 1e-9 * np.eye(64)[0]
    np.savez("near.npz", inputs=near, targets=y)
    opposite = np.array(x)
    opposite[20] = -opposite[4]
    np.savez("opposite.npz", inputs=opposite, targets=y)
    TwoLayerReLU.init(jax.random.key(1), width=900, input_dim=64, dtype=np.float32).save("net.npz")
    TwoLayerReLU.init(jax.random.key(1), width=900, input_dim=5).save("other.npz")
    return tmp_path


def test_what_is_written_is_the_prediction_from_the_given_network(folder, capsys):
    argv = ["predict", "held.npz", "--weights", "net.npz", "--step-size", "0.05", "--batch-size", "2", "--out", "here"]
    assert cli.main(argv + FEW) == 0
    shown = capsys.readouterr().out
    written = json.loads((folder / "here" / "predict-held.json").read_text())
    net = TwoLayerReLU.load("net.npz")
    net = TwoLayerReLU.from_arrays(np.asarray(net.weights, np.float64), np.asarray(net.signs))
    data, _ = datasets.load("held.npz")
    gram, residual = np.asarray(kernels.empirical_gram(net, data.inputs)), np.asarray(net(data.inputs)) - data.targets
    split = clients.from_assignment(HOLDERS)
    config = LocalSGD(0.05, 5, 7)
    drawn = LocalSGD(0.05, 5, 7, batch_size=2)
    path = prediction.local_gd(gram, split, residual, config)
    moments = prediction.local_sgd_second_moment(gram, split, residual, drawn)
    np.testing.assert_array_equal(written["loss"]["full_batch"], (path**2).sum(axis=1) / 2)
    np.testing.assert_array_equal(written["loss"]["minibatch"], moments / 2)
    mean = prediction.local_sgd_mean(gram, split, residual, drawn)
    np.testing.assert_array_equal(written["loss"]["minibatch_without_noise"], (mean**2).sum(axis=1) / 2)
    assert written["contraction"] == prediction.contraction(gram, split, config)._asdict()
    assert written["client_sizes"] == [8, 8, 8]
    assert written["width"] == 900
    assert f"{moments[-1] / 2:.6g}" in shown
    assert "predict-held.json" in shown
    assert (folder / "here" / "predict-held.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("scheme", ["iid", "by_label", "dirichlet"])
def test_data_are_split_by_the_scheme_and_the_seed_decides(folder, scheme):
    curves = {}
    for seed, out in (("1", "a"), ("1", "b"), ("2", "c")):
        argv = ["predict", "plain.npz", "--clients", "4", "--scheme", scheme, "--seed", seed, "--width", "700"]
        assert cli.main([*argv, *FEW, "--out", out]) == 0
        written = json.loads((folder / out / "predict-plain.json").read_text())
        assert sum(written["client_sizes"]) == 24
        assert len(written["client_sizes"]) == 4
        curves[out] = written["loss"]["full_batch"]
    assert curves["a"] == curves["b"] != curves["c"]


def test_a_csv_predicts_what_the_npz_does(folder):
    table = np.column_stack([DIGITS.inputs, HOLDERS, DIGITS.targets])
    header = ",".join([f"x{k}" for k in range(64)] + ["client", "target"])
    np.savetxt("held.csv", table, delimiter=",", header=header, comments="", fmt="%.17g")
    written = []
    for name in ("held.npz", "held.csv"):
        assert cli.main(["predict", name, "--width", "700", *FEW]) == 0
        written.append(json.loads((folder / "results" / "predict-held.json").read_text())["loss"])
    assert written[0] == written[1]


def test_opposite_rows_are_no_obstacle(folder):
    assert cli.main(["predict", "opposite.npz", "--clients", "3", *FEW]) == 0


def test_left_out_step_size_is_nine_tenths_of_what_is_allowed(folder):
    assert cli.main(["predict", "held.npz", *FEW]) == 0
    written = json.loads((folder / "results" / "predict-held.json").read_text())
    assert written["config"]["step_size"] == pytest.approx(0.9 * written["largest_step_size"], rel=1e-15)


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["plain.npz", *FEW], "--clients or --assignment is needed"),
        (["absent.npz", *FEW], "absent.npz cannot be read"),
        (["vectors.npz", "--clients", "3", *FEW], "(24, 2)"),
        (["short.npz", *FEW], "has 5 entries"),
        (["halves.npz", *FEW], "holds 0.5"),
        (["plain.npz", "--clients", "25", *FEW], "--clients is 25"),
        (["near.npz", "--clients", "3", *FEW], "rows 5 and 21 (counted from 1) are nearly parallel"),
        (["plain.npz", "--clients", "3", "--width", "1", *FEW], "a wider network is needed"),
        (["held.npz", "--step-size", "0.4", *FEW], "no convergence is proved: needs to be at most 0."),
        (["held.npz", "--step-size", "4", *FEW], "its local steps diverge: needs to be at most 0."),
        (["held.npz", "--step-size", "0", *FEW], "--step-size is 0.0"),
        (["held.npz", "--weights", "other.npz", *FEW], "weights take 5 inputs"),
        (["held.npz", "--weights", "net.npz", "--width", "8", *FEW], "width is 8"),
        (["held.npz", "--weights", "absent.npz", *FEW], "absent.npz cannot be read as a network (No such file"),
        (["held.npz", "--batch-size", "0", *FEW], "--batch-size is 0"),
        (["held.npz", "--local-steps", "0", "--rounds", "3"], "--local-steps is 0"),
        (["held.npz", "--local-steps", "2", "--rounds", "-3"], "--rounds is -3"),
        (["held.npz", "--seed", "-1", *FEW], "seed is -1"),
        (["held.npz", "--out", "net.npz", *FEW], "out folder net.npz cannot be written"),
        (["held.npz", "--local-steps", "2"], "--rounds"),
        (["held.npz", "--local-steps", "five", "--rounds", "3"], "--local-steps is 'five', needs to be a whole number"),
        (["held.npz", "--step-size", "abc", *FEW], "--step-size is 'abc', needs to be a number."),
    ],
)
@pytest.mark.usefixtures("folder")
def test_bad_input_gets_one_sentence_and_exit_code_2(argv, named, capsys):
    assert cli.main(["predict", *argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert named in captured.err
    assert captured.err.count("\n") == 1


def test_the_largest_allowed_step_size_is_accepted_as_printed():
    gram, split = kernels.infinite_gram(DIGITS.inputs), clients.from_assignment(HOLDERS)
    _, allowed = checked_step_size(gram, split, None)
    assert checked_step_size(gram, split, float(rounded_down(allowed))).value <= allowed
    assert checked_step_size(gram, split, allowed).value == allowed
    for value in (0.1, 0.123456789, 1 / 3, 2e-7 / 3, 7e8 / 3):
        assert value * (1 - 1e-5) <= float(rounded_down(value)) <= value * (1 + 1e-15)


def test_a_loss_that_never_falls_to_a_tenth_is_said_to_do_so():
    assert [shown_rounds(rounds) for rounds in (1.0, 2.5, np.inf)] == ["1", "2.5", "never"]


def test_unequal_clients_are_limited_by_the_one_with_the_largest_eigenvalue():
    gram = np.diag([1.0, 4.0, 2.0])
    split = clients.from_assignment(np.array([0, 1, 2]))
    assert checked_step_size(gram, split, None) == (0.9 / 4, 1 / 4)
    with pytest.raises(InputError, match=r"λ_max of client 1 .* no convergence is proved: needs to be at most 0\.25"):
        checked_step_size(gram, split, 0.26)


def test_results_hold_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results(tmp_path, "predict", tmp_path / "x.npz", {"loss": [float("nan")]}, new_plot())
    assert not list(tmp_path.iterdir())


def test_shared_options_are_keywords_of_a_plain_dataclass():
    options = ProblemOptions(data="x.npz", local_steps=3)
    assert (options.clients, options.scheme, options.step_size) == (None, None, None)
