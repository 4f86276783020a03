"""The one error that bad input raises; command lines print its sentence and exit with 2."""

import difflib
import math
from collections.abc import Iterable

__all__ = ["InputError", "StorageError", "rounded_down", "unknown_name"]


class InputError(ValueError):
    """Bad input, said in one sentence: the argument, what it got, what it needs."""


class StorageError(InputError):
    """A folder that takes no more: what comes next would be computed in vain."""


def rounded_down(value: float) -> str:
    """Six digits of a positive number, never more than the number itself: a limit that a sentence names is allowed."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 5)
    return f"{math.floor(value / unit) * unit:.6g}"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The sentence about a name that nothing has: those that are like it, or else all there are.

    >>> unknown_name("claim", "K4aa", ["K4a", "S1"])
    "claim 'K4aa' is unknown: did you mean K4a?"
    >>> unknown_name("claim", "Z9", ["K4a", "S1"])
    "claim 'Z9' is unknown, needs one out of K4a, S1."
    """
    names = list(known)
    like = {each.lower(): each for each in reversed(names)}
    close = difflib.get_close_matches(name.lower(), like)
    if close:
        return f"{kind} {name!r} is unknown: did you mean {' or '.join(like[each] for each in close)}?"
    return f"{kind} {name!r} is unknown, needs one out of {', '.join(names)}."
