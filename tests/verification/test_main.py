"""python -m verification on its smallest preset: evidence, report, exit codes, errors, and how it is extended."""

import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from ntk_localsgd.evidence import Verdict, read_evidence
from verification import commands as command
from verification import registry
from verification.presets import PRESETS

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _discovered():
    registry.discover()


def _rows(out):
    return read_evidence(out / "evidence.json")[1]


@pytest.mark.slow
def test_everything_runs_and_every_control_breaks(smoke):
    out, code = smoke
    rows = _rows(out)
    assert code == 0
    assert {row.claim for row in rows} == {entry.id for entry in registry.in_order() if not entry.is_users}
    assert len({row.claim for row in rows}) >= 55
    assert [row.where for row in rows if not row.control.broke] == []
    assert [row.claim for row in rows if row.verdict is Verdict.REFUTED] == []


@pytest.mark.slow
def test_too_few_seeds_decide_no_probability(smoke):
    # Twelve failure-free seeds leave failure rates up to 26% possible.
    verdicts = {row.claim: row.verdict for row in _rows(smoke[0])}
    assert all(verdicts[name] is Verdict.INCONCLUSIVE for name in ("K4a", "K4b", "K6b", "K7", "S4", "S6", "C1"))


@pytest.mark.slow
def test_evidence_is_strict_json_with_a_header_once(smoke):
    content = json.loads((smoke[0] / "evidence.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert set(content["header"]) == {"preset", "seed", "device", "commit", "versions", "crashed"}
    fields = ("claim setting verdict premise conclusion relation measured bound tolerance tightness interval delta "
              "control trials failures searched code")  # fmt: skip
    for row in content["rows"]:
        assert set(row) == set(fields.split())
        assert row["control"].keys() == {"setting", "broke", "measured"}


@pytest.mark.slow
def test_the_report_has_a_line_for_every_claim_and_no_torn_row(smoke):
    text = (smoke[0] / "paper_checks.md").read_text()
    for row in _rows(smoke[0]):
        assert text.count(f"</a>{row.claim} |") == 1
    for line in text.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)
            assert len(cells) in (11, 10, 7, 6, 4), line  # columns: rows 9, papers 8, claims 5, readings 4, abstracts 2
    assert "![" not in text  # the gallery is drawn from other runs
    again = re.findall(r"`python -m verification run (.*?) --fresh --preset smoke`", text)
    claims = {claim for claims in again for claim in claims.split()}
    assert "K4a" in claims  # its twelve seeds decide nothing
    assert "K2" not in claims  # its rows are verified


@pytest.mark.slow
def test_a_second_run_reads_the_stored_results_and_says_so(smoke, capsys):
    out, _ = smoke
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*.nc")}
    first = {row.where: row for row in _rows(out) if row.claim in ("C1", "S3")}
    text = (out / "evidence.json").read_text()
    try:
        assert command.main(["run", "C1", "S3", "--preset", "smoke", "--out", str(out)]) == 0
        assert "from the store" in capsys.readouterr().err
        assert {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*.nc")} == before
        assert {row.where: row for row in _rows(out)} == first
    finally:
        (out / "evidence.json").write_text(text)


def test_a_preset_may_name_its_claims(tmp_path, monkeypatch):
    chosen = dataclasses.replace(PRESETS["smoke"], claims=("K2", "C5"))
    monkeypatch.setitem(command.PRESETS, "smoke", chosen)
    assert command.main(["run", "--preset", "smoke", "--out", str(tmp_path)]) == 0
    assert {row.claim for row in _rows(tmp_path)} == {"K2", "C5"}


def test_the_gpu_preset_is_the_quick_one_at_sixteen_times_the_width_with_more_seeds():
    quick, wide = PRESETS["quick"], PRESETS["gpu"]
    for narrow, large in ((quick.sweep_widths, wide.sweep_widths), (quick.deep.widths, wide.deep.widths)):
        assert tuple(16 * width for width in narrow) == large
    assert wide.sweep_seeds == 32 * quick.sweep_seeds
    assert wide.deep.seeds == 32 * quick.deep.seeds
    assert set(wide.claims) <= set(registry.CLAIMS)


def test_list_names_every_claim_paper_by_paper(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert command.main(["list"]) == 0
    shown = capsys.readouterr().out
    places = [shown.index(paper.title) for paper, _ in registry.papers()]
    assert places == sorted(places)
    assert all(entry.id in shown for entry in registry.in_order())


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["run", "Z9"], "Z9"),
        (["run", "C8-widhts"], "did you mean C8-widths"),
        (["run", "dueng2022"], "did you mean deng2022"),
        (["rum", "K2"], "did you mean run?"),
        (["run", "K2", "--preste", "smoke"], "did you mean --preset?"),
        (["run", "--preset", "huge"], "huge"),
        (["run", "K2", "--out", "/proc/nowhere"], "/proc/nowhere"),
        (["run", "K2", "--seed", "-1"], "seed is -1"),
        (["run", "K2", "--seed", "100000000000000000000"], "seed is 1000"),
        (["run", "K2", "--scripts", "absent"], "absent"),
        (["report", "--evidence", "absent"], "absent"),
        (["walk"], "walk"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_2(argv, named, capsys):
    assert command.main(argv) == 2
    captured = capsys.readouterr()
    assert named in captured.err
    assert captured.err.count("\n") == 1


def test_an_unwritable_folder_leaves_nothing_behind(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    assert command.main(["run", "K2", "--preset", "smoke", "--out", str(blocker / "out")]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


_GUIDE = (ROOT / "CONTRIBUTING.md").read_text()


def _example(tmp_path, change=("", "")):
    code = re.search(r"`my_checks/norms\.py`.*?```python\n(.*?)```", _GUIDE, re.S)[1]
    folder = tmp_path / "my_checks"
    folder.mkdir()
    (folder / "norms.py").write_text(code.replace(*change))
    return folder, code


@pytest.fixture
def _forget_user_claims():
    yield
    for name in [name for name in registry.CLAIMS if name.startswith("MINE")]:
        del registry.CLAIMS[name]


@pytest.mark.usefixtures("_forget_user_claims")
def test_the_contributing_guide_s_claim_runs(tmp_path):
    folder, code = _example(tmp_path)
    assert code.count("\n") <= 50
    argv = ["run", "MINE-1", "--preset", "smoke", "--scripts", str(folder), "--out", str(tmp_path / "out")]
    assert command.main(argv) == 0
    rows = _rows(tmp_path / "out")
    assert len(rows) == 2
    assert all(row.control.broke for row in rows)


@pytest.mark.usefixtures("_forget_user_claims")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("for scale in (1.0, 2.0)", "for scale in (1.0, 1.0)"), "control unbroken"),
        (("math.sqrt(d) + math.sqrt", "0.1 * math.sqrt(d) - math.sqrt"), "refuted"),
        (("bound = math", "bound = undefined"), "crashed"),
        (("weights = [np", "weights = [undefined"), "crashed"),
    ],
)
def test_a_broken_check_is_reported_and_ends_with_exit_code_1(tmp_path, capsys, change, why):
    folder, _ = _example(tmp_path, change)
    argv = ["run", "MINE-1", "C5", "--preset", "smoke", "--scripts", str(folder), "--out", str(tmp_path / "out")]
    assert command.main(argv) == 1
    assert why in capsys.readouterr().out
    assert any(row.claim == "C5" for row in _rows(tmp_path / "out"))  # the others ran all the same
    crashed = read_evidence(tmp_path / "out" / "evidence.json")[0].crashed
    report = (tmp_path / "out" / "paper_checks.md").read_text()
    assert ("MINE-1" in crashed) == (why == "crashed") == ("## Crashed\n\n- MINE-1 (smoke): " in report)
    assert ("## Without a row here\n\nMINE-1." in report) == (why == "crashed")


# The three commands in one process, which is what takes its time to begin.
_NEW_PAPER = """
import sys
from figures.__main__ import main as figures
from ntk_localsgd.cli import main as ntk_localsgd
from verification.__main__ import main as verification
failed = verification(["run", "weyl1912", "--preset", "smoke"])
failed = failed or figures(["largest", "--missing", "run", "--preset", "smoke"])
print("the bound:", flush=True)
sys.exit(failed or ntk_localsgd(["bounds", "W1", "--n", "8"]))
"""


@pytest.mark.slow
def test_the_contributing_guide_s_paper_is_four_new_files(tmp_path):
    for package in ("ntk_localsgd", "verification", "figures"):
        ignored = shutil.ignore_patterns("__pycache__", "evidence", "gallery")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    files = re.findall(r"^`(\S+\.py)`, .*?```python\n(.*?)```", _GUIDE, re.S | re.M)
    assert [len(code.splitlines()) < 50 for _, code in files] == 4 * [True]
    for name, code in files:
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(code)

    done = subprocess.run([sys.executable, "-c", _NEW_PAPER], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {row.claim for row in _rows(tmp_path / "results")} == {"W1"}
    assert "## Weyl 1912: eigenvalues" in (tmp_path / "results" / "paper_checks.md").read_text()
    assert (tmp_path / "results" / "figures" / "largest.png").stat().st_size > 1000
    assert re.search(r"\b4\b", done.stdout.partition("the bound:")[2])
