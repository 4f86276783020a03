"""ntk-localsgd results: what is stored, by name, size and age; deleted; as tables."""

import dataclasses
import importlib.util
import os
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ntk_localsgd import cli, results


@dataclasses.dataclass(frozen=True)
class Data:
    kind: str


@dataclasses.dataclass(frozen=True)
class Trained:
    data: Data
    width: int
    seeds: tuple[int, ...]

    def compute(self):
        losses = ("seed", "round"), self.width * np.ones((len(self.seeds), 3))
        return xr.Dataset({"loss": losses, "largest": ((), 2.0 * self.width)}, {"seed": list(self.seeds)})


@dataclasses.dataclass(frozen=True)
class Drawn:
    width: int

    def compute(self):
        return xr.Dataset({"width": ("trial", np.full(2, self.width))})


JOBS = [Trained(Data("sphere"), 8, (3, 4)), Trained(Data("sphere"), 16, (3, 4)), Drawn(5)]


@pytest.fixture
def folder(tmp_path):
    for job in JOBS:
        results.load_or_compute(job, job.compute, tmp_path / "runs")
    return tmp_path / "runs"


def _run(folder, *argv):
    return cli.main(["results", *argv, "--folder", str(folder)])


def test_list_names_jobs_values_sizes_and_ages(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    os.utime(results.path_for(JOBS[2], folder), (0, 0))
    (folder / "x.nc.damaged").touch()
    assert _run(folder, "list") == 0
    shown = capsys.readouterr().out
    for job in JOBS:
        assert results.path_for(job, folder).stem in shown
    assert "data=Data(kind=sphere), width=16, seeds=(3, 4)" in shown
    assert "3 results: " in shown
    assert "x.nc.damaged" in shown
    (old,) = (line for line in shown.splitlines() if "Drawn" in line)
    assert re.search(r"KiB.*\d d ", old)
    assert _run(folder, "list", "--job", "Trained", "--most", "1") == 0
    shown = capsys.readouterr().out
    assert "Drawn" not in shown
    assert "2 results, 1 of them not shown" in shown


def test_show_says_everything_about_one(folder, capsys):
    assert _run(folder, "show", results.path_for(JOBS[0], folder).stem[:12]) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("Trained", "width: 8", "jax", "loss", "(seed, round)", "computed in"))
    assert _run(folder, "show", "") == 2
    assert "fits 3 results" in capsys.readouterr().err


def test_prune_deletes_what_is_asked_for_and_says_so_first(folder, capsys):
    (folder / "x.nc.damaged").write_bytes(b"1234")
    os.utime(results.path_for(JOBS[1], folder), (0, 0))
    before = sorted(folder.iterdir())
    assert _run(folder, "prune", "--older-than", "30", "--dry-run") == 0
    assert "2 files would be deleted" in capsys.readouterr().out
    assert sorted(folder.iterdir()) == before
    assert _run(folder, "prune") == 0
    assert "1 file deleted, 4 B" in capsys.readouterr().out
    assert _run(folder, "prune", "--older-than", "30", "--job", "Drawn") == 0
    assert len(list(folder.iterdir())) == 3
    assert _run(folder, "prune", "--older-than", "30") == 0
    assert {path.name for path in folder.iterdir()} == {results.path_for(job, folder).name for job in JOBS[::2]}
    assert _run(folder, "prune", "--other-versions") == 0
    assert len(list(folder.iterdir())) == 2
    assert _run(folder, "prune", "--job", "Drawn") == 0
    assert len(list(folder.iterdir())) == 1


def test_export_is_one_table_a_class_and_dimensions_with_the_jobs_values(folder, tmp_path, capsys):
    assert _run(folder, "export", str(tmp_path / "tables")) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    losses = pd.read_csv(tmp_path / "tables" / "Trained-seed-round.csv")
    assert len(losses) == 2 * 2 * 3
    assert (losses.loss == losses.width).all()
    assert set(losses.seed) == {3, 4}
    assert set(losses.data) == {"Data(kind=sphere)"}
    scalars = pd.read_csv(tmp_path / "tables" / "Trained.csv").set_index("width")
    assert scalars.largest.to_dict() == {8: 16.0, 16: 32.0}
    drawn = pd.read_csv(tmp_path / "tables" / "Drawn-trial.csv")  # its number has the name of the job's value
    assert (drawn.width == 5).all()
    assert (drawn.job_width == 5).all()


def test_parquet_holds_the_same_or_says_what_is_missing(folder, tmp_path, capsys):
    code = _run(folder, "export", str(tmp_path / "tables"), "--format", "parquet")
    if importlib.util.find_spec("pyarrow") is None:
        assert code == 2
        assert "needs pyarrow" in capsys.readouterr().err
    else:
        assert len(pd.read_parquet(tmp_path / "tables" / "Trained-seed-round.parquet")) == 12


def test_bad_input_is_one_sentence(tmp_path, capsys):
    for argv in (["list"], ["prune"], ["show", "a"], ["export", str(tmp_path)]):
        assert _run(tmp_path / "absent", *argv) == 2
        assert capsys.readouterr().err.count("\n") == 1
