"""One formula broken, as data."""

import dataclasses

__all__ = ["Mutation"]


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A change of one formula that a mathematician could make, and the tests that must fail by it.

    ``original`` occurs exactly once in ``file`` (a path from the repository's root) and is replaced by ``mutant``;
    ``breaks`` says what is wrong then; ``caught_by`` are pytest node ids or files.
    """

    file: str
    original: str
    mutant: str
    breaks: str
    caught_by: tuple[str, ...]

    def applied(self, text: str) -> str:
        """The file's text with the formula broken."""
        if text.count(self.original) != 1:
            raise ValueError(f"{self.file} holds {self.original!r} {text.count(self.original)} times, needs it once.")
        return text.replace(self.original, self.mutant)
