"""Stored runs: computed once, named by what decides them, never half-written."""

import numpy as np
import pytest
import xarray as xr

from ntk_localsgd import results
from ntk_localsgd.errors import InputError

MADE = xr.Dataset({"loss": ("round", np.arange(3.0))}, attrs={"step_size": 0.5})


class Counter:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return MADE


def test_computed_once_and_read_back_equal(tmp_path):
    compute = Counter()
    first, second = (results.load_or_compute({"width": 3}, compute, tmp_path / "runs") for _ in range(2))
    assert compute.calls == 1
    xr.testing.assert_equal(first, MADE)
    xr.testing.assert_equal(second, MADE)
    assert second.attrs["configuration"] == '{"width":3}'
    assert "jax" in second.attrs["versions"]


def test_every_part_of_the_identity_changes_the_name(tmp_path, monkeypatch):
    names = {results.path_for({"width": width, "seed": seed}, tmp_path) for width in (1, 2) for seed in (1, 2)}
    assert len(names) == 4
    assert results.path_for({"seed": 1, "width": 1}, tmp_path) in names  # order does not matter
    for part in ("code_fingerprint", "device_name", "versions"):
        with monkeypatch.context() as patch:
            patch.setattr(results, part, lambda *_: "another")
            assert results.path_for({"width": 1, "seed": 1}, tmp_path) not in names


def test_fingerprint_changes_with_the_code(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    before = results.code_fingerprint(tmp_path)
    assert results.code_fingerprint(tmp_path) == before
    (tmp_path / "a.py").write_text("x = 2")
    results.code_fingerprint.cache_clear()
    changed = results.code_fingerprint(tmp_path)
    assert changed != before
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    results.code_fingerprint.cache_clear()
    assert results.code_fingerprint(tmp_path) != changed


@pytest.mark.parametrize("where", ["computing", "writing"])
def test_a_failure_leaves_no_file(tmp_path, monkeypatch, where):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    if where == "writing":
        monkeypatch.setattr(xr.Dataset, "to_netcdf", fail)
    with pytest.raises(OSError if where == "computing" else InputError, match="No space left"):
        results.load_or_compute({"a": 1}, fail if where == "computing" else Counter(), tmp_path / "runs")
    assert list(tmp_path.rglob("*.*")) == []


def test_unwritable_folder_gets_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written") as caught:
        results.load_or_compute({"a": 1}, Counter(), tmp_path / "file" / "runs")
    assert "\n" not in str(caught.value)


def test_truncated_file_gets_one_sentence(tmp_path):
    results.load_or_compute({"a": 1}, Counter(), tmp_path)
    path = results.path_for({"a": 1}, tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="delete it") as caught:
        results.load_or_compute({"a": 1}, Counter(), tmp_path)
    assert "\n" not in str(caught.value)
