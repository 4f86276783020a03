"""python -m verification on its smallest preset: evidence, report, exit codes, errors."""

import dataclasses
import json
import pathlib
import re

import pytest

from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import Evidence, Verdict
from verification import __main__ as command
from verification import claims, report, runner
from verification.context import PRESETS

ROOT = pathlib.Path(__file__).parents[2]
WANTED = (
    "K1", "K2", "K3", "K4a", "K4b", "K5", "K6a", "K6b", "K6c", "K7", "S0", "S1a", "S3", "S4", "S5", "S6", "C1",
    "C7", "C7-infinite", "C7-bias", "C7-moment", "S2", "C8", "C8-traps", "C8-widths",
)  # fmt: skip
WANTED += (
    "D1", "D2-upper", "D2-lower", "D2-sharper", "D3", "D4", "D5", "D6", "S1b", "S4-deep", "S5-deep", "C2", "C3", "C5",
    "C4", "C6-width", "C6-stability", "C6-step", "K4a-many", "K4b-many", "C8-run",
)  # fmt: skip


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """One smoke run of everything, shared by the tests of this module."""
    out = tmp_path_factory.mktemp("smoke")
    return out, command.main(["run", "--preset", "smoke", "--out", str(out)])


def _rows(out):
    return [Evidence.from_json(fields) for fields in json.loads((out / "evidence.json").read_text())]


@pytest.mark.slow
def test_everything_runs_and_every_control_breaks(smoke):
    out, code = smoke
    rows = _rows(out)
    assert code == 0
    assert set(WANTED) <= {row.claim for row in rows}
    assert all(row.control.broke for row in rows)
    assert not [row.claim for row in rows if row.verdict is Verdict.REFUTED]


@pytest.mark.slow
def test_too_few_seeds_decide_no_probability(smoke):
    # Twelve failure-free seeds leave failure rates up to 26% possible.
    verdicts = {row.claim: row.verdict for row in _rows(smoke[0])}
    assert all(verdicts[claim] is Verdict.INCONCLUSIVE for claim in ("K4a", "K4b", "K6b", "K7", "S4", "S6", "C1"))


def test_a_preset_may_name_its_claims(tmp_path, monkeypatch):
    chosen = dataclasses.replace(PRESETS["smoke"], claims=("K2", "K5"))
    monkeypatch.setitem(command.PRESETS, "smoke", chosen)
    assert command.main(["run", "--preset", "smoke", "--out", str(tmp_path)]) == 0
    assert {row.claim for row in _rows(tmp_path)} == {"K2", "K2-sharp", "K5"}


def test_the_gpu_preset_is_the_quick_one_at_sixteen_times_the_width_with_more_seeds():
    claims.load_families()
    quick, wide = PRESETS["quick"], PRESETS["gpu"]
    for narrow, large in ((quick.sweep_widths, wide.sweep_widths), (quick.deep.widths, wide.deep.widths)):
        assert tuple(16 * width for width in narrow) == large
    assert wide.sweep_seeds == 32 * quick.sweep_seeds
    assert wide.deep.seeds == 32 * quick.deep.seeds
    assert set(wide.claims) <= set(claims.CLAIMS)


@pytest.mark.slow
def test_evidence_is_strict_json_with_every_field(smoke):
    rows = json.loads((smoke[0] / "evidence.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    fields = ("claim setting verdict premise conclusion measured bound tightness interval control trials failures seed "
              "device versions elapsed")  # fmt: skip
    assert all(set(fields.split()) <= row.keys() for row in rows)
    assert all(row["control"].keys() == {"setting", "broke", "measured"} for row in rows)


@pytest.mark.slow
def test_report_has_a_section_for_every_claim_and_no_torn_row(smoke):
    text = (smoke[0] / "paper_checks.md").read_text()
    for row in _rows(smoke[0]):
        assert f"\n### {row.claim}\n" in text
    for line in text.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)
            assert len(cells) in (11, 9, 6), line  # columns: rows 9, summary 7, table of verdicts 4


@pytest.mark.slow
def test_report_states_multiplicity_and_what_is_recalled(smoke):
    text, rows = (smoke[0] / "paper_checks.md").read_text(), _rows(smoke[0])
    random = [row for row in rows if row.interval is not None and row.trials > 1]
    assert f"*Multiplicity.* {len(random)} rows rest on random seeds (seed 0" in text
    unknown = text.split("## What is not known")[1].split("## Where")[0]
    recalled = {row.claim for row in rows if claims.CLAIMS[row.claim].letter == "R"}
    assert recalled
    assert {name for name in claims.CLAIMS if f"[{name}]" in unknown} == recalled
    marked = [line for line in text.splitlines() if any(f"{mark} [R]" in line for mark in report._MARK.values())]
    assert len(marked) == sum(row.claim in recalled for row in rows)


def test_second_run_reads_the_stored_runs(smoke):
    out, _ = smoke
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*.nc")}
    assert before
    assert command.main(["run", "C1", "S3", "--preset", "smoke", "--out", str(out)]) == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*.nc")} == before


def test_list_names_every_claim(capsys):
    assert command.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(claim in shown for claim in WANTED)


def test_an_id_selects_its_parts_but_not_longer_numbers():
    claims.load_families()
    assert {entry.id for entry in claims.select(["K4"])} == {
        "K4a", "K4a-many", "K4a-width", "K4b", "K4b-many", "K4-threshold",
    }  # fmt: skip
    assert [entry.id for entry in claims.select(["K1"])] == ["K1"]
    assert claims.is_part("S1a", "S1")
    assert not claims.is_part("S10", "S1")


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["run", "Z9"], "Z9"),
        (["run", "--preset", "huge"], "huge"),
        (["run", "K2", "--out", "/proc/nowhere"], "/proc/nowhere"),
        (["run", "K2", "--seed", "-1"], "seed is -1"),
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


def test_unwritable_folder_leaves_nothing_behind(tmp_path, capsys):
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    assert command.main(["run", "K2", "--preset", "smoke", "--out", str(blocker / "out")]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def _example(tmp_path, change=("", "")):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    folder = tmp_path / "my_checks"
    folder.mkdir()
    (folder / "norms.py").write_text(code.replace(*change))
    return folder, code


@pytest.fixture
def _forget_user_claims():
    yield
    for name in [name for name in claims.CLAIMS if name.startswith("MINE")]:
        del claims.CLAIMS[name]


@pytest.mark.usefixtures("_forget_user_claims")
def test_the_contributing_guide_s_example_runs(tmp_path):
    folder, code = _example(tmp_path)
    assert code.count("\n") <= 42
    argv = ["run", "MINE-1", "--preset", "smoke", "--scripts", str(folder), "--out", str(tmp_path / "out")]
    assert command.main(argv) == 0
    rows = _rows(tmp_path / "out")
    assert len(rows) == 2
    assert all(row.control.broke for row in rows)


@pytest.mark.usefixtures("_forget_user_claims")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("control=2 * norms", "control=norms"), "control unbroken"),
        (("math.sqrt(d) + math.sqrt", "0.1 * math.sqrt(d) - math.sqrt"), "refuted"),
        (("bound = math", "bound = undefined"), "crashed"),
    ],
)
def test_a_broken_check_is_reported_and_ends_with_exit_code_1(tmp_path, capsys, change, why):
    folder, _ = _example(tmp_path, change)
    argv = ["run", "MINE-1", "K2", "--preset", "smoke", "--scripts", str(folder), "--out", str(tmp_path / "out")]
    assert command.main(argv) == 1
    assert why in capsys.readouterr().out
    assert any(row.claim == "K2" for row in _rows(tmp_path / "out"))  # the others ran all the same


def test_a_claim_is_registered_once_with_a_known_letter():
    with pytest.raises(InputError, match="letter"):
        claims.claim("X1", "", letter="Q", source="")
    claims.load_families()
    with pytest.raises(InputError, match="twice"):
        claims.claim("K1", "", letter="P", source="")(lambda _: ())


def test_interrupted_work_goes_on_where_it_stopped(tmp_path, monkeypatch):
    run = ["run", "K2", "K5", "--preset", "smoke", "--out", str(tmp_path)]
    command.main(run)
    first = _rows(tmp_path)
    stored = sorted((tmp_path / "claims").glob("*.json"))
    assert len(stored) == len({row.claim for row in first})
    kept, lost = stored[0], stored[1:]
    for path in lost:
        path.unlink()
    measured = []
    measure = runner._measure
    monkeypatch.setattr(runner, "_measure", lambda entry, context: measured.append(entry.id) or measure(entry, context))
    command.main(run)
    again = _rows(tmp_path)
    assert kept.exists()
    assert len(measured) == len(lost)
    assert [(row.claim, row.setting, row.measured) for row in again] == [
        (row.claim, row.setting, row.measured) for row in first
    ]


def test_evidence_depends_on_every_script_that_its_check_imports():
    scripts = {path.stem for path in runner._scripts(pathlib.Path(command.__file__).with_name("certificates.py"))}
    assert {"certificates", "certified_cases", "context", "runs", "claims"} <= scripts
    assert "kernel_at_init" not in scripts
