"""F3's bound at numbers, and that it is refused without the form."""

import math

import pytest

from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.bounds.bound import MissingNumber


def test_the_generalization_bound_is_both_terms_at_constant_one():
    value = BOUNDS["F3"].evaluate(n=100, form=50, lambda0=0.01, delta=0.1)
    assert value == pytest.approx(math.sqrt(2 * 50 / 100) + math.sqrt(math.log(100 / (0.01 * 0.1)) / 100))
    with pytest.raises(MissingNumber, match="form"):
        BOUNDS["F3"].evaluate(n=100, lambda0=0.01, delta=0.1)
