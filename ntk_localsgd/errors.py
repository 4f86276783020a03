"""The one error that bad input raises; command lines print its sentence and exit with 2."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Bad input, said in one sentence: the argument, what it got, what it needs."""
