"""paper_checks.md: every row whole, what is recalled and what is undecided said; the committed one in step."""

import dataclasses
import pathlib
import re

import pytest

from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import Header, Verdict
from tests.verification.rows import row
from verification import commands as command
from verification import papers, registry
from verification.report import markdown, pages

ROOT = pathlib.Path(__file__).parents[3]
GALLERY = ROOT / "figures" / "gallery"
COMMITTED = ROOT / "verification" / "evidence"
QUICK = Header("quick", 0, "x86_64 CPU, 2 cores", "abc", {"jax": "0"})


@pytest.fixture(autouse=True)
def _discovered():
    registry.discover()


def _text(*rows):
    return markdown.render(pages.report([(QUICK, rows)]))


def test_a_row_shows_both_sides_relation_and_tolerance():
    text = _text(row(holds=False, measured=1.2, tolerance=0.1, trials=7, failures=2))
    assert "| 1.2 ≤ 1 ± 0.1 | 7 (2) |" in text
    assert "| K2 | digits, n = 8 | quick · CPU |" in text
    assert "✘ refuted |" in text


def test_a_claim_has_one_line_and_only_rows_that_fail_or_are_undecided_stand_in_full():
    text = _text(row("K2"), row("K2", measured=0.7), row("K5"))
    assert '| <a id="k2"></a>K2 | P |' in text
    assert "2 ✔ verified | 0.7 (≤) |" in text
    assert "quick · CPU" not in text
    assert "`python -m verification run K2 --fresh`" in _text(row("K2", holds=None))
    both = _text(row("K2", holds=None), row("K5", holds=None), row("K5", holds=None, preset="full"))
    assert (
        "*Again:* `python -m verification run K2 K5 --fresh`, `python -m verification run K5 --fresh --preset full`"
        in both
    )


def test_an_unbroken_control_and_a_crash_are_not_overlooked():
    text = _text(row(broke=False))
    assert "2, UNBROKEN |" in text
    assert "? inconclusive" in text
    report = pages.report([(dataclasses.replace(QUICK, crashed={"K9": "ValueError: a | b"}), [row()])])
    assert "- K9 (quick): ValueError: a \\| b" in markdown.render(report)


def test_no_row_is_torn_by_what_stands_in_it():
    text = _text(row(holds=False, setting={"data": "a | b", "case": "‖x‖ * 2"}))
    (line,) = [line for line in text.splitlines() if "quick · CPU" in line]
    assert len(re.split(r"(?<!\\)\|", line)) == 11
    assert "\\* 2" in line


def test_recalled_statements_are_marked_and_listed():
    recalled = next(entry for entry in registry.in_order() if entry.letter == "R")
    text = _text(row(recalled.id, holds=False), row("K2", holds=False))
    assert text.count("✘ refuted [R]") == 1
    assert f"[{recalled.id}]" in text.split("## What is not known")[1]


def test_multiplicity_counts_the_rows_that_rest_on_random_seeds():
    text = _text(row(interval=(0.0, 0.04), delta=0.05, trials=100), row(trials=5), row())
    assert "*Multiplicity.* 1 rows rest on random seeds (seed 0" in text
    assert "1 rows rest on several seeds" in text


def test_an_abstract_is_quoted_with_the_rows_that_test_each_line_or_why_none_does(monkeypatch):
    abstract = (
        papers.Line("It goes.", ("K2", "K3"), "how fast | far."),
        papers.Line("It is new.", (), "news."),
    )
    paper = dataclasses.replace(registry.CLAIMS["K2"].paper, abstract=abstract)
    monkeypatch.setitem(registry.CLAIMS, "K2", dataclasses.replace(registry.CLAIMS["K2"], paper=paper))
    text = _text(row("K2"), row("K2", holds=False))
    tested = "[K2](#k2) (1 ✔, 1 ✘); K3 (no row here); not tested: how fast \\| far."
    assert f"| “It goes.” | {tested} |" in text
    assert "| “It is new.” | not tested: news. |" in text


def test_every_line_of_an_abstract_names_claims_that_there_are():
    lines = [line for paper, _ in registry.papers() for line in paper.abstract]
    assert len(lines) >= 8
    assert {name for line in lines for name in line.claims} <= registry.CLAIMS.keys()
    with pytest.raises(InputError, match="no claims"):
        papers.Line("It converges.")


def test_the_summary_for_a_terminal_has_a_line_a_claim():
    table = markdown.summary_table([row("K2"), row("K2", holds=False), row("C8")])
    assert table.row_count == 2


def _committed():
    return pages.evidence_of(COMMITTED)


def test_the_committed_report_is_rendered_from_the_committed_evidence_and_has_every_claim():
    files = _committed()
    text = (ROOT / "paper_checks.md").read_text()
    assert markdown.render(pages.report(files, images=pages.gallery(GALLERY, ROOT))) == text
    rows = [found for _, part in files for found in part]
    # Every control breaks but one of the full preset: entropy follows the loss of a narrow network that has nothing to
    # fit, so that E4 says nothing there.
    weak = [found for found in rows if not found.control.broke]
    assert [(found.claim, found.preset, found.where) for found in weak] == [
        ("E4", "full", "digits, n = 800, m = 16, L = 1, seeds = 20, α = 0.3, over rounds 20 … 200"),
    ]
    assert all(found.verdict is Verdict.INCONCLUSIVE for found in weak)
    ours = {entry.id for entry in registry.in_order() if not entry.is_users}
    assert {found.claim for found in rows} == ours == set(re.findall(r"</a>(\S+) \|", text))
    assert len(text.encode()) < 60_000


def test_links_of_the_committed_report_lead_somewhere():
    text = (ROOT / "paper_checks.md").read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    anchors += re.findall(r'<a id="([^"]+)">', text)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= set(anchors)
    links = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert links
    assert all((ROOT / link).exists() for link in links)


def test_committed_rows_fail_in_the_direction_of_their_bound():
    from ntk_localsgd.bounds import BOUNDS

    signs = {"<=": "≤", ">=": "≥"}
    for found in (found for _, rows in _committed() for found in rows):
        if found.claim in BOUNDS and found.tightness is not None and found.relation in ("≤", "≥"):
            assert found.relation == signs[BOUNDS[found.claim].relation], found


def test_a_report_elsewhere_links_the_gallery_from_there_and_its_folder_is_made(tmp_path):
    assert command.main(["report", "--to", str(tmp_path / "new" / "checks.md")]) == 0
    links = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (tmp_path / "new" / "checks.md").read_text())
    assert links
    assert all((tmp_path / "new" / link).resolve().exists() for link in links)


def test_broken_evidence_is_refused_with_one_sentence(tmp_path, capsys):
    (tmp_path / "quick.json").write_text("[{broken")
    assert command.main(["report", "--evidence", str(tmp_path), "--to", str(tmp_path / "r.md")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "r.md").exists()


def _theory():
    """Ids that docs/theory.md gives a statement: in bold, at the head of a list's item, or in a section's heading."""
    text = (ROOT / "docs" / "theory.md").read_text()
    name = r"[KSDCFNXE]\d+[a-z]?(?:-[a-z]+)*"
    found = []
    for bold in re.findall(r"^\*\*(.+?)\*\*", text, re.M):
        found += re.findall(rf"(?:^|, ){name}(?![\w°])", bold.split("[")[0])
    found += re.findall(rf"^- ({name})\b", text, re.M)
    found += re.findall(rf"^#+ [\d.]+ ({name})\b", text, re.M)
    return {entry.removeprefix(", ") for entry in found}


def test_the_theory_states_every_claim_and_every_statement_is_checked():
    stated, ours = _theory(), [entry.id for entry in registry.in_order() if not entry.is_users]
    assert [name for name in ours if not any(registry.is_part(name, part) for part in stated)] == []
    assert [part for part in stated if not any(registry.is_part(name, part) for name in ours)] == []
