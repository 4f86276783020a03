"""``python -m figures``: every figure, from stored results."""

import sys
from collections.abc import Sequence

from ntk_localsgd.starting import start

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return start("python -m figures", "figures.commands", argv)


if __name__ == "__main__":
    sys.exit(main())
