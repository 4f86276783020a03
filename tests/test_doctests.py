"""Examples in the library's docstrings do as they say."""

import doctest
import importlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FINDER = doctest.DocTestFinder(exclude_empty=True)


def _module(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = sorted(path for path in (ROOT / "ntk_localsgd").rglob("*.py") if ">>>" in path.read_text())


@pytest.mark.parametrize("name", [_module(path) for path in SOURCES if path.parent != ROOT / "ntk_localsgd"
                                  or path.name != "__init__.py"])  # fmt: skip
def test_examples_run_as_written(name):
    examples = [test for test in FINDER.find(importlib.import_module(name)) if test.examples]
    assert examples
    runner = doctest.DocTestRunner()
    for example in examples:
        runner.run(example)
    assert runner.summarize().failed == 0
