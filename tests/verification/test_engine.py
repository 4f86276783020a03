"""Jobs: each computed once, stored under a name that changes with their code, errors kept apart."""

import dataclasses
import importlib.util
import os
import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from ntk_localsgd.errors import InputError
from tests.verification.light import Threads
from tests.verification.rows import COMPUTED, Doubled
from verification import store as store_module
from verification.data import Source
from verification.engine import compute
from verification.jobs.training import Training
from verification.store import Store, code_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _nothing_computed():
    COMPUTED.clear()


def test_each_job_is_computed_once_and_then_read(tmp_path):
    jobs = [Doubled(1.0), Doubled(2.0), Doubled(1.0)]
    for _ in range(2):
        results = compute(jobs, Store(tmp_path, home=("tests",)))
        assert [float(results[job].twice) for job in jobs] == [2.0, 4.0, 2.0]
    assert sorted(COMPUTED) == [1.0, 2.0]
    compute(jobs, Store(tmp_path, fresh=True, home=("tests",)))
    assert sorted(COMPUTED) == [1.0, 1.0, 2.0, 2.0]


def test_what_is_stored_is_skipped_without_being_opened(tmp_path, monkeypatch):
    jobs, store = [Doubled(1.0), Doubled(2.0)], Store(tmp_path, home=("tests",))
    compute(jobs, store)
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "load", lambda *_: pytest.fail("opened"))
        results = compute(jobs, store)
        assert len(results.computed) == 2
    assert float(results[jobs[1]].twice) == 4.0
    assert len(COMPUTED) == 2


def test_jobs_of_scripts_outside_the_project_are_always_computed(tmp_path):
    for _ in range(2):
        assert not Store(tmp_path).has(Doubled(1.0))
        compute([Doubled(1.0)], Store(tmp_path))
    assert COMPUTED == [1.0, 1.0]


def test_a_job_that_fails_raises_where_it_is_read_and_the_others_go_on(tmp_path, capsys):
    results = compute([Doubled(-1.0), Doubled(3.0)], Store(tmp_path))
    assert float(results[Doubled(3.0)].twice) == 6.0
    with pytest.raises(ValueError, match="negative"):
        results[Doubled(-1.0)]
    assert "a negative value" in capsys.readouterr().err
    with pytest.raises(InputError, match="was not computed"):
        results.only([Doubled(-1.0)])[Doubled(3.0)]


def test_any_executor_will_do(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        assert float(compute([Doubled(2.0)], Store(tmp_path), executor=pool)[Doubled(2.0)].twice) == 4.0


def test_linear_algebra_has_each_threads_share_of_the_cores(tmp_path):
    cores = os.cpu_count()
    with threadpool_limits(cores, user_api="blas"):
        assert int(compute([Threads()], Store(tmp_path))[Threads()].threads) == max(1, cores // 2)
        assert int(Threads().compute().threads) == cores


def test_jobs_are_plain_values_that_pickle():
    job = Training(Source("digits", 8, 0), 2, 16, 0.1, 2, 3, seeds=(1, 2))
    assert pickle.loads(pickle.dumps(job)) == job
    assert hash(job) == hash(dataclasses.replace(job))


def _copied(name, folder, monkeypatch):
    """A module of jobs as it stands in a copy of the sources, where it may be changed."""
    spec = importlib.util.spec_from_file_location(f"copied_{name}", folder / "verification" / "jobs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_a_constant_changed_in_what_a_job_imports_renames_its_file_and_a_change_elsewhere_does_not(
    tmp_path, monkeypatch
):
    ignored = shutil.ignore_patterns("__pycache__", "evidence")
    shutil.copytree(ROOT / "verification", tmp_path / "verification", ignore=ignored)
    training, thresholds = (_copied(name, tmp_path, monkeypatch) for name in ("training", "thresholds"))
    run = training.Training(Source("sphere", 4, 0), 2, 8, 0.1, 1, 1, (0,))
    jobs = run, thresholds.WidthThreshold(run, 8)

    def paths_with(module, old, new):
        file = tmp_path / "verification" / module
        assert file.read_text().count(old) == 1
        file.write_text(file.read_text().replace(old, new))
        code_of.cache_clear()  # a process reads every source once
        return [Store(Path("runs")).path(job) for job in jobs]

    first = paths_with("judging.py", "DELTA = 0.05", "DELTA = 0.01")
    assert paths_with("judging.py", "DELTA = 0.01", "DELTA = 0.02") == first
    of_threshold = paths_with("jobs/thresholds.py", "DELTA, TRIALS = 0.1, 40", "DELTA, TRIALS = 0.2, 40")
    assert of_threshold[0] == first[0]
    assert of_threshold[1] != first[1]
    of_data = paths_with("data.py", "_PAIRS = 0.2", "_PAIRS = 0.3")
    assert of_data[0] != first[0]
    assert of_data[1] not in (first[1], of_threshold[1])
