"""Works and sizes that ``--only`` names, and the results of the others, which stay."""

import dataclasses

import pytest

from benchmarks import history, report
from benchmarks.cases import OURS, Case, Target, Work
from benchmarks.choosing import chosen
from ntk_localsgd.errors import InputError

SIZES = {
    "gram": ["n = 64, m = 256", "n = 64, m = 1024", "n = 8, m = 256"],
    "run": ["two layers, n = 64", "L = 2, n = 64"],
    "growth": ["deep Gram, n"],
}


@pytest.mark.parametrize(
    ("only", "labels"),
    [
        ((), SIZES),
        (("gram",), {"gram": SIZES["gram"]}),
        (("gram:n=64",), {"gram": ["n = 64, m = 256", "n = 64, m = 1024"]}),
        (("gram:m = 256, n = 64",), {"gram": ["n = 64, m = 256"]}),
        (("run:two layers", "gram:n=8"), {"gram": ["n = 8, m = 256"], "run": ["two layers, n = 64"]}),
        (("gram:n=8", "gram:m=1024"), {"gram": ["n = 64, m = 1024", "n = 8, m = 256"]}),
        (("growth:deep Gram,n",), {"growth": ["deep Gram, n"]}),
    ],
)
def test_a_choice_is_a_work_or_those_of_its_sizes_that_have_every_part(only, labels):
    assert chosen(only, SIZES) == labels
    assert list(chosen(only, SIZES)) == [work for work in SIZES if work in labels]


def test_what_is_not_there_is_refused_with_what_is():
    with pytest.raises(InputError, match=r"only names 'grim', needs names out of gram, run, growth\."):
        chosen(("grim:n=64",), SIZES)
    # 6 is no part, although labels contain it.
    with pytest.raises(InputError, match=r"'n=6', needs parts of a size of run: two layers, n = 64; L = 2, n = 64\."):
        chosen(("run:n=6",), SIZES)


CASES = tuple(Case(label, "gram", dict, {}, ()) for label in ("small", "large", "huge"))
WORK = Work("w", "A work", CASES, (Target("small", "share", 0.5), Target("large", "share", 0.5)), because="a reason")


def _rows(seconds, *labels):
    return [{"case": label, "route": OURS, "peer": False, "seconds": seconds, "share": 0.75, "peak": 1, "ratio": 1.0}
            for label in labels]  # fmt: skip


def _about(processor):
    return report.environment(set()) | {"processor": processor}


def test_results_of_sizes_that_were_not_measured_now_are_kept_with_their_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")

    def run(seconds, processor, *labels, work=WORK):
        stored = report.of_work(work, _rows(seconds, *labels), _about(processor), report.read("w", tmp_path))
        report.write("w", stored, tmp_path)
        return stored

    once = dataclasses.replace(WORK, cases=(*CASES, Case("gone from the work", "gram", dict, {}, ())))
    run(1.0, "first", *[case.label for case in once.cases], work=once)
    run(2.0, "second", "large")
    stored = run(3.0, "third", "huge")
    assert [(row["case"], row["seconds"]) for row in stored["rows"]] == [("small", 1.0), ("large", 2.0), ("huge", 3.0)]
    assert [(entry["environment"]["processor"], entry["sizes"]) for entry in stored["earlier"]] == [
        ("second", ["large"]), ("first", ["small"]),
    ]  # fmt: skip
    assert len(stored["verdicts"]) == sum(": met," in verdict for verdict in stored["verdicts"]) == 2
    text = report.render(tmp_path, ["w"])
    assert "\nMeasured on " in text
    assert ", OMP_NUM_THREADS=3" in text
    assert "\nEarlier, large, measured on " in text
    # A line belongs to the run that measured it: each run on a machine of its own leaves its own alone.
    known = {(line["case"], line["machine"].split("(")[-1][:-1]) for line in history.recalled(tmp_path)}
    assert known == {("gone from the work", "first"), ("small", "first"), ("large", "first"), ("huge", "first"),
                     ("large", "second"), ("huge", "third")}  # fmt: skip
    assert run(4.0, "third", *[case.label for case in CASES])["earlier"] == []


def test_exponents_that_were_not_fitted_now_are_kept_too(tmp_path):
    row = {"sizes": [1, 2], "seconds": [1.0, 2.0], "exponent": 1.0, "counted": 1.0}
    first = report.of_growth(["a", "b"], {"b": row, "a": row, "gone": row}, _about("first"))
    assert list(first["growth"]) == ["a", "b"]
    stored = report.of_growth(["a", "b"], {"b": row | {"exponent": 1.5}}, _about("second"), first)
    assert {name: row["exponent"] for name, row in stored["growth"].items()} == {"a": 1.0, "b": 1.5}
    assert [entry["sizes"] for entry in stored["earlier"]] == [["a"]]
    report.write("growth", stored, tmp_path)
    assert "\nEarlier, a, measured on " in report.render(tmp_path, ["growth"])
