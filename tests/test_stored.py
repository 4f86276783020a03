"""Files of results: whole or not there, damage noticed without opening them, nothing left behind."""

import errno
import os
import pathlib
import subprocess
import sys

import h5py
import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr

from ntk_localsgd import stored
from ntk_localsgd.errors import InputError, StorageError

LOSSES = xr.Dataset({"loss": ("round", np.arange(3.0))}, attrs={"configuration": "{'a':1}"})


@pytest.fixture
def path(tmp_path):
    stored.save(tmp_path / "0123.nc", LOSSES)
    return tmp_path / "0123.nc"


def test_a_saved_file_is_netcdf_for_others_too(path):
    with h5py.File(path) as file:  # which knows nothing of the sum at the end
        np.testing.assert_array_equal(file["loss"], LOSSES.loss)
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened.loss, LOSSES.loss)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
    max_leaves=8,
)


@hypothesis.given(
    values=arrays.arrays(
        st.sampled_from([np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    attributes=st.dictionaries(st.text(min_size=1, max_size=4), _VALUES, max_size=3),
)
def test_what_is_read_equals_what_was_saved(tmp_path_factory, values, attributes):
    dataset = xr.Dataset({"v": ([f"d{k}" for k in range(values.ndim)], values, attributes)}, attrs=attributes)
    path = tmp_path_factory.mktemp("any") / "0.nc"
    for result in (stored.save(path, dataset), stored.load(path)):
        xr.testing.assert_identical(result, dataset)
        assert result.v.dtype == values.dtype
        assert repr(result.attrs) == repr(result.v.attrs) == repr(attributes)


@pytest.mark.parametrize("change", ["flipped", "cut", "longer", "end lost", "emptied", "zeroed", "another's"])
def test_every_damage_is_seen_and_named(path, caplog, change):
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "cut": whole[:middle],
        "longer": whole + b"\0",
        # With its end a file loses the sum that tells of other damage.
        "end lost": whole[:-75].replace(np.float64(2).tobytes(), np.float64(3).tobytes()) + bytes(75),
        "emptied": b"",
        "zeroed": whole[:middle] + bytes(len(whole) - middle),
    }
    if change == "another's":
        path = path.replace(path.with_name("4567.nc"))
    else:
        path.write_bytes(damaged[change])
    read = stored.load if change in ("flipped", "another's") else stored.is_whole
    configuration = () if change in ("flipped", "another's") else ("{'a':1}",)
    outcome = read(path, *configuration)
    assert not outcome
    assert not path.exists()
    assert path.with_name(path.name + ".damaged").exists()
    assert path.name in caplog.text


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_bare_files_end_where_hdf5_says_whatever_wrote_them(tmp_path, libver):
    path = tmp_path / "0.nc"
    with h5py.File(path, "w", libver=libver) as file:
        file["loss"] = np.arange(3.0)
    whole = path.read_bytes()
    assert stored._is_bare(path)
    for other in (whole + b"\0", whole[:-1], whole[:40], b""):
        path.write_bytes(other)
        assert not stored._is_bare(path)


def test_whole_files_are_whole_and_absent_ones_are_not(path):
    assert stored.is_whole(path)
    assert not stored.is_whole(path.with_name("absent.nc"))
    assert stored.load(path.with_name("absent.nc")) is None


def test_files_without_a_sum_are_those_of_earlier_versions_and_checked_by_what_they_hold(tmp_path, path):
    content = path.read_bytes()
    old = tmp_path / "89ab.nc"
    old.write_bytes(content[: content.rindex(b"\n# sha256 ")])
    assert stored.is_whole(old, "{'a':1}")
    xr.testing.assert_identical(stored.load(old), LOSSES)
    assert stored.load(old, "{'a':2}") is None
    assert (tmp_path / "89ab.nc.damaged").exists()


def test_attributes_are_read_without_the_arrays_and_leave_the_file_where_it_is(path):
    assert stored.attributes(path) == LOSSES.attrs
    path.write_bytes(b"x")
    assert stored.attributes(path) == {}
    assert path.exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE])
def test_a_whole_file_that_the_system_does_not_open_stays_where_it_is(path, monkeypatch, number):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pathlib.Path, "open", refused)
    for reader in (stored.load, stored.is_whole):
        with pytest.raises(StorageError, match=os.strerror(number)):
            reader(path)
    monkeypatch.undo()
    assert stored.is_whole(path)


def test_a_full_disk_is_one_sentence_and_leaves_no_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        stored.save(tmp_path / "0.nc", LOSSES)
    assert isinstance(caught.value, InputError)
    assert list(tmp_path.iterdir()) == []


_KILLED = """
import os, pathlib, signal, sys
import numpy as np, xarray as xr
from ntk_localsgd import stored
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
stored.save(pathlib.Path(sys.argv[1]), xr.Dataset({"loss": ("round", np.arange(3.0))}))
"""


def test_a_writer_that_is_killed_leaves_no_result_and_what_it_leaves_is_found(tmp_path):
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path / "0.nc")], check=False)
    assert done.returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".part"
    living = tmp_path / left.name.replace(left.name.split("-")[1], str(os.getpid()))
    living.touch()
    assert stored.leftovers(tmp_path) == [left]
