"""What the forecast says in numbers of the user's."""

import re

import numpy as np

from ntk_localsgd import certificate, cli
from ntk_localsgd.cli.certified_forecast import rounded_up


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
