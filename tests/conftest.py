"""The one place where the tests set JAX's and XLA's flags and hypothesis' profile, and what whole modules share."""

import fcntl
import os
import signal

import hypothesis
import jax
import pytest

from ntk_localsgd.starting import compile_fast

compile_fast(brief=True)
jax.config.update("jax_enable_x64", True)

# No deadline: first calls compile. Derandomised: the suite finds the same examples on every machine.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True, max_examples=20, print_blob=True)
hypothesis.settings.load_profile("house")

# The smoke run takes longest and begins first; what else reads it comes last, when it is there.
_FIRST, _LAST = "tests/verification/test_main.py", "tests/figures/test_drawing.py"

# Shells start background jobs with interrupts ignored, which children inherit: tests of Ctrl-C need them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Files in an order that leaves no process waiting."""
    order = {_FIRST: -1, _LAST: 1}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], 0))


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """Folder and exit code of one smoke run of every claim, made by whichever process comes first."""
    from verification import commands as command

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    out, code = shared / "smoke", shared / "smoke-exit-code"
    with (shared / "smoke-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not code.exists():
            code.write_text(str(command.main(["run", "--preset", "smoke", "--out", str(out)])))
    return out, int(code.read_text())
