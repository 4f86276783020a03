"""``ntk-localsgd``: one module a command, discovered by walking this folder; the others are what commands share."""

from ntk_localsgd.cli.main import main

__all__ = ["main"]
