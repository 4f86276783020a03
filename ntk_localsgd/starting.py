"""Where programs begin: they import for seconds, and Ctrl-C meanwhile is one line as it is later."""

import importlib
import importlib.metadata
import os
import shutil
import signal
import sys
from collections.abc import Sequence

__all__ = ["compile_fast", "interruptible", "main", "start"]

_REFUSED, _INTERRUPTED = 2, 130

# Measured on the quick preset's programs: these save a quarter of the processor time of compiling; nine numbers looked
# at agree in twelve digits, and programs run between 3% faster and 10% slower, which is noise. XLA's older emitter of
# fusions saves as much again, runs 11 to 22% longer and changes the ninth digit.
_FAST = "--xla_backend_optimization_level=1 --xla_cpu_parallel_codegen_split_count=1"
_BRIEF = "--xla_cpu_use_fusion_emitters=false"

# XLA aborts on flags that it does not know: those whose flags these are.
_KNOWN = "0.10."


class _Quit:
    """What Ctrl-C does while modules are imported: say so and end.

    An exception in the middle of an extension module's initialization becomes an `ImportError`, or aborts.
    """

    def __init__(self, program: str) -> None:
        self.program = program

    def __call__(self, *signal_and_frame: object) -> None:  # noqa: ARG002 (a handler)
        sys.stderr.write(f"{self.program}: interrupted.\n")
        sys.stderr.flush()
        os._exit(_INTERRUPTED)


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
    compile_fast()
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _Quit(program))
        return int(importlib.import_module(module).main(argv))
    except KeyboardInterrupt:
        print(f"{program}: interrupted.", file=sys.stderr)
        return _INTERRUPTED
    except ValueError as error:
        from ntk_localsgd.errors import InputError  # as late as all else

        if not isinstance(error, InputError):
            raise
        print(f"{program}: {error}", file=sys.stderr)
        return _REFUSED
    finally:
        interruptible()


def compile_fast(*, brief: bool = False) -> None:
    """Tell XLA to compile for processors in less time, before it first does; flags of the user's own are left alone.

    Parameters
    ----------
    brief
        For programs that run for seconds: still less time for compiling, for a little more of running. What they
        compute differs in its rounding, and is stored under names of its own.
    """
    ours = ("", _FAST, f"{_FAST} {_BRIEF}")
    flags = os.environ.get("XLA_FLAGS", "")
    on_gpu = shutil.which("nvidia-smi") is not None and os.environ.get("JAX_PLATFORMS") != "cpu"
    if flags in ours and not on_gpu and importlib.metadata.version("jaxlib").startswith(_KNOWN):
        os.environ["XLA_FLAGS"] = ours[2] if brief else flags or _FAST


def interruptible() -> None:
    """All is imported: from here on Ctrl-C raises `KeyboardInterrupt`, so that what is finished can be kept."""
    if isinstance(signal.getsignal(signal.SIGINT), _Quit):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def main(argv: Sequence[str] | None = None) -> int:
    """``ntk-localsgd``; returns the exit code."""
    return start("ntk-localsgd", "ntk_localsgd.cli", argv)
