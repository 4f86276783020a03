"""A figure: which paper and claims it shows, the jobs that it reads, its data, its picture, its caption."""

import dataclasses
import importlib
import pkgutil
import textwrap
from collections.abc import Callable, Iterable

import matplotlib.figure
import pandas as pd

from verification.context import Context
from verification.engine import Results
from verification.report.typesetting import pieces
from verification.store import Job

__all__ = ["Figure", "discover"]

# Letters of the heading's size that stand in an inch.
_LETTERS = 12


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a module of this folder offers as ``FIGURE``; its name is that of the module.

    Attributes
    ----------
    paper
        Name of the paper in whose section of the report it stands (`verification.papers`).
    claims
        Ids of the claims that it shows.
    needs
        Every job that ``data`` reads.
    data
        The drawn numbers as a table, one row a number.
    draw
        The picture of that table.
    caption
        Its setting in words; what it says first stands in the report.
    shows
        What is to be seen in it, a sentence above the picture; or what tells it from the table.
    """

    paper: str
    claims: tuple[str, ...]
    needs: Callable[[Context], Iterable[Job]]
    data: Callable[[Context, Results], pd.DataFrame]
    draw: Callable[[Context, pd.DataFrame], matplotlib.figure.Figure]
    caption: Callable[[Context, pd.DataFrame], str]
    shows: str | Callable[[pd.DataFrame], str]

    def picture(self, context: Context, table: pd.DataFrame) -> matplotlib.figure.Figure:
        """The picture under the sentence that says what is to be seen in it."""
        drawn = self.draw(context, table)
        text = self.shows if isinstance(self.shows, str) else self.shows(table)
        heading = textwrap.fill(text, round(_LETTERS * drawn.get_figwidth()))
        drawn.suptitle(mathtext(heading), fontsize=9, fontweight="bold")
        return drawn


def mathtext(text: str) -> str:
    r"""Powers and indices as Matplotlib's bold mathtext, all else as it is.

    >>> print(mathtext("λ_min falls like m^(−1/2)."))
    λ$_{\mathbf{min}}$ falls like m$^{\mathbf{−1/2}}$.
    """
    marks = {"sup": "^", "sub": "_"}
    parts = ((marks.get(kind, ""), part) for kind, part in pieces(text))
    return "".join(rf"${mark}{{\mathbf{{{part}}}}}$" if mark else part for mark, part in parts)


def discover() -> dict[str, Figure]:
    """Every figure by its name: each module of this folder that has one."""
    package = importlib.import_module("figures")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__) if module.name != "__main__")
    modules = {name: importlib.import_module(f"figures.{name}") for name in names}
    return {name: module.FIGURE for name, module in modules.items() if hasattr(module, "FIGURE")}
