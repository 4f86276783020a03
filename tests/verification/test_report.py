"""paper_checks.md: one section a paper, in step with the code and the theory; what is recalled stands in one place."""

import pathlib
import re

import pytest

from figures.__main__ import FIGURES
from ntk_localsgd.evidence import Condition, Control, Evidence
from verification import __main__ as command
from verification import claims, papers, report

ROOT = pathlib.Path(__file__).parents[2]
GALLERY = ROOT / "figures" / "gallery"
COMMITTED = ROOT / "verification" / "evidence"


@pytest.fixture(scope="module", autouse=True)
def _families():
    claims.load_families()


def _ours():
    return [name for name, entry in claims.CLAIMS.items() if not report._is_users(entry)]


def _row(claim="K2", text="x ≤ 1", measured=0.5, bound=1.0, **changed):
    fields = {
        "premise": Condition("", True), "conclusion": Condition(text, True), "control": Control("c", True, 2.0),
        "seed": 0, "device": "x86_64 CPU, 2 cores", "trials": 1,
    } | changed  # fmt: skip
    return Evidence(claim, fields.pop("setting", "s"), measured=measured, bound=bound, **fields)


def test_every_claim_has_one_paper_and_every_id_is_a_claim():
    ids = [wanted for paper in papers.PAPERS for wanted in paper.ids]
    assert len(ids) == len(set(ids))
    assert [name for name in _ours() if papers.paper_of(name) is papers.OTHER] == []
    assert [wanted for wanted in ids if not any(claims.is_part(name, wanted) for name in _ours())] == []


def test_a_part_with_an_entry_of_its_own_leaves_its_whole():
    assert papers.paper_of("S4-slope") is papers.paper_of("S4") is not papers.paper_of("S4-deep")
    assert papers.paper_of("K4a-width") is papers.OWN is not papers.paper_of("K4a")
    assert papers.paper_of("S10") is papers.paper_of("MINE") is papers.OTHER


def _theory():
    """Ids that docs/theory.md gives a statement: in bold, at the head of a list's item, or in a section's heading."""
    text = (ROOT / "docs" / "theory.md").read_text()
    name = r"[KSDC]\d+[a-z]?(?:-[a-z]+)*"
    found = []
    for bold in re.findall(r"^\*\*(.+?)\*\*", text, re.M):
        found += re.findall(rf"(?:^|, ){name}(?![\w°])", bold.split("[")[0])
    found += re.findall(rf"^- ({name})\b", text, re.M)
    found += re.findall(rf"^#+ [\d.]+ ({name})\b", text, re.M)
    return {entry.removeprefix(", ") for entry in found}


def test_the_theory_states_every_claim_and_every_statement_is_checked():
    stated = _theory()
    assert [name for name in _ours() if not any(claims.is_part(name, wanted) for wanted in stated)] == []
    assert [wanted for wanted in stated if not any(claims.is_part(name, wanted) for name in _ours())] == []


def test_committed_report_is_rendered_from_the_committed_evidence_and_has_every_claim():
    rows = report.committed_evidence(COMMITTED)
    text = (ROOT / "paper_checks.md").read_text()
    assert report.render(rows, images=report.gallery(GALLERY, ROOT)) == text
    assert all(row.control.broke for found in rows.values() for row in found)
    shown = re.findall(r"^### (\S+)$", text, re.M)
    assert sorted(shown) == sorted(_ours())
    for name in shown:
        section = text.split(f"\n### {name}\n")[1].split("\n#")[0]
        assert any(mark in section for mark in report._MARK.values())
        assert f"`python -m verification run {name}`" in section


def test_links_of_the_committed_report_lead_somewhere():
    text = (ROOT / "paper_checks.md").read_text()
    anchors = [report._anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.M)]
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= set(anchors)
    links = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert links
    assert all((ROOT / link).exists() for link in links)


def test_every_figure_is_in_the_gallery_and_in_one_section():
    shown = [name for paper in papers.PAPERS for name in paper.figures] + [report.SUMMARY_FIGURE]
    assert sorted(shown) == sorted(FIGURES)
    assert all((GALLERY / f"{name}.{kind}").exists() for name in shown for kind in ("png", "md"))


def test_a_report_elsewhere_links_the_gallery_from_there(tmp_path):
    assert command.main(["report", "--to", str(tmp_path / "checks.md")]) == 0
    links = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (tmp_path / "checks.md").read_text())
    assert links
    assert all((tmp_path / link).resolve().exists() for link in links)


def test_a_run_s_own_report_shows_no_picture_of_other_runs(tmp_path):
    assert command.main(["run", "K2", "--preset", "smoke", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "paper_checks.md").read_text()
    assert "](figures" not in text
    assert "![" not in text
    assert "| smoke · CPU |" in text
    assert "`python -m verification run K2 --preset smoke`" in text


def test_rows_of_several_presets_and_devices_are_told_apart():
    found = {"quick": [_row()], "full-gpu": [_row(device="NVIDIA H100", measured=0.75, seed=3)]}
    text = report.render(found)
    assert "| s | quick · CPU |" in text
    assert "| s | full-gpu · NVIDIA H100 |" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| [K2]")]
    assert "2 ✔ verified | 0.75 (≤) | 2 of 2 | CPU, NVIDIA H100 |" in line
    assert "`python -m verification run K2`, `python -m verification run K2 --preset full --seed 3`" in text
    assert "- **full-gpu**: 1 rows; device: NVIDIA H100; seed: 3" in text


@pytest.mark.parametrize(
    ("text", "values", "shown"),
    [
        ("‖x‖ ≤ 1, with probability ≥ 0.95", (0.2, 0.9), "0.9 (≤)"),
        ("mean rate below 1", (0.2, 0.9), "0.9 (≤)"),
        ("λ_min ≥ λ0/2 = 0.3", (1.5, 7.0), "1.5 (≥)"),
        ("quotient above 1000", (1.5, 7.0), "1.5 (≥)"),
        ("exponent within −0.5 ± 0.1", (0.7, 1.1), "0.7 (=)"),
        ("width / width = 1", (1.0, 1.2), "1.2 (=)"),
        ("all entries inside their intervals", (0.2, 0.9), "0.2 … 0.9"),
        ("frequencies agree, and erf ≤ bound", (1.01, 1.02), "1.01 … 1.02"),  # it holds, so that ≤ means something else
    ],
)
def test_worst_tightness_is_the_one_nearest_to_failure(text, values, shown):
    assert report._worst([_row(text=text, measured=value) for value in values]) == shown


def test_worst_tightness_of_several_relations_is_shown_for_each():
    rows = [_row(measured=0.4), _row(text="x ≥ 1", measured=3.0), _row(measured=0.6)]
    assert report._worst(rows) == "0.6 (≤), 3 (≥)"
    assert report._worst([_row(measured=2.0, bound=0.0)]) == "–"


def test_committed_rows_fail_in_the_direction_of_their_bound():
    from ntk_localsgd.bounds import BOUNDS

    signs = {"<=": "≤", ">=": "≥"}
    for row in (row for found in report.committed_evidence(COMMITTED).values() for row in found):
        relation = report._relation(row)
        if row.claim in BOUNDS and row.tightness is not None and relation in ("≤", "≥"):
            assert relation == signs[BOUNDS[row.claim].relation], row


def test_a_claim_of_one_s_own_comes_last_with_its_folder(monkeypatch):
    def check(context):
        return ()

    check.__module__ = "user_checks.norms"
    mine = claims.Claim("K1-mine", "x", "P", "me", check, check)
    monkeypatch.setitem(claims.CLAIMS, "K1-mine", mine)
    text = report.render({"quick": [_row("K1-mine"), _row("C8")]})
    assert text.index("## This project's own") < text.index("### C8") < text.index("## Other claims")
    assert "`python -m verification run K1-mine --scripts tests/verification`" in text


def test_an_unbroken_control_is_not_overlooked():
    assert "2, UNBROKEN |" in report.render({"quick": [_row(control=Control("c", False, 2.0))]})


def test_list_is_ordered_by_paper(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert command.main(["list"]) == 0
    shown = capsys.readouterr().out
    places = [shown.index(paper.title) for paper in papers.PAPERS]
    assert places == sorted(places)
    assert papers.OTHER.title not in shown
