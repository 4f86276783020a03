"""What holds for the project as a whole: floors, imports, lock, README, documentation."""

import ast
import doctest
import pathlib
import re
import shlex

import pytest

from ntk_localsgd import cli

ROOT = pathlib.Path(__file__).parent.parent

# Who may import whom (docs: "imports point down only"); a module may import anything at or left of its own floor.
FLOORS = [
    {
        "errors",
        "starting",
        "files",
        "rounding",
        "arrays",
        "scalars",
        "threads",
        "randomness",
        "seeds",
        "separation",
        "provenance",
        "tables",
        "stored",
    },
    {"datasets", "clients", "networks", "bounds", "evidence", "results", "statistics", "entropy"},
    {"kernels"},
    {"local_sgd"},
    {"responses", "prediction", "unseen", "conventions", "diagnosis", "interpolation"},
    {"certificate"},
    {"cli"},
]


def _floor(module):
    name = module.split(".")[1]
    return next(k for k, floor in enumerate(FLOORS) if name in floor)


def _imports(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (
                [f"{node.module}.{a.name}" for a in node.names] if node.module == "ntk_localsgd" else [node.module]
            )
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", sorted((ROOT / "ntk_localsgd").rglob("*.py")), ids=lambda p: p.stem)
def test_imports_point_down_only(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for name in _imports(path):
        assert name.split(".")[0] not in ("verification", "figures", "benchmarks")
        if name.startswith("ntk_localsgd.") and module != "ntk_localsgd.__init__":
            assert _floor(name) <= _floor(module), f"{module} imports {name}"


def test_lock_is_complete_and_names_no_index():
    lock = (ROOT / "requirements.lock").read_text()
    assert "tensorflow" not in lock
    assert "://" not in lock
    pinned = {re.split("[=; ]", line)[0] for line in lock.splitlines() if line}
    wanted = re.findall(r'^    "([A-Za-z0-9-]+)>=', (ROOT / "pyproject.toml").read_text(), re.M)
    assert {name for name in wanted if name != "hatchling"} <= pinned


@pytest.mark.parametrize("page", ["README.md", "docs/own_data.md", "docs/quickstart.md"])
def test_printed_commands_are_understood(page, tmp_path, monkeypatch, capsys):
    """In a folder without data, what is understood fails for the lack of it, or needs none."""
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^(?:\| `)?ntk-localsgd ([^#`\n]+)", (ROOT / page).read_text(), re.M)
    assert lines
    for line in lines:
        code, said = cli.main(shlex.split(line)), capsys.readouterr().err
        assert code == 0 or "is not there" in said or "No such file" in said, (line, said)


def test_readme_example_runs_as_written():
    text = (ROOT / "README.md").read_text()
    (example,) = re.findall(r"```python\n(>>>.*?)```", text, re.S)
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(example, {}, "README", "README.md", 0))
    assert runner.summarize().attempted >= 10
    assert runner.summarize().failed == 0
    assert example.count("\n") <= 24


def test_no_file_is_longer_than_the_house_allows():
    sources = [p for part in ("ntk_localsgd", "verification", "figures", "tests") for p in (ROOT / part).rglob("*.py")]
    assert max(len(path.read_text().splitlines()) for path in sources) <= 400


def test_every_public_function_says_what_it_returns_and_raises():
    for path in (ROOT / "ntk_localsgd").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"


def test_makefile_targets_all_make_the_environment_first():
    makefile = (ROOT / "Makefile").read_text()
    for target in ("verify", "test", "mutations", "lint", "figures", "bench"):
        assert re.search(rf"^{target}: \.venv", makefile, re.M), target


def test_one_version_everywhere():
    project = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    assert re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M)[1] == project
    assert re.search(r"^## \[(.+?)\] - \d{4}-\d{2}-\d{2}$", (ROOT / "CHANGELOG.md").read_text(), re.M)[1] == project


def test_few_calls_are_kept_from_the_formatter():
    sources = [p for part in ("ntk_localsgd", "verification", "figures") for p in (ROOT / part).rglob("*.py")]
    assert sum(path.read_text().count("# fmt: skip") for path in sources) < 20


def test_the_rooms_at_the_top_of_verification_are_few_and_jobs_know_no_claim():
    top = [path for path in (ROOT / "verification").iterdir() if path.suffix == ".py" or path.is_dir()]
    assert len([path for path in top if not path.name.startswith("__pycache__")]) <= 20
    above = ("verification.claims", "verification.judging", "verification.registry", "verification.presets",
             "verification.context", "verification.report", "figures")  # fmt: skip
    for path in (ROOT / "verification" / "jobs").glob("*.py"):
        assert not [name for name in _imports(path) if name.startswith(above)], path.name
