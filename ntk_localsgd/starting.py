"""Where programs begin: they import for seconds, and Ctrl-C meanwhile is one line as it is later."""

import importlib
import sys
from collections.abc import Sequence

from ntk_localsgd.errors import InputError

__all__ = ["main", "start"]

_REFUSED, _INTERRUPTED = 2, 130


def start(program: str, module: str, argv: Sequence[str] | None = None) -> int:
    """Import a module and call its ``main`` with the arguments.

    Parameters
    ----------
    program
        What the line calls it.
    module
        Imported here and not before, so that nothing that takes long happens outside of this function.
    argv
        Arguments; None: those of the process.

    Returns
    -------
    What ``main`` returns; 2 for what an import refuses, and 130 after Ctrl-C, with one line on standard error.
    """
    try:
        return int(importlib.import_module(module).main(argv))
    except InputError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return _REFUSED
    except KeyboardInterrupt:
        print(f"{program}: interrupted.", file=sys.stderr)
        return _INTERRUPTED


def main(argv: Sequence[str] | None = None) -> int:
    """``ntk-localsgd``; returns the exit code."""
    return start("ntk-localsgd", "ntk_localsgd.cli", argv)
