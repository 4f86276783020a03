"""``ntk-localsgd bounds``: a theorem's bound at numbers; the options are the symbols of the bounds."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from ntk_localsgd.bounds import BOUNDS, SYMBOLS, Bound, MissingNumber
from ntk_localsgd.bounds.bound import readable
from ntk_localsgd.cli.parsing import command
from ntk_localsgd.errors import InputError, unknown_name

__all__ = ["Bounds"]


def _show(bound: Bound, numbers: dict[str, float], target: float | None) -> None:
    """Print what the given numbers allow to compute; without any, say which are missing."""
    table = Table("", "", title=f"{bound.claim} [{bound.letter}]: {bound.source}", show_header=False)
    relation = bound.relation.replace("<=", "≤").replace(">=", "≥")
    table.add_row("statement", f"{bound.quantity} {relation} {readable(bound.expression)}")
    premises = [f"m ≥ {readable(bound.width)}"] if bound.width is not None else []
    premises += [f"eta ≤ {readable(bound.step)}"] if bound.step is not None else []
    for premise in [*premises, *[f"n ≥ {bound.least_samples}"] * (bound.least_samples > 1)]:
        table.add_row("premise", premise)
    quantities: dict[str, Callable[[], str]] = {"bound": lambda: f"{bound.evaluate(**numbers):.6g}"}
    if premises:
        quantities["premise met"] = lambda: "yes" if bound.premise_met(**numbers) else "no"
    if bound.width is not None or (target is not None and "m" in bound.needs):
        quantities["smallest width"] = lambda: _rounded_up(bound.smallest_width(target=target, **numbers))
    if bound.step is not None:
        quantities["largest step size"] = lambda: f"{bound.largest_step(**numbers):.6g}"
    shown, missing = 0, []
    for name, compute in quantities.items():
        try:
            table.add_row(name, compute())
            shown += 1
        except MissingNumber as error:
            missing.append(error)
    if not shown:
        raise missing[0]
    Console().print(table)


def _rounded_up(width: int) -> str:
    """Six digits of a whole number of any size."""
    try:
        return f"{width:.6g}"
    except OverflowError:
        digits = str(width)
        return f"{digits[0]}.{digits[1:6]}e+{len(digits) - 1}"


def _run(options: Any) -> int:
    ids = [claim for claim in BOUNDS if claim == options.claim]
    ids = ids or sorted(claim for claim in BOUNDS if claim.startswith(options.claim))
    if not ids:
        raise InputError(unknown_name("claim", options.claim, sorted(BOUNDS)))
    numbers = {name: value for name in SYMBOLS if (value := getattr(options, name)) is not None}
    for name, value in numbers.items():
        if SYMBOLS[name].whole and value != int(value):
            raise InputError(f"{name} is {value}, needs to be a whole number.")
    if unused := [name for name in numbers if not any(name in (*BOUNDS[claim].needs, "m", "eta") for claim in ids)]:
        raise InputError(f"{', '.join(unused)} does not occur in {', '.join(ids)}: leave it out.")
    for claim in ids:
        _show(
            BOUNDS[claim],
            {k: v for k, v in numbers.items() if k in (*BOUNDS[claim].needs, "m", "eta", "n")},
            options.target,
        )
    return 0


def _option(name: str, text: str) -> tuple[str, Any, Any]:
    return name, Annotated[float | None, tyro.conf.arg(help=text)], dataclasses.field(default=None)


_CLAIM = Annotated[tyro.conf.Positional[str], tyro.conf.arg(help="Id of the claim, such as K4b or C1.")]

#: The options: the claim, one number a symbol, and a target.
Bounds = dataclasses.make_dataclass(
    "Bounds",
    [
        ("claim", _CLAIM),
        *(_option(symbol.name, f"{symbol.meaning}.") for symbol in SYMBOLS.values()),
        _option("target", "Solve for the smallest width that puts the bound at this value."),
    ],
    frozen=True,
    namespace={
        "__doc__": "A theorem's bound at numbers, and the smallest width or largest step size that satisfies it.",
        "__module__": __name__,
        "__call__": _run,
    },
)
command(Bounds)
