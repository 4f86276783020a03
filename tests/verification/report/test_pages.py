"""The report's data: rows by paper and claim, the worst of each, commands that repeat them, files that are read."""

import json
import shlex

import pytest

from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import Header, write_evidence
from tests.verification.rows import row
from verification import checking, papers, registry
from verification.report import pages

QUICK, GPU = Header("quick", 0, "x86_64 CPU, 2 cores", "abc", {}), Header("full", 3, "a GPU", "", {"jax": "0"})


@pytest.fixture(autouse=True)
def _discovered():
    registry.discover()


@pytest.mark.parametrize(
    ("relation", "values", "shown"),
    [("≤", (0.2, 0.9), 0.9), ("≥", (1.5, 7.0), 1.5), ("within", (0.7, 1.1), 0.7), ("=", (1.0, 1.2), 1.2)],
)
def test_worst_tightness_is_the_one_nearest_to_failure(relation, values, shown):
    rows = [row(relation=relation, measured=value, holds=None) for value in values]
    assert pages.worst(rows) == {relation: shown}


def test_worst_tightness_is_shown_for_each_relation_and_needs_a_quotient():
    rows = [row(measured=0.4), row(relation="≥", measured=3.0), row(measured=0.6)]
    assert pages.worst(rows) == {"≤": 0.6, "≥": 3.0}
    assert pages.worst([row(measured=2.0, bound=0.0, holds=None)]) == {}


def test_rows_of_several_runs_meet_in_their_claim_with_a_command_each():
    files = [(QUICK, [row("K2"), row("C8")]), (GPU, [row("K2", preset="full", seed=3)])]
    shown = pages.report(files)
    assert [section.paper for section in shown.sections] == [papers.DU, papers.OWN]
    (card,) = shown.sections[0].cards
    assert (card.id, len(card.rows), card.broken) == ("K2", 2, 2)
    again = "python -m verification run K2 --fresh"
    assert card.again == [again, f"{again} --preset full --seed 3"]
    assert "S0" in shown.absent
    assert "K2" not in shown.absent


def test_the_command_of_one_row_names_what_tells_it_from_the_others():
    settings = [{"data": data, "case": "sweep", "n": n} for data in ("digits 3 vs 8", "sphere") for n in (8, 16)]
    (card,) = pages.report([(QUICK, [row("K2", setting=each) for each in settings])]).cards
    commands = [card.again_alone(each) for each in card.rows]
    assert commands[0] == "python -m verification run K2 --fresh --where 'data=digits 3 vs 8' n=8"
    assert len(set(commands)) == 4
    for number, command in enumerate(commands):
        where = dict(each.split("=", 1) for each in shlex.split(command.partition("--where ")[2]))
        assert [checking.fits(each, where) for each in card.rows] == [place == number for place in range(4)]


def test_the_only_row_of_a_run_needs_no_setting():
    (card,) = pages.report([(QUICK, [row("K2")]), (GPU, [row("K2", preset="gpu")])]).cards
    assert card.again_alone(card.rows[1]) == "python -m verification run K2 --fresh --preset gpu"


def test_a_claim_of_one_s_own_comes_last_with_its_folder(monkeypatch):
    def judge(context, results):
        return ()

    judge.__module__ = f"{registry.SCRIPTS}.norms"
    entry = registry.Claim("K1-mine", "x", "P", "me", papers.OTHER, registry.no_jobs, judge)
    monkeypatch.setitem(registry.CLAIMS, "K1-mine", entry)
    shown = pages.report([(QUICK, [row("K1-mine"), row("C8")])])
    assert [section.paper for section in shown.sections] == [papers.OWN, papers.OTHER]
    assert shown.cards[-1].again == ["python -m verification run K1-mine --fresh --scripts tests/verification/report"]


def test_rows_of_a_claim_that_is_no_more_are_shown_all_the_same():
    shown = pages.report([(QUICK, [row("Z1")])])
    assert (shown.sections[0].paper, shown.cards[0].letter) == (papers.OTHER, "")


def test_evidence_is_read_in_the_order_of_presets_whatever_the_files_are_called(tmp_path):
    for name, header in (("a", GPU), ("b", QUICK)):
        write_evidence(tmp_path / f"{name}.json", header, [row()])
    assert [header.preset for header, _ in pages.evidence_of(tmp_path)] == ["quick", "full"]


@pytest.mark.parametrize("text", ["[{broken", '{"header": {}}'])
def test_a_broken_or_empty_folder_gets_one_sentence(tmp_path, text):
    with pytest.raises(InputError, match="no evidence"):
        pages.evidence_of(tmp_path)
    (tmp_path / "quick.json").write_text(text)
    with pytest.raises(InputError, match=r"quick\.json"):
        pages.evidence_of(tmp_path)


def test_a_gallery_links_from_the_report_s_folder(tmp_path):
    folder = tmp_path / "gallery"
    folder.mkdir()
    (folder / "lazy.png").write_bytes(b"")
    (folder / "lazy.md").write_text("Movement falls like m^(−0.5). And more.\n")
    about = {"paper": "du2019", "claims": ["S4"]}
    (folder / "index.json").write_text(json.dumps(dict.fromkeys(("lazy", "absent"), about)))
    (picture,) = pages.gallery(folder, tmp_path / "elsewhere")
    assert picture == pages.Picture(
        "lazy", "du2019", "../gallery/lazy.png", "Movement falls like m^(−0.5).", folder / "lazy.png", ("S4",)
    )
    assert pages.gallery(tmp_path, tmp_path) == []
    shown = pages.report([(QUICK, [row()])], images=[picture])
    assert shown.sections[0].pictures == (picture,)


def test_findings_count_inside_and_outside_and_name_what_is_never_inside():
    rows = [row("C2", premise=False), row("C5"), row("C5", premise=False, holds=False), row("C5", holds=None)]
    (section,) = pages.report([(QUICK, rows)]).sections
    found = section.findings
    assert (found.inside, found.outside, found.refuted, found.undecided) == ((2, 1), (2, 1), 0, 1)
    assert (found.recalled, found.never_inside) == (("C2",), ("C2",))
    assert section.theorem.startswith(
        "Its theorem (C2): no row meets its premise, outside, its conclusion holds in 1 of 1"
    )


def test_a_card_knows_the_files_of_its_bound_claim_and_jobs():
    own, part = (pages.Card(name, registry.CLAIMS[name], ()).sources for name in ("K4a", "K4a-width"))
    assert [[path.stem for path in found["bound"]] for found in (own, part)] == [["hoeffding_1963"], ["derived"]]
    assert part["claim"] == own["claim"] == [registry.CLAIMS["K4a"].file]
    assert "initial" in [path.stem for path in own["jobs"]]
    assert "bound" not in pages.Card("S2", registry.CLAIMS["S2"], ()).sources
    assert pages.Card("gone", None, ()).sources == {}
    link = pages.links_from(own["claim"][0].parent / "results")
    assert link(own["claim"][0]) == "../concentration.py"


def test_three_questions_are_answered_of_the_first_paper_with_a_theorem():
    rows = [
        row("C2", measured=0.3),
        row("C2", premise=False, measured=0.9, holds=False),
        row("C4", measured=0.4),
        row("K2"),
    ]
    shown = pages.report([(QUICK, rows)])
    assert shown.main == "deng2022"
    holds, tight, recalled = shown.answers.values()
    assert holds.startswith("In 1 of 1 rows inside its premise; outside, its conclusion holds in 0 of 1; none refuted")
    assert tight == "Where it holds, measured over bound is at worst 0.3 (≤)."
    assert recalled == "Of this paper C2; in all 2 of 3 claims."
    assert pages.report([(QUICK, [row("K7")])]).answers == {}
