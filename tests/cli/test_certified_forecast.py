"""What the forecast says in numbers of the user's."""

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
