"""From measurements to verdicts: the table, strict JSON."""

import json
import math

import numpy as np
import pytest

from ntk_localsgd import evidence
from ntk_localsgd.errors import InputError
from ntk_localsgd.evidence import Condition, Control, Evidence, Verdict


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
    fields = dict(claim="K1", setting="s", premise=Condition("p", True), conclusion=Condition("c", True), measured=1.0,
                  bound=2.0, control=Control("k", True, 3.0), interval=(0.0, 1.0), trials=5, seed=1, device="cpu",
                  versions={"jax": "0"}, elapsed=0.5)  # fmt: skip
    return Evidence(**(fields | changes))


def test_evidence_survives_strict_json():
    row = _evidence()
    text = json.dumps(row.to_json(), allow_nan=False)
    assert Evidence.from_json(json.loads(text)) == row
    assert json.loads(text)["verdict"] == "verified"
    assert json.loads(text)["tightness"] == 0.5


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, np.float64(np.inf)])
def test_numbers_that_json_cannot_hold_become_null(value):
    row = _evidence(measured=value, control=Control("k", True, value))
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


def test_tightness_needs_two_numbers():
    assert _evidence(bound=0.0).tightness is None
    assert _evidence(measured=None).tightness is None


def test_an_undecided_premise_is_refused_in_one_sentence():
    with pytest.raises(InputError, match="undecided") as caught:
        _evidence(premise=Condition("p", None))
    assert "\n" not in str(caught.value)
