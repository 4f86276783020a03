"""The entry point: every module of this folder that registers a command becomes a subcommand of its name."""

import difflib
import functools
import importlib
import operator
import pkgutil
import sys
from collections.abc import Sequence
from typing import Annotated

import jax
import tyro

import ntk_localsgd
from ntk_localsgd.cli.parsing import COMMANDS, execute

__all__ = ["main"]

_PROGRAM = "ntk-localsgd"
_DESCRIPTION = (
    "Your own data: Gram matrix, predicted training, proof of convergence; the theory's bounds at your numbers. "
    "With --version alone: the version."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv in (["--version"], ["version"]):
        print(ntk_localsgd.__version__)
        return 0
    jax.config.update("jax_enable_x64", True)  # spectra are float64; a program, unlike the library, may say so
    # Modules are imported here and not on top: --version and importers need no kernels, and a command no other's.
    if argv[:1] and _discover(argv[0]):
        return execute(COMMANDS[argv[0]], prog=_PROGRAM, command=argv[0], argv=argv[1:])
    _discover()
    if argv and not argv[0].startswith("-"):
        near = difflib.get_close_matches(argv[0], COMMANDS) or sorted(COMMANDS)
        print(f"{_PROGRAM}: there is no command {argv[0]!r}, did you mean {' or '.join(near)}?", file=sys.stderr)
        return 2
    subcommands = [Annotated[command, tyro.conf.subcommand(name)] for name, command in sorted(COMMANDS.items())]
    return execute(functools.reduce(operator.or_, subcommands), prog=_PROGRAM, description=_DESCRIPTION, argv=argv)


def _discover(name: str | None = None) -> bool:
    """Import the module of this name, or all; whether it holds a command."""
    folder = importlib.import_module("ntk_localsgd.cli")
    for module in pkgutil.iter_modules(folder.__path__):
        if name is None or module.name == name:
            importlib.import_module(f"{folder.__name__}.{module.name}")
    return name in COMMANDS
