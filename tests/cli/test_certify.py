"""``ntk-localsgd certify``: it prints, writes and draws the library's certificate, and trains until there is one."""

import json
import re

import jax
import numpy as np
import pytest

from ntk_localsgd import certificate, cli, clients, datasets
from ntk_localsgd.cli.certified_run import plot_run
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.networks import TwoLayerReLU

DATA = datasets.sphere(jax.random.key(0), 4, 16)
HOLDERS = np.array([0, 1, 1, 2])
CONFIG = LocalSGD(1.2, 5, 0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", inputs=DATA.inputs, targets=DATA.targets, client=HOLDERS)
    TwoLayerReLU.init(jax.random.key(1), width=6000, input_dim=16, dtype=np.float64).save("wide.npz")
    TwoLayerReLU.init(jax.random.key(1), width=300, input_dim=16, dtype=np.float64).save("narrow.npz")
    return tmp_path


def _run(*argv):
    return cli.main(["certify", "data.npz", "--local-steps", "5", *argv])


def _written():
    with open("results/certify-data.json", encoding="utf-8") as file:
        return json.load(file)


def test_what_is_written_is_the_certificate_of_the_given_network(folder, capsys):
    assert _run("--weights", "wide.npz", "--step-size", "1.2") == 0
    shown, written = capsys.readouterr().out, _written()
    proof = certificate.certify(TwoLayerReLU.load("wide.npz"), DATA, clients.from_assignment(HOLDERS), CONFIG)
    assert proof.certified
    assert written["certificate"]["rate"] == pytest.approx(proof.rate, rel=1e-9)  # rows are normalised again
    assert written["certificate"]["radius"] == pytest.approx(proof.radius, rel=1e-9)
    assert written["certificate"]["switching_pairs"] == len(proof.switching)
    assert f"{proof.rate:.6g}"[:6] in shown
    assert "proved, by the" in shown
    assert (folder / "results" / "certify-data.png").stat().st_size > 5000


@pytest.mark.usefixtures("folder")
def test_the_bound_is_drawn_in_losses_above_the_run_s():
    net, split = TwoLayerReLU.load("wide.npz"), clients.from_assignment(HOLDERS)
    proof = certificate.certify(net, DATA, split, CONFIG)
    start = proof.residual_norm**2 / 2
    lines = {
        line.get_label(): line for line in plot_run(proof, net, DATA, split, CONFIG, np.array([start])).axes[0].lines
    }
    run, bound = (np.asarray(lines[name].get_ydata()) for name in ("run from here", "certified bound"))
    assert run[0] == pytest.approx(start, rel=1e-9)
    assert bound[0] == pytest.approx(proof.constant**2 * start, rel=1e-9)
    assert (run <= bound).all()


def test_a_narrow_network_is_trained_until_it_is_certified(folder, capsys):
    path = ("--method", "path")
    assert _run("--weights", "narrow.npz", *path) == 1
    assert "not proved" in capsys.readouterr().out
    written = _written()
    assert not written["certificate"]["certified"]
    assert written["certificate"]["rate"] is None or written["certificate"]["obstacle"]
    assert _run("--weights", "narrow.npz", "--rounds", "400", "--every", "5", "--save", "trained.npz", *path) == 0
    written = _written()
    assert written["certificate"]["certified"]
    assert 0 < written["trained_rounds"] < 400
    assert written["trained_rounds"] % 5 == 0
    assert len(written["loss"]) == written["trained_rounds"] + 1
    # The saved network is the one that the certificate speaks of.
    assert _run("--weights", "trained.npz", "--step-size", str(written["step_size"]), *path) == 0
    assert _written()["certificate"]["rate"] == written["certificate"]["rate"]


def test_minibatches_and_participants_are_proved_for_every_draw(folder, capsys):
    options = ("--weights", "wide.npz", "--step-size", "0.6", "--batch-size", "1", "--participants", "2")
    assert _run(*options, "--delta", "0.1") == 0
    assert "with probability ≥ 0.9" in capsys.readouterr().out
    written = _written()
    assert (written["batch_size"], written["participants"]) == (1, 2)
    assert (written["certificate"]["method"], written["certificate"]["delta"]) == ("dominance", 0.1)
    assert (folder / "results" / "certify-data.png").stat().st_size > 5000
    assert _run(*options[:-1], "4") == 2
    assert "participants is 4, needs to be at most K = 3" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_the_smallest_scale_is_found_and_proved(capsys):
    small = ["--width", "24", "--seed", "3"]
    assert _run(*small, "--find", "scale") == 0
    written, shown = _written(), capsys.readouterr()
    assert written["certificate"]["certified"]
    works = {each["value"]: each["works"] for each in written["tried"]}
    found = written["found"]
    assert found == min(value for value, proved in works.items() if proved) == written["scale"]
    assert any(found / 1.25 * 0.999 <= value < found and not proved for value, proved in works.items())
    assert "scale 1: not proved" in shown.err
    assert "nothing is said about those between" in shown.out.replace("\n", " ")
    assert _run(*small, "--scale", f"{found!r}") == 0
    assert _written()["certificate"]["rate"] == written["certificate"]["rate"]


@pytest.mark.usefixtures("folder")
def test_the_smallest_width_is_found_for_a_scale():
    assert (
        _run("--scale", "30", "--coupled", "--find", "width", "--width", "32", "--method", "ball", "--save", "f.npz")
        == 0
    )
    written = _written()
    assert written["certificate"]["certified"]
    assert written["found"] == written["width"] == TwoLayerReLU.load("f.npz").width
    assert written["found"] % 2 == 0
    assert written["scale"] == 30


@pytest.mark.usefixtures("folder")
def test_the_scale_that_is_said_to_do_does(capsys):
    assert _run("--weights", "narrow.npz", "--method", "ball") == 1
    enough = _written()["scale_that_would_do"]
    assert f"│ {enough:.4g}, by the ball method " in capsys.readouterr().out
    assert _run("--weights", "narrow.npz", "--method", "ball", "--scale", f"{enough!r}") == 0
    start = _written()["loss"][0]
    assert start == pytest.approx(2, rel=1e-9)  # of the scaled function, which starts at 0: ½ Σ y²


@pytest.mark.parametrize("more", [[], ["--rounds", "50"]])
@pytest.mark.usefixtures("folder")
def test_a_search_ends_when_its_time_is_up(capsys, more):
    assert _run("--weights", "narrow.npz", "--time-limit", "1e-5", *more) == 1
    assert "not decided within 7.5e-06 s" in capsys.readouterr().out
    assert _written()["certificate"] is None
    assert _run("--weights", "narrow.npz", "--time-limit", "1e-5", "--find", "scale") == 1
    assert "no scale was proved, ended after 1e-05 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--weights", "wide.npz", "--find", "width"], "find is width, but weights wide.npz have one"),
        (["--rounds", "5", "--find", "scale"], "rounds is 5, which --find has no use for"),
        (["--time-limit", "0"], "--time-limit is 0.0"),
        (["--scale", "-1"], "scale is -1.0"),
        (["--step-size", "50"], "above 1/λ_max of client"),
        (["--local-steps", "0"], "--local-steps is 0"),
        (["--rounds", "10", "--every", "0"], "every is 0"),
        (["--weights", "no.npz"], "no.npz cannot be read"),
        (["--method", "best"], "method"),
    ],
)
def test_bad_input_ends_in_one_sentence(folder, capsys, argv, words):
    assert _run(*argv) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "Traceback" not in said


def test_what_is_recorded_is_what_is_proved(folder, capsys):
    assert _run("--weights", "wide.npz", "--step-size", "1.2", "--record", "new/c.json") == 0
    assert "c.json" in capsys.readouterr().out
    claims, written = json.loads((folder / "new" / "c.json").read_text())["claims"], _written()["certificate"]
    assert float.fromhex(claims["rate"]) == written["rate"]
    assert len(claims["switching"]) == written["switching_pairs"]


@pytest.mark.usefixtures("folder")
def test_a_record_that_cannot_be_is_refused_before_anything_is_computed(capsys):
    for options, message in [
        (["--record", "c.txt"], "ends in .json"),
        (["--record", "data.npz/c.json"], "folder of record"),
        (["--record", "c.json", "--depth", "2"], "deep networks are not written"),
    ]:
        assert _run(*options) == 2
        assert message in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_what_is_foreseen_is_said_first_and_what_is_near_last(folder, capsys):
    x = np.array(DATA.inputs)
    x[3] = x[0] + 1e-5 * x[1]
    np.savez("near.npz", inputs=x / np.linalg.norm(x, axis=1, keepdims=True), targets=DATA.targets, client=HOLDERS % 2)
    argv = ["certify", "near.npz", "--local-steps", "2", "--width", "512", "--method", "ball", "--rows", "scaled"]
    assert cli.main(argv) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "λ_min(Θ)" in shown
    assert "the ball method proves" in shown
    assert "without near rows 4" in shown
    written = json.loads((folder / "results" / "certify-near.json").read_text())
    assert written["scale_that_would_do"] is None or written["scale_that_would_do"] > 1e4


@pytest.mark.usefixtures("folder")
def test_near_rows_are_named_only_where_a_smaller_scale_than_one_that_would_do_follows(folder, capsys):
    """The path proves far smaller scales than one radius does, and to leave out rows for a larger one is no advice."""
    digits = datasets.digits(12, classes=(3, 8), key=jax.random.key(0))
    x = np.array(digits.inputs)
    x[3] = x[0] + 0.03 * x[1]
    np.savez("near.npz", inputs=x, targets=digits.targets, client=np.arange(12) % 2)
    argv = ["certify", "near.npz", "--local-steps", "2", "--width", "256"]
    assert cli.main(argv) == 1
    shown = " ".join(capsys.readouterr().out.split())
    enough = json.loads((folder / "results" / "certify-near.json").read_text())["scale_that_would_do"]
    assert f"a lazy scale κ that would do │ {enough:.4g}, by the path method; " in shown
    assert all(float(scale) < enough for scale in re.findall(r"without near rows [\d, ]+ │ (\S+)", shown))


@pytest.mark.usefixtures("folder")
def test_a_deep_network_hears_a_scale_that_would_do():
    deep = ["--depth", "2", "--width", "64"]
    assert _run(*deep) == 1
    enough = _written()["scale_that_would_do"]
    assert 1 < enough <= 1e8
    assert _run(*deep, "--scale", f"{enough!r}") == 0
