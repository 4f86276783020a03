"""``ntk-localsgd interpolate``: what it writes is a network that the library proves, and bad input is one sentence."""

import json

import numpy as np
import pytest

from ntk_localsgd import cli, datasets
from ntk_localsgd.interpolation import Shallow, prove
from ntk_localsgd.networks import Smooth
from tests.interpolation.cases import data


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = data(9, 4)
    np.savez("data.npz", inputs=3 * x, targets=y)
    np.savez("two.npz", inputs=x, targets=np.stack([y, y], axis=1))
    np.savez("odd.npz", inputs=np.concatenate([x[:1], -x[:1]]), targets=[1.0, 1.0])
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_what_is_written_is_proved_once_more_and_said(activation, capsys):
    assert cli.main(["interpolate", "data.npz", "--activation", activation]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "interpolates exactly │ proved" in shown
    assert "rows scaled to norm 1" in shown
    with np.load("results/interpolate-data.npz") as kept:
        net = Shallow(kept["weights"], kept["readout"], Smooth(str(kept["activation"])))
        proof = prove(net, kept["inputs"], kept["targets"])
        np.testing.assert_array_equal(kept["inputs"], datasets.load("data.npz")[0].inputs)
        assert (float(kept["alpha"]), bool(kept["certified"])) == (proof.alpha, True)
    with open("results/interpolate-data.json", encoding="utf-8") as file:
        written = json.load(file)
    assert written["width"] == net.width == 5  # ⌈2·9/4⌉
    assert written["proof"]["radius"] == proof.radius == 2 * proof.alpha
    assert f"{proof.smallest_singular:.6g}" in shown


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("data.npz", "--width", "1"), "width is 1, which with 4 inputs makes 5 weights for 9 samples: needs to be at"),
        (("data.npz", "--width", "0"), "width is 0, needs to be a whole number of at least 1"),
        (("data.npz", "--activation", "relu"), "relu"),
        (("two.npz",), "targets of two.npz have shape (9, 2), need one number a row"),
        (("data.npz", "--out", "data.npz"), "out folder data.npz cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(arguments, said, capsys):
    assert cli.main(["interpolate", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in " ".join(error.split())
    assert error.count("\n") == 1


@pytest.mark.usefixtures("folder")
def test_nothing_is_proved_where_symmetry_forbids_it(capsys):
    assert cli.main(["interpolate", "odd.npz", "--attempts", "1", "--width", "3"]) == 1
    shown = " ".join(capsys.readouterr().out.split()).replace("│ │", "").replace("  ", " ")
    assert "full row rank" in shown
    assert "try --width 6, another --seed, more --attempts, --standardise" in shown
