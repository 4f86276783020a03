"""What the forecast says in numbers of the user's."""

import json
import re
from types import SimpleNamespace

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given

from ntk_localsgd import certificate, cli, datasets
from ntk_localsgd.certificate import Obstacle
from ntk_localsgd.cli import certify
from ntk_localsgd.cli.certified_forecast import Enough, _first_below, rounded_up, smaller_scales


def test_scales_are_rounded_up():
    assert [rounded_up(x) for x in (1.0, 1.21, 9.99, 1.3e9, 1307689834.5, 0.0451)] == [
        1.0,
        1.3,
        10.0,
        1.3e9,
        1.4e9,
        0.046,
    ]


def test_the_width_is_that_of_the_square_of_the_scale(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("two.npz", inputs=np.eye(2), targets=np.array([1.0, -1.0]), client=np.arange(2))
    seen, foreseen = [], certificate.forecast
    monkeypatch.setattr(certificate, "forecast", lambda *args: seen.append(foreseen(*args)) or seen[-1])
    argv = ["certify", "two.npz", "--local-steps", "2", "--width", "64", "--method", "ball", "--coupled"]
    assert cli.main(argv) == 1
    shown, scale = " ".join(capsys.readouterr().out.split()), seen[0].scale
    assert f"κ ≥ {rounded_up(scale):.2g}" in shown
    assert f"(ball method) │ {64 * scale**2:.1g} │" in shown


def _prove(least, late=0.0):
    """A certifier that proves all scales from ``least`` on, and takes too long below ``late``."""

    def prove(scale):
        obstacle = Obstacle.TIME if scale < late else Obstacle.NONE if scale >= least else Obstacle.UNSUITABLE
        return SimpleNamespace(certified=obstacle is Obstacle.NONE, obstacle=obstacle)

    return prove


@pytest.mark.parametrize(
    ("enough", "prove", "said"),
    [
        (Enough(2e4, "ball"), _prove(500), "1000, by the path method; 100 is not proved"),
        (Enough(2e4, "ball"), _prove(500, late=5e3), "1e+04, by the path method; 1000 would take too long"),
        (Enough(1e3, "ball"), _prove(2e3), "1000, by the ball method; 100 is not proved"),
        (Enough(2e4, "ball"), _prove(1), "100, by the path method"),  # 10 is what is asked about already
    ],
)
def test_what_became_of_smaller_scales_is_said(enough, prove, said):
    *_, last = smaller_scales(enough, enough.scale, 10.0, prove)
    assert str(last) == said


def _uneven(size):
    """Ten rows of which one column is so many times as large as the others: scaled to norm 1, they are nearly ±e₁."""
    columns = np.random.default_rng(0).standard_normal((10, 4)) * [size, 1.0, 1.0, 1.0]
    np.savez("uneven.npz", inputs=columns, targets=np.sign(columns[:, 1]), client=np.arange(10) % 2)


def test_standardised_columns_are_named_where_they_need_a_far_smaller_scale(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _uneven(30.0)
    argv = ["certify", "uneven.npz", "--local-steps", "2", "--width", "256", "--method", "ball", "--rows", "scaled"]
    assert cli.main([*argv, "--scale", "10"]) == 1
    (scale,) = re.findall(r"with --standardise \(ball method\) │ (\S+)", " ".join(capsys.readouterr().out.split()))
    assert cli.main([*argv, "--standardise", "--scale", scale]) == 0
    assert "--standardise" not in capsys.readouterr().out
    assert cli.main([*argv, "--scale", scale]) == 1


def test_a_singular_kernel_of_uneven_columns_names_standardised_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _uneven(1e6)
    argv = ["certify", "uneven.npz", "--local-steps", "2", "--width", "64", "--method", "ball", "--rows", "scaled"]
    assert cli.main(argv) == 2
    assert "(columns differ in size: try --standardise)" in capsys.readouterr().err
    cli.main([*argv, "--standardise"])
    assert "try --standardise" not in capsys.readouterr().err


@given(st.integers(0, 10**6), st.floats(1e-6, 0.999), st.floats(0.1, 0.999))
def test_rounds_until_a_residual_is_small_are_those_of_a_loop(seed, share, rate):
    rng = np.random.default_rng(seed)
    operator, residual = np.diag(rate * rng.uniform(size=4)), rng.normal(size=4)
    weigh = np.diag(rng.uniform(0.1, 1, 4))  # of diagonal matrices the size falls in every round
    t, here, goal = 0, residual, share * np.abs(weigh @ residual).sum()
    while np.abs(weigh @ here).sum() > goal:
        t, here = t + 1, operator @ here
    near = np.abs(weigh @ np.linalg.matrix_power(operator, t) @ residual).sum()
    assert _first_below(operator, weigh, residual, share) == t or np.isclose(near, goal, rtol=1e-9)


def test_the_residual_that_would_do_is_what_the_scale_leaves_of_the_targets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sphere = datasets.sphere(jax.random.key(0), 8, 32)
    np.savez("s.npz", inputs=sphere.inputs, targets=sphere.targets, client=np.arange(8) % 2)
    small = []
    monkeypatch.setattr(certify, "rounds_to", lambda *given: small.append(given[-1]))
    for scale in ((), ("--scale", "2")):
        assert cli.main(["certify", "s.npz", "--local-steps", "5", "--width", "32", *scale]) == 1
        enough = json.loads((tmp_path / "results" / "certify-s.json").read_text())["scale_that_would_do"]
        np.testing.assert_allclose(np.abs(small.pop()), np.abs(sphere.targets) / enough, rtol=1e-6)  # float32 targets


def test_where_it_is_proved_no_training_is_advised(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("s.npz", inputs=np.eye(4)[:2], targets=np.array([1.0, -1.0]), client=np.arange(2))
    assert cli.main(["certify", "s.npz", "--local-steps", "5", "--width", "64"]) == 0
    assert json.loads((tmp_path / "results" / "certify-s.json").read_text())["rounds_that_may_do"] is None
    assert "training first" not in capsys.readouterr().out


def test_a_residual_that_does_not_fall_is_never_small():
    assert _first_below(np.eye(2), np.eye(2), np.ones(2), 0.5) is None
    assert _first_below(np.full((2, 2), np.nan), np.eye(2), np.ones(2), 0.5) is None


@pytest.mark.parametrize(
    ("samples", "argv"),
    [
        (8, ["--width", "64"]),
        (16, ["--width", "64", "--seed", "1"]),
        (2, ["--width", "64", "--depth", "2"]),
        (2, ["--width", "64", "--depth", "2", "--seed", "2"]),
    ],
)
def test_rounds_of_training_that_may_do_are_a_few_times_those_that_do(tmp_path, monkeypatch, samples, argv):
    """The documented factor is 5, over wider tries; the rounds are those after which a proof is found."""
    monkeypatch.chdir(tmp_path)
    sphere = datasets.sphere(jax.random.key(0), samples, 4 * samples)
    np.savez("s.npz", inputs=sphere.inputs, targets=sphere.targets, client=np.arange(samples) % 4)
    argv = ["certify", "s.npz", "--local-steps", "5", *argv]
    assert cli.main(argv) == 1
    foretold = json.loads((tmp_path / "results" / "certify-s.json").read_text())["rounds_that_may_do"]
    assert cli.main([*argv, "--rounds", "200", "--every", "1"]) == 0
    taken = json.loads((tmp_path / "results" / "certify-s.json").read_text())["trained_rounds"]
    assert taken / 5 <= foretold <= 5 * taken


def test_training_that_led_to_no_proof_says_what_may_help(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sphere = datasets.sphere(jax.random.key(0), 8, 32)
    np.savez("s.npz", inputs=sphere.inputs, targets=sphere.targets, client=np.arange(8) % 2)
    assert cli.main(["certify", "s.npz", "--local-steps", "5", "--width", "32", "--rounds", "1"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "what may help │ a larger --scale besides, or more neurons" in shown
    assert "training first" not in shown
