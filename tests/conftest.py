"""The one place where the tests set JAX's flags and hypothesis' profile, and what whole modules share."""

import hypothesis
import jax
import pytest

jax.config.update("jax_enable_x64", True)

# No deadline: first calls compile. Derandomised: the suite finds the same examples on every machine.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True, max_examples=20, print_blob=True)
hypothesis.settings.load_profile("house")


def pytest_collection_modifyitems(items):
    """Tests of one file run in one process, those that share the smoke run in one of them, which begins first."""
    for item in items:
        if not list(item.iter_markers("xdist_group")):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    items.sort(key=lambda item: next(item.iter_markers("xdist_group")).args[0] != "smoke")


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """Folder and exit code of one smoke run of every claim."""
    from verification import __main__ as command

    out = tmp_path_factory.mktemp("smoke")
    return out, command.main(["run", "--preset", "smoke", "--out", str(out)])
