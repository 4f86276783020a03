"""From measurements to verdicts: the table, contradictions, strict JSON, files."""

import dataclasses
import json
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from ntk_localsgd import evidence
from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import Condition, Control, Evidence, Header, Verdict, compare


@pytest.mark.parametrize(
    ("premise", "conclusion", "verdict"),
    [
        (True, True, "verified"),
        (True, False, "refuted"),
        (False, True, "observed"),
        (False, False, "silent"),
        (True, None, "inconclusive"),
        (False, None, "inconclusive"),
    ],
)
def test_verdict_table(premise, conclusion, verdict):
    assert evidence.decide(premise, conclusion) == verdict


def _evidence(**changes):
    fields = {
        "setting": {"data": "digits", "m": 8}, "premise": Condition("p", True), "conclusion": Condition("c", True),
        "relation": "≤", "measured": 1.0, "bound": 2.0, "control": Control("k", True, 3.0), "interval": (0.0, 1.0),
        "trials": 5,
    }  # fmt: skip
    return Evidence(**(fields | changes))


def test_evidence_survives_strict_json():
    row = _evidence(claim="K1", code="abc")
    text = json.dumps(row.to_json(), allow_nan=False)
    assert Evidence.from_json(json.loads(text)) == row
    assert json.loads(text)["verdict"] == "verified"
    assert json.loads(text)["tightness"] == 0.5


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, np.float64(np.inf)])
def test_numbers_that_json_cannot_hold_become_null(value):
    row = _evidence(measured=value, control=Control("k", True, value), conclusion=Condition("c", None))
    fields = json.loads(json.dumps(row.to_json(), allow_nan=False))
    assert fields["measured"] is None
    assert fields["control"]["measured"] is None


def test_numpy_values_are_written_as_plain_ones():
    fields = _evidence(measured=np.float32(0.5), conclusion=Condition("c", np.bool_(True))).to_json()
    assert json.loads(json.dumps(fields, allow_nan=False))["conclusion"]["holds"] is True


def test_verdict_follows_and_cannot_be_set():
    assert _evidence(conclusion=Condition("c", False)).verdict is Verdict.REFUTED
    with pytest.raises(TypeError):
        _evidence(verdict="verified")
    fields = _evidence(conclusion=Condition("c", False)).to_json() | {"verdict": "verified"}
    assert Evidence.from_json(fields).verdict is Verdict.REFUTED


def test_a_row_whose_control_did_not_break_is_not_counted_as_held():
    unbroken = Control("k", False, 1.0)
    assert _evidence(control=unbroken).verdict is Verdict.INCONCLUSIVE
    assert _evidence(control=unbroken, premise=Condition("p", False)).verdict is Verdict.INCONCLUSIVE
    assert _evidence(control=unbroken, conclusion=Condition("c", False)).verdict is Verdict.REFUTED


@pytest.mark.parametrize(
    "changes",
    [
        {"measured": 5.0, "interval": None},
        {"measured": math.nan, "interval": None},
        {"relation": "≥", "measured": 1.0, "interval": None},
        {"relation": "=", "measured": 1.0, "interval": None},
        {"relation": "within", "measured": 1.0, "interval": (0.5, 1.5), "tolerance": 0.1},
        {"interval": (2.5, 3.0)},
        {"delta": 0.05, "interval": (0.06, 0.2), "failures": 9},
        {"delta": 0.05, "interval": None},
        {"bound": math.nan, "interval": None},
        {"tolerance": math.nan},
        {"failures": 3},
    ],
)
def test_numbers_that_contradict_a_conclusion_are_refused(changes):
    with pytest.raises(InputError, match="need to agree") as caught:
        _evidence(**changes)
    assert "\n" not in str(caught.value)
    assert _evidence(**changes, conclusion=Condition("c", False)).verdict is Verdict.REFUTED


def test_an_interval_that_leaves_it_open_does_not_bear_out_a_conclusion():
    for undecided in ({"delta": 0.05, "interval": (0.01, 0.2)}, {"measured": 1.9, "interval": (1.8, 2.1)}):
        with pytest.raises(InputError, match="need to agree"):
            _evidence(**undecided)
        assert _evidence(**undecided, conclusion=Condition("c", None)).verdict is Verdict.INCONCLUSIVE
    assert _evidence(delta=0.05, interval=(0.0, 0.04)).verdict is Verdict.VERIFIED


def test_a_row_without_a_control_is_refused():
    with pytest.raises(InputError, match="needs one"):
        _evidence(control=None)


@hypothesis.given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 1), st.floats(0, 2))
def test_relations_and_intervals(measured, bound, tolerance, half):
    interval = (measured - half, measured + half)
    at_most, at_least, equal, within = (
        compare(relation, measured, bound, tolerance=tolerance, interval=interval)
        for relation in ("≤", "≥", "=", "within")
    )
    assert (at_most is True) == (interval[1] <= bound + tolerance)
    assert (at_most is False) == (interval[0] > bound + tolerance)
    assert at_least == compare("≤", -measured, -bound, tolerance=tolerance, interval=(-interval[1], -interval[0]))
    assert (within is True) == (at_most is True and at_least is True)
    assert equal == (interval[0] <= bound + tolerance and interval[1] >= bound - tolerance)
    assert compare("≤", measured, bound) == (measured <= bound)


@pytest.mark.parametrize(("relation", "measured"), [("≤", 1.05), ("≥", 0.95), ("=", 0.95), ("within", 1.05)])
def test_a_tolerance_is_in_favour_and_an_interval_across_the_threshold_leaves_it_open(relation, measured):
    assert compare(relation, measured, 1.0, tolerance=0.1) is True
    assert compare(relation, measured, 1.0, tolerance=0.01) is False
    interval = (measured - 0.1, measured + 0.1)
    assert compare(relation, measured, 1.0, tolerance=0.1, interval=interval) is (True if relation == "=" else None)


@pytest.mark.parametrize("relation", ["≤", "≥", "=", "within"])
def test_nan_stands_in_no_relation(relation):
    assert compare(relation, math.nan, 1.0) is False
    assert compare(relation, 1.0, 1.0, interval=(math.nan, math.nan)) is False
    assert compare(relation, 1.0, math.nan) is not True


def test_tightness_needs_two_numbers():
    assert _evidence(bound=0.0, conclusion=Condition("c", False)).tightness is None
    assert _evidence(measured=None).tightness is None
    assert _evidence(measured=-2.0, bound=-1.0, interval=None).tightness is None
    assert _evidence(measured=-0.5, bound=-1.0, relation="within", tolerance=0.6, interval=None).tightness == 0.5


def test_an_undecided_premise_is_refused_in_one_sentence():
    with pytest.raises(InputError, match="undecided") as caught:
        _evidence(premise=Condition("p", None))
    assert "\n" not in str(caught.value)


def test_settings_are_told_in_words():
    setting = {"data": "digits", "n": 8, "quantity": "flips", "over": "m = 1 … 4", "η": 0.123456}
    assert _evidence(setting=setting).where == "digits, n = 8, flips, over m = 1 … 4, η = 0.123"


def test_a_file_has_its_header_once_and_rows_without_it(tmp_path):
    header = Header("quick", 3, "a GPU", "abc", {"jax": "0"})
    rows = [_evidence(claim="K1", preset="quick", seed=3, device="a GPU"), _evidence(claim="K2", interval=None)]
    path = tmp_path / "evidence.json"
    evidence.write_evidence(path, header, rows)
    read, found = evidence.read_evidence(path)
    assert read == header
    stamped = [dataclasses.replace(row, preset="quick", seed=3, device="a GPU") for row in rows]
    assert found == stamped
    assert path.read_text().count("a GPU") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["evidence.json"]


@pytest.mark.parametrize("text", ["[{broken", "[]", '{"header": {}, "rows": []}', '{"rows": [1]}', "3"])
def test_a_file_that_is_no_evidence_gets_one_sentence(tmp_path, text):
    path = tmp_path / "evidence.json"
    path.write_text(text)
    with pytest.raises(InputError, match="is no evidence") as caught:
        evidence.read_evidence(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        evidence.read_evidence(tmp_path / "absent.json")
