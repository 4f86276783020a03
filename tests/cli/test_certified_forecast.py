"""What the forecast says in numbers of the user's."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from ntk_localsgd import certificate, cli
from ntk_localsgd.certificate import Obstacle
from ntk_localsgd.cli.certified_forecast import Enough, rounded_up, smaller_scales


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
