"""Powers and indices are told from the rest, and nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verification.report.typesetting import pieces


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n^16", [("", "n"), ("sup", "16")]),
        ("m^{-1/2}", [("", "m"), ("sup", "-1/2")]),
        ("m^−½", [("", "m"), ("sup", "−½")]),
        ("b_lᵀ", [("", "b"), ("sub", "l"), ("", "ᵀ")]),
        ("‖∇F‖_F²", [("", "‖∇F‖"), ("sub", "F"), ("", "²")]),
        ("Σ_{i∈S_c}", [("", "Σ"), ("sub", "i∈S_c")]),
        ("a _ b", [("", "a _ b")]),
    ],
)
def test_what_is_raised_and_lowered(text, expected):
    assert list(pieces(text)) == expected


@given(st.text(alphabet="ab_^{}()1ᵀ² −∞"))
def test_no_letter_is_lost(text):
    kept = "".join(part for _, part in pieces(text))
    assert [sign for sign in text if sign not in "_^{}()"] == [sign for sign in kept if sign not in "_^{}()"]
