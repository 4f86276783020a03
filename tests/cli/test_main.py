"""The command line: readable tables, one-sentence errors, exit codes."""

import importlib.metadata
import math
import subprocess
import sys

import jax
import numpy as np
import pytest

from ntk_localsgd import cli, datasets, kernels, networks


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "mine.npz"
    np.savez(path, inputs=rng.normal(size=(12, 5)), targets=np.sign(rng.normal(size=12)))
    return path


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == importlib.metadata.version("ntk-localsgd")


def test_gram_shows_separation_enclosure_and_condition(data, capsys):
    assert cli.main(["gram", str(data)]) == 0
    shown = capsys.readouterr().out
    dataset, _ = datasets.load(data)
    assert f"{dataset.separation:.6g}" in shown
    assert "λ_min(H^∞)" in shown
    gram = kernels.infinite_gram(dataset.inputs)
    smallest = kernels.smallest_eigenvalue(gram, error=kernels.infinite_gram_error(*dataset.inputs.shape))
    assert repr(smallest.lower) in shown
    assert repr(smallest.upper) in shown
    (row,) = (line for line in shown.splitlines() if "condition" in line)
    assert float(row.split()[-2]) == pytest.approx(np.linalg.cond(gram, 2), rel=1e-5)  # six digits are shown


def test_gram_of_a_network(data, tmp_path, capsys):
    net = networks.TwoLayerReLU.init(jax.random.key(0), width=64, input_dim=5)
    net.save(tmp_path / "net.npz")
    assert cli.main(["gram", str(data), "--weights", str(tmp_path / "net.npz")]) == 0
    shown, (dataset, _) = capsys.readouterr().out, datasets.load(data)
    assert "m = 64" in shown
    gap = np.asarray(kernels.empirical_gram(net, dataset.inputs)) - kernels.infinite_gram(dataset.inputs)
    (row,) = (line for line in shown.splitlines() if "‖H(W) − H^∞‖₂" in line)
    assert float(row.split()[-2]) == pytest.approx(np.abs(np.linalg.eigvalsh(gap)).max(), rel=1e-5)  # six digits


def test_csv_gives_the_same_table_as_npz(data, tmp_path, capsys):
    with np.load(data) as arrays:
        table = np.column_stack([arrays["inputs"], arrays["targets"]])
    np.savetxt(tmp_path / "mine.csv", table, delimiter=",", header="a,b,c,d,e,target", comments="", fmt="%.17g")
    outputs = []
    for path in (data, tmp_path / "mine.csv"):
        assert cli.main(["gram", str(path)]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_bounds_are_evaluated_and_solved(capsys):
    argv = "bounds C1 --n 8 --lambda0 0.2 --C 1 --delta 0.1 --m 100 --eta 0.0001 --k 10 --residual 2"
    assert cli.main(argv.split()) == 0
    shown = capsys.readouterr().out
    assert "1.36713e+16" in shown  # 4⁵·16²·2/(2π)·8⁶/(0.2⁴·0.1³)
    assert "0.000390625" in shown  # 0.2/(8·8²)
    (premise,) = (line for line in shown.splitlines() if "premise met" in line)
    assert premise.split()[-2] == "no"


def test_a_width_beyond_float64_is_shown_with_its_power_of_ten(capsys):
    argv = "bounds C1 --n 1e60 --lambda0 0.2 --C 1 --delta 0.1"
    assert cli.main(argv.split()) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "smallest width" in line)
    digits, _, exponent = row.split()[-2].partition("e+")
    # 4⁵·16²·2/(2π)·n⁶/(λ0⁴δ³), in logarithms.
    power = math.log10(4**5 * 16**2 * 2 / (2 * math.pi) / (0.2**4 * 0.1**3)) + 360
    assert int(exponent) == math.floor(power)
    assert float(digits) == pytest.approx(10 ** (power - int(exponent)), rel=1e-5)  # six digits are shown


def test_the_command_line_computes_in_double_precision_by_itself(data):
    jax.config.update("jax_enable_x64", False)
    try:
        assert cli.main(["gram", str(data)]) == 0
        assert jax.numpy.ones(()).dtype == np.float64
    finally:
        jax.config.update("jax_enable_x64", True)


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["bounds", "X1"], "X1"),
        (["bounds", "C1", "--n", "minus"], "--n"),
        (["bounds", "C1"], "number for"),
        (["bounds", "K4a", "--n", "-3", "--m", "3", "--delta", "0.1"], "n is -3"),
        (["gram", "absent.npz"], "absent.npz"),
        (["gram", "data.txt"], ".txt"),
        (["gram"], "gram"),
        (["grom"], "grom"),
        ([], "gram"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_2(argv, named, capsys):
    assert cli.main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert named in captured.err
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_data_are_refused_by_row(tmp_path, capsys, bad):
    inputs = np.eye(3)
    inputs[1, 2] = bad
    np.savez(tmp_path / "bad.npz", inputs=inputs, targets=np.ones(3))
    assert cli.main(["gram", str(tmp_path / "bad.npz")]) == 2
    assert "row 2, column 3 is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "named"), [("gramm", "did you mean gram?"), ("xyzzy", "did you mean bounds or certify or")]
)
def test_a_command_that_is_none_is_named_alone(name, named, capsys):
    assert cli.main([name, "data.csv"]) == 2
    said = capsys.readouterr().err
    assert f"there is no command '{name}', {named}" in said
    assert "data.csv" not in said


def test_help_exits_with_0():
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert not stop.value.code


def test_a_command_imports_what_it_needs_and_no_more(data):
    # Half a second each, of which a Gram matrix needs none.
    program = (
        "import sys; from ntk_localsgd.starting import main\n"
        f"assert main(['gram', {str(data)!r}]) == 0\n"
        "print(*{'pandas', 'sympy', 'xarray', 'sklearn', 'flint', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize(
    "command", ["gram", "track", "diagnose", "certify", "predict", "interpolate", "bounds", "results"]
)
def test_help_of_every_command_fits_two_screens(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    # The terminal breaks the one line about the command.
    assert sum(max(1, -(-len(line.rstrip()) // 80)) for line in lines) <= 100


def test_help_of_a_command_names_the_program(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["gram", "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: ntk-localsgd gram ")
    assert "smallest eigenvalue" in shown
