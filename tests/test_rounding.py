"""Constants of floating-point arithmetic."""

import jax.numpy as jnp
import numpy as np
import pytest

from ntk_localsgd.rounding import SLACK, TINY, UNIT, gamma, unit


def test_unit_roundoff_is_the_largest_relative_change_by_one_rounding():
    assert 1 + UNIT == 1 < 1 + UNIT * (1 + 2**-52)
    assert unit(np.float64) == UNIT
    assert [unit(d) for d in (jnp.float32, jnp.bfloat16, "float16")] == [2.0**-24, 2.0**-8, 2.0**-11]


def test_the_smallest_normal_number():
    assert TINY * (1 + 2 * UNIT) > TINY == TINY * (1 - UNIT)
    assert TINY * (1 + 2 * UNIT) / 2 == TINY / 2  # below it a rounding is no longer relative


def test_gamma_is_higham():
    assert gamma(4) == pytest.approx(4 * 2.0**-53, rel=1e-12, abs=0)
    assert gamma(2**51) == pytest.approx(1 / 3, rel=1e-15)  # ¼/(1 − ¼)
    assert 1 + gamma(2**22) < SLACK
