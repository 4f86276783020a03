"""``python -m verification list | run | report | diff | recheck``."""

import sys
from collections.abc import Sequence

from ntk_localsgd.starting import start

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return start("python -m verification", "verification.commands", argv)


if __name__ == "__main__":
    sys.exit(main())
