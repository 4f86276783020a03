"""Sweeps over a grid: every combination at its label, resumed, extended, and what is refused."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd.errors import InputError
from tests.verification.light import Walk
from verification.engine import sweep

ROOT = pathlib.Path(__file__).parents[2]
COMPUTED = []


@dataclasses.dataclass(frozen=True)
class Product:
    """Outer products, to see which value has come where."""

    a: int
    b: str
    c: tuple[int, ...] = (1, 2)

    def compute(self):
        COMPUTED.append(self)
        if self.b == "bad":
            raise ZeroDivisionError("a bad value")
        values = self.a * 10 ** len(self.b) * np.array(self.c)
        return xr.Dataset({"v": ("n", values), "a_number": ((), self.a)}, {"n": list(self.c)}, {"some": "attribute"})


@pytest.fixture(autouse=True)
def _nothing_computed():
    COMPUTED.clear()


def test_every_combination_stands_at_its_label(tmp_path):
    whole = sweep(Product, {"a": [1, 2, 3], "b": ["x", "yy"], "c": (4, 5, 6)}, tmp_path)
    assert dict(whole.sizes) == {"a": 3, "b": 2, "n": 3}
    assert whole.attrs == {"c": "(4, 5, 6)", "job": "Product"}
    for a in (1, 2, 3):
        for b in ("x", "yy"):
            np.testing.assert_array_equal(whole.v.sel(a=a, b=b), a * 10 ** len(b) * np.array([4, 5, 6]))
    assert (whole.a_number.sel(b="x").values == [1, 2, 3]).all()
    assert whole.v.dtype == int
    again = sweep(Product, {"a": [1, 2, 3, 4], "b": ["x", "yy"], "c": (4, 5, 6)}, tmp_path)
    assert len(COMPUTED) == 6 + 2  # what is new
    xr.testing.assert_equal(again.sel(a=[1, 2, 3]), whole)


def test_the_readme_s_sweep_runs_as_written_and_goes_on(tmp_path):
    text = (ROOT / "README.md").read_text()
    (script,) = re.findall(r"```python\n(import dataclasses.*?)```", text, re.S)
    (tmp_path / "my_sweep.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "my_sweep.py"]
    shown = []
    for _ in range(2):
        done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        shown.append(done.stdout)
    expected = [
        np.mean([np.linalg.norm(np.random.default_rng(seed).normal(size=width)) for seed in (1, 2, 3)])
        for width in (10, 1000)
    ]
    assert all(f"{value:.5f}"[:6] in shown[0] for value in expected)
    assert shown[0] == shown[1]
    assert "6 of 6 results are read" in done.stderr


def test_one_job_is_a_sweep_too_and_other_labels_are_words(tmp_path):
    assert dict(sweep(Product, {"a": 2, "b": "x"}, tmp_path).sizes) == {"n": 2}
    whole = sweep(Walk, {"seed": [1, 2], "steps": 4, "bias": [0.0, 0.5]}, tmp_path)
    assert whole.walk.dims == ("seed", "bias", "step")
    np.testing.assert_allclose(whole.walk.sel(bias=0.5) - whole.walk.sel(bias=0.0), [[0.5, 1, 1.5, 2]] * 2)
    assert sweep(Product, {"a": 1, "b": "x", "c": [(1,), (2,)]}, tmp_path).c.values.tolist() == ["(1,)", "(2,)"]


@pytest.mark.parametrize(
    ("job_class", "grid", "named"),
    [
        (Product, {"a": [1], "d": 1}, "'d' is unknown"),
        (Product, {"a": [], "b": "x"}, "no value for a"),
        (Product, {"a": [1, 2], "b": ["x", "bad"]}, "2 of 4 jobs have failed, the first is Product.*a bad value"),
        (len, {}, "needs to be a dataclass"),
        (Product, {"a": 1, "b": object()}, "needs plain values"),
    ],
)
def test_bad_grids_are_one_sentence(tmp_path, job_class, grid, named):
    with pytest.raises(InputError, match=named) as caught:
        sweep(job_class, grid, tmp_path)
    assert "\n" not in str(caught.value)


@dataclasses.dataclass(frozen=True)
class Named:
    n: int

    def compute(self):
        return xr.Dataset({"x": ("n", np.ones(2))})


def test_a_grid_that_has_a_dimension_s_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="'n'"):
        sweep(Named, {"n": [1, 2]}, tmp_path)
