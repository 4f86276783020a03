"""Numbers from outside become plain Python numbers, or get one sentence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_localsgd.errors import InputError
from ntk_localsgd.scalars import positive_number, whole_number


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3), np.array(3), np.array([3.0]), jnp.asarray(3),
                                   jnp.asarray(3, jnp.bfloat16)])  # fmt: skip
def test_whole_numbers_become_plain_integers(value):
    number = whole_number("depth", value)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "depth is True"),
        (np.True_, "depth is np.True_"),
        ("3", "depth is '3'"),
        (None, "depth is None"),
        (2.5, "depth is 2.5"),
        (float("nan"), "depth is nan"),
        (float("inf"), "depth is inf"),
        (0, "depth is 0, needs to be a whole number of at least 1"),
        (3 + 0j, "depth is"),
        (np.arange(2), r"depth has shape \(2,\)"),
        ([], r"depth has shape \(0,\)"),
        (10**30, "depth is 1000000000000000000000000000000, needs to be at most 2147483647"),
        (np.ma.masked_array(3, True), "depth has shape"),
    ],
)
def test_what_is_no_whole_number_gets_one_sentence(value, said):
    with pytest.raises(InputError, match=said) as caught:
        whole_number("depth", value)
    assert str(caught.value).count(".") <= 3
    assert "\n" not in str(caught.value)


def test_the_largest_whole_number_is_the_one_that_is_said():
    assert whole_number("rounds", 2**31 - 1) == 2**31 - 1
    assert whole_number("rounds", 7, most=7) == 7
    for most in ({}, {"most": 7}):
        limit = most.get("most", 2**31 - 1)
        with pytest.raises(InputError, match=f"needs to be at most {limit}"):
            whole_number("rounds", limit + 1, **most)


@pytest.mark.parametrize("value", [0.5, np.float16(0.5), jnp.asarray(0.5, jnp.float32), np.array([0.5])])
def test_positive_numbers_become_plain_floats(value):
    number = positive_number("step_size", value)
    assert number == 0.5
    assert type(number) is float


@pytest.mark.parametrize("value", [0, -1, float("inf"), 10**400, np.ones(2), "0.5", True, None])
def test_what_is_not_positive_and_finite_gets_one_sentence(value):
    with pytest.raises(InputError, match=r"^step_size .*needs to be [^.]*\.$"):
        positive_number("step_size", value)


def test_traced_numbers_are_refused():
    with pytest.raises(InputError, match="step_size is traced"):
        jax.jit(lambda eta: positive_number("step_size", eta))(0.1)
