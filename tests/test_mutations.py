"""The mutations of `tests.mutations` still fit the sources; running them is ``make mutations``."""

import ast
import functools
import pathlib

import pytest

from tests.mutations.cases import MUTATIONS

ROOT = pathlib.Path(__file__).parent.parent


def _computes(node):
    """Whether a function has a body besides its docstring and ``...``, so that there is a formula to break."""
    return any(not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)) for line in node.body)


def _has_functions(path):
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return any(isinstance(node, functions) and _computes(node) for node in ast.walk(ast.parse(path.read_text())))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: f"{pathlib.Path(m.file).stem}: {m.breaks}")
def test_a_mutation_changes_one_place_and_is_still_python(mutation):
    text = (ROOT / mutation.file).read_text()
    assert text.count(mutation.original) == 1
    mutant = mutation.applied(text)
    assert mutant != text
    ast.parse(mutant)
    assert mutation.caught_by


@functools.cache
def _tests_in(file):
    return {node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("named", sorted({name for mutation in MUTATIONS for name in mutation.caught_by}))
def test_every_named_test_is_there(named):
    file, _, name = named.partition("::")
    assert (ROOT / file).is_file()
    assert not name or name.split("[")[0] in _tests_in(file)


def test_every_module_with_a_formula_has_a_mutation():
    modules = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "ntk_localsgd").rglob("*.py") if _has_functions(path)
    }
    assert len(modules) > 40
    assert modules <= {mutation.file for mutation in MUTATIONS}


def test_no_mutation_is_listed_twice():
    assert len({(m.file, m.original, m.mutant) for m in MUTATIONS}) == len({m.breaks + m.file for m in MUTATIONS})
    assert len({(m.file, m.original, m.mutant) for m in MUTATIONS}) == len(MUTATIONS)
