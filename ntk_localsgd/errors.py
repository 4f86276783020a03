"""The one error that bad input raises; command lines print its sentence and exit with 2."""

import math

__all__ = ["InputError", "rounded_down"]


class InputError(ValueError):
    """Bad input, said in one sentence: the argument, what it got, what it needs."""


def rounded_down(value: float) -> str:
    """Six digits of a positive number, never more than the number itself: a limit that a sentence names is allowed."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 5)
    return f"{math.floor(value / unit) * unit:.6g}"
