"""Numbers from outside: read once as plain Python numbers, or refused in one sentence."""

import math
from typing import Any

import jax
import numpy as np

from ntk_localsgd.errors import InputError

__all__ = ["number_at_least", "positive_number", "whole_number"]


def whole_number(name: str, value: Any, least: int = 1, most: int = 2**31 - 1) -> int:
    """``value`` as a plain ``int`` in [least, most]; the default for ``most`` is the largest that JAX counts with.

    Parameters
    ----------
    name
        What the sentence of a refusal calls it.
    value
        Python or NumPy integer, a float that is whole (3.0), or an array of one such number.

    Raises
    ------
    InputError
        For anything else, booleans, text, fractions, values traced by JAX, and numbers out of range.

    >>> whole_number("local_steps", np.float32(3))
    3
    """
    number = _number(name, value, f"a whole number of at least {least}")
    if number != number or math.isinf(number) or int(number) != number or number < least:
        raise InputError(f"{name} is {number}, needs to be a whole number of at least {least}.")
    if number > most:
        raise InputError(f"{name} is {number}, needs to be at most {most}.")
    return int(number)


def positive_number(name: str, value: Any) -> float:
    """``value`` as a plain ``float`` in (0, ∞): of any number, or an array of one; raises as `whole_number`.

    >>> positive_number("step_size", np.array([0.5]))
    0.5
    """
    number = _number(name, value, "one positive, finite number")
    try:
        number = float(number)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"{name} is {number}, needs to be positive and finite.")
    return number


def number_at_least(name: str, value: Any, least: float) -> float:
    """``value`` as a plain finite ``float`` of at least ``least``: of any number, or an array of one.

    Raises as `whole_number`.

    >>> number_at_least("proximal", 0, 0.0)
    0.0
    """
    number = float(_number(name, value, f"one finite number of at least {least:g}"))
    if not (math.isfinite(number) and number >= least):
        raise InputError(f"{name} is {number:g}, needs to be finite and at least {least:g}.")
    return number


def _number(name: str, value: Any, need: str) -> int | float:
    """The one number that ``value`` is, as Python's own."""
    if isinstance(value, jax.core.Tracer):
        raise InputError(f"{name} is traced by a JAX transformation, needs to be known: call this outside.")
    if type(value) is int:  # of any size; NumPy's stop at 64 bits
        return value
    array = np.asarray(value)
    if array.size != 1 or np.ma.is_masked(value):
        raise InputError(f"{name} has shape {array.shape}, needs to be {need}.")
    number = array.item()
    if isinstance(number, bool) or not isinstance(number, int | float):
        # JAX's own small types are neither NumPy's floats nor Python's.
        if not jax.dtypes.issubdtype(array.dtype, np.floating):
            raise InputError(f"{name} is {value!r}, needs to be {need}.")
        number = float(number)
    return number
