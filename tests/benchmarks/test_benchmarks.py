"""The bench's own logic: works at tiny sizes, routes of this environment, targets, tables. No peer's environment."""

import dataclasses
import importlib
import json
import pathlib

import numpy as np
import pytest

from benchmarks import environments, history, report
from benchmarks.cases import OURS, Case, Route, Target, Work, distance
from benchmarks.growth import exponent, series
from benchmarks.measure import measure, paired
from benchmarks.works import outside, works

WORKS = {work.name: work for work in works(smoke=True)}


def _measured(name, number=0, **changes):
    """A case of a work with the routes that need no environment of their own."""
    work = WORKS[name]
    case = work.cases[number]
    routes = tuple(route for route in case.routes if route.environment == "project" and "vector" not in route.name)
    return measure(work, dataclasses.replace(case, routes=routes, most_repeats=1, **changes))


def test_routes_agree_are_timed_and_compared():
    rows = {row["route"]: row for row in _measured("deep-gram")}
    assert rows[OURS]["ratio"] == 1
    assert rows[OURS]["share"] > 0
    for peer in (row for row in rows.values() if row["peer"]):
        assert peer["agreement"] < 1e-5
        assert peer["peak"] > 2**20
        assert peer["ratio"] == pytest.approx(peer["seconds"] / rows[OURS]["seconds"])  # of one repetition
        assert 0 < peer["cpu"] < 10


@pytest.mark.parametrize("name", WORKS)
def test_this_project_s_own_routes_to_every_work_run_and_agree(name, monkeypatch):
    monkeypatch.syspath_prepend(pathlib.Path(report.__file__).parent / "peers")
    ours, work = importlib.import_module("this_project"), WORKS[name]
    for case in {case.function: case for case in reversed(work.cases)}.values():  # the smallest of each kind
        arrays, results = case.arrays(), {}
        for route in [route for route in case.routes if route.script == "this_project" and route.checked][:2]:
            prepare = getattr(ours, route.function or case.function)
            results[route.name] = np.asarray(prepare(arrays, case.settings | route.settings)())
        assert results.keys() >= {OURS}
        for result in results.values():
            assert np.isfinite(result).all()
            assert np.abs(result).max() > 0
            assert (work.agreement or distance)(result, results[OURS]) <= work.tolerance


def test_a_sweep_of_jobs_is_computed_anew_every_time(monkeypatch):
    monkeypatch.syspath_prepend(pathlib.Path(report.__file__).parent / "peers")
    (case, *_) = series(smoke=True)["jobs of a sweep, each of no work"].values()
    route = getattr(importlib.import_module("this_project"), case.function)(case.arrays(), case.settings)
    assert route() == route() == case.operations == case.settings["number"]


def test_what_does_not_agree_fails_or_cannot_be_installed_is_a_row_that_says_so(monkeypatch):
    def refuse(*command):
        raise environments.NotInstalledError("no such release")

    monkeypatch.setattr(environments, "_run", refuse)
    monkeypatch.setitem(environments.REQUIREMENTS, "nowhere", ("nothing==0",))
    work = WORKS["prediction"]
    case = work.cases[0]
    other = dataclasses.replace(case.routes[1], name="other step size", settings={"step_size": 0.5})
    broken = dataclasses.replace(case.routes[1], name="broken", function="no such work")
    routes = (Route(OURS), other, broken, Route("absent", "with_numpy", "nowhere"))
    measured = measure(work, dataclasses.replace(case, routes=routes, most_repeats=1))
    rows = {row["route"]: row for row in measured}
    assert "seconds" in rows[OURS], rows[OURS]
    assert "seconds" not in rows["other step size"]
    assert "off by" in rows["other step size"]["note"]
    assert "failed: KeyError" in rows["broken"]["note"]
    assert rows["absent"]["note"] == "could not be installed here: no such release"


ROWS = [
    {"case": "c", "route": OURS, "peer": False, "seconds": 1.0, "ratio": 1.0, "share": 0.75, "peak": 2**30},
    {"case": "c", "route": "slow", "peer": True, "seconds": 9.0, "ratio": 9.0, "peak": 1, "agreement": 1e-7},
    {"case": "c", "route": "fast", "peer": True, "seconds": 1.1, "ratio": 1.1, "peak": 1, "agreement": 1e-7},
    {"case": "c", "route": "absent", "peer": True, "note": "not run: too large"},
]


ONE = (Case("c", "gram", dict, {}, ()),)


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("c", "ratio", 1.4), False),  # of the fastest peer
        (Target("c", "ratio", 1.4, "slow"), True),
        (Target("c", "slowdown", 1.2, "fast"), True),
        (Target("c", "slowdown", 1.05, "fast"), False),
        (Target("c", "multiple", 1.0, "fast"), True),
        (Target("c", "multiple", 0.9, "fast"), False),
        (Target("c", "share", 0.7), True),
        (Target("c", "share", 0.8), False),
        (Target("c", "peak", 2**31), True),
        (Target("c", "peak", 2**29), False),
        (Target("c", "seconds", 1.5), True),
        (Target("c", "seconds", 0.5), False),
    ],
)
def test_targets_are_met_or_missed(target, met):
    assert (": met," in target.verdict(ROWS), "missed" in target.verdict(ROWS)) == (met, not met)


def test_every_target_speaks_of_a_case_and_a_route_that_exist():
    for work in (*WORKS.values(), *works(smoke=False)):
        for target in work.targets:
            (case,) = (case for case in work.cases if case.label == target.case)
            assert target.against in (None, *(route.name for route in case.routes))


def test_results_become_tables_that_name_what_is_missing(tmp_path):
    work = Work("w", "A work", ONE, (Target("c", "ratio", 1.4),), "2n³", because="a reason")
    report.write("w", report.of_work(work, ROWS, report.environment(set())), tmp_path)
    text = report.render(tmp_path, ["w", "not measured"])
    assert "**missed**" in text
    assert "not run: too large" in text
    assert "Results agree within 0.001: a reason." in text
    alone = report.of_work(work, [row for row in ROWS if not row["peer"]], report.environment(set()))
    report.write("alone", alone, tmp_path)
    assert "Results agree" not in report.render(tmp_path, ["alone"])
    assert json.loads((tmp_path / "w.json").read_text())["environment"]["versions"]["jax"]
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.into_readme(text, readme)
    assert readme.read_text().startswith("before\n")
    assert readme.read_text().endswith("after\n")
    assert "old" not in readme.read_text()


def test_another_device_has_its_own_folder_and_is_compared_with_the_processor(tmp_path, monkeypatch):
    assert report.here(tmp_path) == tmp_path
    monkeypatch.setattr(report.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(report.results, "device_name", lambda: "Maker H1 (80 GB)")
    folder = report.here(tmp_path)
    assert folder == tmp_path / "maker-h1-80-gb"
    work = Work("w", "A work", ONE, (), "", because="a reason")
    faster = [{**row, "seconds": row["seconds"] / 8} for row in ROWS if "seconds" in row]
    on_device = report.of_work(work, faster, report.environment(set()))
    monkeypatch.undo()
    report.write("w", report.of_work(work, ROWS, report.environment(set())), tmp_path)
    report.write("w", on_device, folder)
    text = report.render(tmp_path, ["w"])
    assert text.index("### A work\n") < text.index("### A work, Maker H1 (80 GB)")
    assert text.count("- c: 8 times as fast as on ") == 1


def test_results_are_remembered_by_machine_and_commit(tmp_path):
    about = {"device": "CPU", "processor": "P", "load_average": 1.0}
    for commit, factor in (("a" * 40, 1.0), ("b" * 40, 2.0), ("b" * 40, 3.0)):
        rows = [{**row, "seconds": row["seconds"] * factor} for row in ROWS if "seconds" in row]
        history.remember(history.lines("w", {"environment": about, "rows": rows}, commit, "2026-11-30"), tmp_path)
    known = history.recalled(tmp_path)
    assert [(line["commit"], line["seconds"], line["fastest peer"]) for line in known] == [
        ("a" * 40, 1.0, "fast"), ("b" * 40, 3.0, "fast"),
    ]  # fmt: skip
    assert history.table(tmp_path).count("\n| w | c | CPU (P) |") == 2
    assert not history.table(tmp_path / "nowhere")


def test_distances_and_exponents():
    assert paired([2.0, 30.0, 3.0], [1.0, 10.0, 1.0]) == 3  # the slow minute weighs on both
    assert distance(np.array([3.0, 4.0]), np.array([3.0, 5.0])) == pytest.approx(1 / 34**0.5)
    assert outside(np.array([0.5]), np.array([0.4, 0.6])) == 0
    assert outside(np.array([0.7, 0.8]), np.array([0.4, 0.6])) == pytest.approx(0.1)
    assert exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
    assert all(isinstance(case, Case) for cases in series(smoke=False).values() for case in cases.values())


def test_no_file_of_the_bench_is_longer_than_the_house_allows():
    folder = pathlib.Path(report.__file__).parent
    assert max(len(path.read_text().splitlines()) for path in folder.rglob("*.py")) <= 400
