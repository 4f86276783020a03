"""Stored results: computed once, named by what decides them, read back as they were, never half-written."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from ntk_localsgd import results
from ntk_localsgd.errors import InputError

LOSSES = xr.Dataset({"loss": ("round", np.arange(3.0))}, attrs={"step_size": 0.5})


class Counter:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return LOSSES


@dataclasses.dataclass(frozen=True)
class Narrow:
    width: int


@dataclasses.dataclass(frozen=True)
class Wide:
    width: int


def test_computed_once_and_read_back_equal(tmp_path):
    compute = Counter()
    first, second = (results.load_or_compute({"width": 3}, compute, tmp_path / "runs") for _ in range(2))
    assert compute.calls == 1
    xr.testing.assert_equal(first, LOSSES)
    xr.testing.assert_identical(first, second)
    assert "jax" in second.attrs["versions"]
    results.load_or_compute({"width": 3}, compute, tmp_path / "runs", fresh=True)
    assert compute.calls == 2


def test_what_is_read_back_has_the_types_and_shapes_that_were_stored(tmp_path):
    attributes = {
        "sizes": [12], "none": None, "flag": True, "pair": (1, 2.5), "array": np.array([3]), "number": np.float32(0.5),
        "nested": {"a": [1, "b"]}, "text": "τ",
    }  # fmt: skip
    stored = xr.Dataset(
        {
            "signs": ("n", np.array([True, False])),
            "counts": ("n", np.array([1, 2], np.int32)),
            "names": ("n", np.array(["a", "bc"], object)),
            "traced": ("n", jnp.ones(2)),
        },
        {"bound": ["lower", "upper"], "seed": np.array([2**62])},
        attributes,
    )
    stored.signs.attrs["units"] = [1]
    first, second = (results.load_or_compute({"a": 1}, lambda: stored, tmp_path) for _ in range(2))
    xr.testing.assert_identical(first, second)
    assert all(type(v.data) is np.ndarray and v.dtype == second[name].dtype for name, v in first.variables.items())
    for name, value in attributes.items():
        assert type(second.attrs[name]) is type(value), name
        assert np.shape(second.attrs[name]) == np.shape(value)
    assert second.attrs["sizes"] == [12]
    assert second.attrs["array"].dtype == stored.attrs["array"].dtype
    assert (second.signs.dtype, second["counts"].dtype) == (bool, np.int32)
    assert second.bound.dtype == stored.bound.dtype
    assert second.signs.attrs["units"] == [1]


def test_every_part_of_the_identity_changes_the_name(tmp_path, monkeypatch):
    names = {results.path_for({"width": width, "seed": seed}, tmp_path) for width in (1, 2) for seed in (1, 2)}
    assert len(names) == 4
    assert results.path_for({"seed": 1, "width": 1}, tmp_path) in names  # order does not matter
    for part in ("_library_code", "device_name", "versions"):
        with monkeypatch.context() as patch:
            patch.setattr(results, part, lambda *_: "another")
            assert results.path_for({"width": 1, "seed": 1}, tmp_path) not in names
    assert results.path_for({"width": 1, "seed": 1}, tmp_path, code="another") not in names


def test_no_two_configurations_share_a_file(tmp_path):
    different = [{"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"a": None}, {1: "a"}, {"a": [1]}, Narrow(1), Wide(1)]
    assert len({results.path_for(config, tmp_path) for config in different}) == len(different)
    assert results.path_for({"a": np.int64(1)}, tmp_path) == results.path_for({"a": 1}, tmp_path)
    with pytest.raises(InputError, match="plain values"):
        results.path_for({"a": object()}, tmp_path)


@pytest.mark.parametrize("where", ["computing", "writing"])
def test_a_failure_leaves_no_file(tmp_path, monkeypatch, where):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    if where == "writing":
        monkeypatch.setattr(xr.Dataset, "to_netcdf", fail)
    with pytest.raises(OSError if where == "computing" else InputError, match="No space left"):
        results.load_or_compute({"a": 1}, fail if where == "computing" else Counter(), tmp_path / "runs")
    assert list(tmp_path.rglob("*.*")) == []


def test_an_unwritable_folder_is_refused_before_anything_is_computed(tmp_path):
    (tmp_path / "file").write_text("in the way")
    compute = Counter()
    with pytest.raises(InputError, match="cannot be written") as caught:
        results.load_or_compute({"a": 1}, compute, tmp_path / "file" / "runs")
    assert "\n" not in str(caught.value)
    assert compute.calls == 0


@pytest.mark.parametrize("damage", ["cut short", "emptied", "zeroed"])
def test_a_damaged_file_is_named_moved_aside_and_made_again(tmp_path, caplog, damage):
    compute = Counter()
    results.load_or_compute({"a": 1}, compute, tmp_path)
    path = results.path_for({"a": 1}, tmp_path)
    whole = path.read_bytes()
    path.write_bytes({"cut short": whole[:100], "emptied": b"", "zeroed": b"\0" * len(whole)}[damage])
    xr.testing.assert_equal(results.load_or_compute({"a": 1}, compute, tmp_path), LOSSES)
    assert compute.calls == 2
    assert path.name in caplog.text
    assert path.with_name(f"{path.name}.damaged").exists()


def test_another_way_to_compile_is_another_result(tmp_path, monkeypatch):
    before = results.path_for({"n": 1}, tmp_path)
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=2")
    assert results.path_for({"n": 1}, tmp_path) != before
