"""Powers and indices of a formula in running text: which parts of it are raised, which lowered."""

import re
from collections.abc import Iterator
from typing import Literal

__all__ = ["pieces"]

# x^{a/b}, x^(a), x^2, H^∞ and λ_min, r_{ij}. A letter that is itself raised (ᵀ, ²) ends an index.
_WORD = r"(?:(?![ᵀ²³¹])[^\W_])+"
_FORMULA = re.compile(
    rf"\^(?:\{{([^}}]*)\}}|\(([^()]*)\)|([−-]?{_WORD}|∞))|_(?:\{{([^}}]*)\}}|({_WORD}))",
)


def pieces(text: str) -> Iterator[tuple[Literal["", "sup", "sub"], str]]:
    """The parts of a text in order, each as it is (""), raised or lowered; what is raised or lowered may hold more.

    >>> list(pieces("λ_min(H^∞)"))
    [('', 'λ'), ('sub', 'min'), ('', '(H'), ('sup', '∞'), ('', ')')]
    """
    end = 0
    for match in _FORMULA.finditer(text):
        if match.start() > end:
            yield "", text[end : match.start()]
        raised = match[1] or match[2] or match[3]
        yield ("sup", raised) if raised else ("sub", match[4] or match[5] or "")
        end = match.end()
    if end < len(text):
        yield "", text[end:]
