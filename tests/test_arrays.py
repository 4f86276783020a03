"""What may come in as numbers, and what a cast would silently change."""

import decimal

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from ntk_localsgd.arrays import real_array
from ntk_localsgd.errors import InputError

ACCEPTED = {
    "lists": [[1, 2], [3, 4]],
    "booleans": np.array([[True, False]]),
    "float32 of JAX": jnp.ones((2, 2), jnp.float32),
    "bfloat16": jnp.ones((2, 2), jnp.bfloat16),
    "objects": np.array([[1, decimal.Decimal("0.5")]], object),
    "a data frame": pd.DataFrame({"a": [1.0], "b": [2]}),
    "nothing masked": np.ma.masked_array([[1.0, 2.0]], mask=False),
}


@pytest.mark.parametrize("value", ACCEPTED.values(), ids=ACCEPTED)
def test_numbers_are_read_as_they_are(value):
    array = real_array("x", value, ndim=2)
    assert type(array) is np.ndarray
    assert array.dtype == np.float64
    assert np.array_equal(array, np.asarray(value).astype(np.float64))


def test_a_float64_array_is_not_copied():
    array = np.ones((3, 2))
    assert real_array("x", array, ndim=(1, 2)) is array


REFUSED = {
    "complex": (np.array([[1, 0.5j], [-0.5j, 1]]), "complex128"),
    "complex of JAX": (jnp.ones((2, 2), jnp.complex64), "complex64"),
    "complex among objects": (np.array([[1, 2j]], object), "numbers"),
    "masked": (np.ma.masked_array([[1.0, 9.0]], mask=[[0, 1]]), "masked"),
    "masked rows in a list": ([np.ma.masked_array([1.0, 9.0], mask=[0, 1]), [1.0, 2.0]], "masked"),
    "text": ([["1", "2"]], "real numbers"),
    "text among objects": (np.array([["1", 2]], object), "text"),
    "dates": (np.array([["2020-01-01"]], "datetime64[D]"), "datetime64"),
    "missing": (pd.DataFrame({"a": pd.array([1, None], "Int64")}), "finite"),
    "ragged": ([[1, 2], [3]], "numbers"),
    "not a number": ([[1.0, np.nan]], r"x\[0, 1\] is nan"),
    "infinite": (np.array([[1.0], [np.inf]]), r"x\[1, 0\] is inf"),
    "beyond float64": ([[10**400]], "numbers"),
    "an extended number beyond float64": (np.array([[np.longdouble("1e4000")]]), "finite"),
    "one axis": ([1.0, 2.0], r"shape \(2,\)"),
    "no rows": (np.zeros((0, 3)), r"shape \(0, 3\)"),
    "keys": (jax.random.split(jax.random.key(0), (2, 2)), "numbers"),
}


@pytest.mark.parametrize(("value", "named"), REFUSED.values(), ids=REFUSED)
def test_what_a_cast_would_change_is_refused_in_one_sentence(value, named):
    with pytest.raises(InputError, match=named) as caught:
        real_array("x", value, ndim=2)
    assert "\n" not in str(caught.value)


def test_traced_values_are_refused():
    with pytest.raises(InputError, match="traced"):
        jax.jit(lambda x: real_array("x", x, ndim=1))(jnp.ones(3))
