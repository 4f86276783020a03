"""What changed between two runs."""

import json

from ntk_localsgd.evidence import Header, write_evidence
from tests.verification.rows import row
from verification import __main__ as command
from verification.report import difference

QUICK = Header("quick", 0, "x86_64 CPU, 2 cores", "abc", {})


def test_verdicts_come_first_then_numbers_and_equal_rows_are_left_out():
    same, number, verdict = row("K2"), row("K5"), row("C8")
    after = [same, row("K5", measured=0.6), row("C8", holds=False), row("C9", setting={"case": "new"})]
    found = difference.changes([same, number, verdict], after)
    assert [(change.claim, change.verdicts) for change in found] == [
        ("C8", "verified → refuted"),
        ("C9", "none → verified"),
        ("K5", "verified → verified"),
    ]
    assert found[-1].numbers == "0.5 → 0.6"
    assert difference.changes([number], [row("K5", measured=0.5 + 1e-9)]) == []
    assert difference.changes([number], [row("K5", measured=0.5 + 1e-9)], rtol=1e-12) != []


def test_rows_of_one_setting_are_compared_in_their_order():
    found = difference.changes([row(measured=0.1), row(measured=0.2)], [row(measured=0.1), row(measured=0.3)])
    assert [change.numbers for change in found] == ["0.2 → 0.3"]
    found = difference.changes([row(measured=0.1), row(measured=0.2)], [row(measured=0.3), row(measured=0.2)])
    assert [change.numbers for change in found] == ["0.1 → 0.3"]


def test_the_command_prints_writes_and_exits_by_verdicts(tmp_path, capsys):
    write_evidence(tmp_path / "a.json", QUICK, [row("K2"), row("K5")])
    write_evidence(tmp_path / "b.json", QUICK, [row("K2", holds=False), row("K5", measured=0.7)])
    paths = [str(tmp_path / name) for name in ("a.json", "b.json")]
    assert command.main(["diff", *paths, "--to", str(tmp_path / "c.html")]) == 1
    assert "verified → refuted" in " ".join(capsys.readouterr().out.split())
    assert "2 rows changed" in (tmp_path / "c.html").read_text()
    assert command.main(["diff", paths[0], paths[0]]) == 0
    assert "No difference in 2 rows" in capsys.readouterr().out
    write_evidence(tmp_path / "one.json", QUICK, [row("K2")])
    assert command.main(["diff", *[str(tmp_path / "one.json")] * 2]) == 0
    assert "No difference in 1 row." in capsys.readouterr().out
    (tmp_path / "b.json").write_text(json.dumps([]))
    assert command.main(["diff", *paths]) == 2
