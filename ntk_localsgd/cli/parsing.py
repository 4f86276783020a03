"""What the command lines share: dataclasses become commands, and every error is one sentence with exit code 2."""

import contextlib
import dataclasses
import difflib
import functools
import io
import re
import sys
import types
import typing
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import tyro

from ntk_localsgd.errors import InputError
from ntk_localsgd.starting import interruptible

__all__ = ["COMMANDS", "command", "execute"]

# Exit codes; 1 is for a command that ran and found nothing.
_REFUSED, _INTERRUPTED = 2, 130

# How tyro says that a text is no number.
_MISREAD = re.compile(r"Error parsing (--[\w-]+): ([^']*(?:int\(\)|INT|float|FLOAT)[^']*)('[^']*')\]?$")

_Command = TypeVar("_Command", bound=type[Callable[[], int]])

#: The subcommands of ``ntk-localsgd`` by name; `command` fills it.
COMMANDS: dict[str, type[Callable[[], int]]] = {}


def command(options: _Command) -> _Command:
    """Register a dataclass as the subcommand that has the name of its module; calling an instance runs it."""
    for own in options.__mro__:
        if dataclasses.is_dataclass(own) and own not in _SHORTENED:
            _SHORTENED.add(own)
            own.__annotations__ |= {name: _shortened(kind) for name, kind in own.__annotations__.items()}
    COMMANDS[options.__module__.rpartition(".")[2]] = options
    return options


# Dataclasses whose annotations have been shortened; some are bases of several commands.
_SHORTENED: set[type] = set()

# What stands for a value in the help text.
_METAVARS = {"int": "INT", "float": "FLOAT", "str": "STR", "Path": "PATH"}


def _shortened(kind: Any) -> Any:
    """An option's type that help shows without None and False: what leaving it out means is said in its text."""
    if kind is bool:
        return tyro.conf.FlagCreatePairsOff[Annotated[bool, tyro.conf.arg(help_behavior_hint="")]]
    parts = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) not in (types.UnionType, typing.Union) or len(parts) != 1:
        return kind
    shown = _METAVARS.get(getattr(parts[0], "__name__", ""), "")
    if get_origin(parts[0]) is Literal:
        shown = "{" + ",".join(map(str, get_args(parts[0]))) + "}"
    return Annotated[kind, tyro.conf.arg(metavar=shown, help_behavior_hint="")] if shown else kind


def execute(
    commands: Any, *, prog: str, description: str | None = None, command: str = "", argv: Sequence[str] | None = None
) -> int:
    """Parse the arguments into one of the command dataclasses and call it.

    Parameters
    ----------
    commands
        A dataclass, or a union of them, whose instances are callable without arguments and return an exit code.
    prog, description
        Name and one line for the help text; None: the dataclass's own.
    command
        Name of the subcommand that the one dataclass is.
    argv
        Arguments; None: those of the process.

    Returns
    -------
    The command's exit code; 2 after bad input and 130 after Ctrl-C, whose one sentence goes to standard error.
    """
    interruptible()
    warnings.showwarning = functools.partial(_one_line, prog)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that has no λ shows a question mark in its place
            stream.reconfigure(errors="replace")
    try:
        chosen = None
        chosen = _parse(commands, f"{prog} {command}".rstrip(), description, argv)
        return int(chosen() or 0)
    except InputError as error:
        print(f"{prog}: {_as_options(str(error), chosen)}", file=sys.stderr)
        return _REFUSED
    except KeyboardInterrupt as interrupt:
        kept = f"; {interrupt}" if interrupt.args else ""
        print(f"{prog}: interrupted{kept}.", file=sys.stderr)
        return _INTERRUPTED
    except MemoryError as error:
        print(f"{prog}: this takes more memory than there is ({error or 'none is left'}).", file=sys.stderr)
        return _REFUSED


# What an argument of the library is called on the command line.
_CALLED = {"num_rounds": "rounds", "num_clients": "clients"}

# What follows an argument's name at the beginning of a sentence about it.
_VERBS = ("is ", "lacks ", "are ", "names ", "holds ", "hold ")


def _as_options(sentence: str, chosen: Any) -> str:
    """A sentence about the library's arguments as one about the options that they were given by.

    A name without underscore is an English word too, and stands for the option at the beginning only.
    """
    names = {field.name for field in dataclasses.fields(chosen)} if dataclasses.is_dataclass(chosen) else set()
    called = {name: name for name in names} | {argument: name for argument, name in _CALLED.items() if name in names}
    long = sorted((name for name in called if "_" in name), key=len, reverse=True)
    if long:
        words = rf"(?<![\w-])({'|'.join(long)})(?!\w)"
        sentence = re.sub(words, lambda word: _option(called[word[1]]), sentence)
    first, _, rest = sentence.partition(" ")
    return f"{_option(called[first])} {rest}" if first in called and rest.startswith(_VERBS) else sentence


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _one_line(prog: str, message: Warning | str, *where: object, **options: object) -> None:  # noqa: ARG001 (a hook)
    """A warning as a command says it: not from which line of which file."""
    print(f"{prog}: {message}", file=sys.stderr)


def _parse(commands: Any, prog: str, description: str | None, argv: Sequence[str] | None) -> Any:
    """tyro's parser, with its boxed error messages turned into an `InputError` of one sentence."""
    boxed = io.StringIO()
    try:
        with contextlib.redirect_stderr(boxed):
            return tyro.cli(commands, prog=prog, description=description, args=argv)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(_sentence(boxed.getvalue())) from stop


def _sentence(box: str) -> str:
    """The first paragraph of a boxed message, on one line, and the names that the message offers in its place."""
    lines = [re.sub(r"[\u2500-\u257f]", "", re.sub(r"\x1b\[[0-9;]*m", "", line)).strip() for line in box.splitlines()]
    paragraphs: list[list[str]] = [[]]
    for line in lines[1:]:
        if line.strip("-"):  # a terminal without box letters has dashes for them
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    said, offered = " ".join(paragraphs[0]), ""
    for paragraph in paragraphs[1:]:
        text = " ".join(paragraph)
        if text.startswith("Perhaps you meant"):
            offered = " or ".join(dict.fromkeys(name for name in re.findall(r"--[\w-]+", text) if name != "--help"))
        elif text.startswith("Available subcommands"):
            names = re.split(r"[:,]\s*", text)[1:]
            offered = " or ".join(difflib.get_close_matches(re.split(r"[:,]\s*", said)[1], names) or names)
    if misread := _MISREAD.match(said.rstrip(".")):
        name, why, given = misread.groups()
        return f"{name} is {given}, needs to be a {'whole number' if 'int()' in why or 'INT' in why else 'number'}."
    hint = f", did you mean {offered}?" if offered else ";"
    return f"{said.rstrip('.')}{hint} --help shows what is understood."
