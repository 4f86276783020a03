"""The fingerprint of code: what it depends on, and what it does not."""

import importlib.util
import pathlib
import shutil
import subprocess

import pytest

from ntk_localsgd import provenance

ROOT = pathlib.Path(__file__).parents[1]


def test_the_closure_follows_imports_of_every_form(tmp_path):
    sources = {
        "script": "import one\nfrom two import value\ndef f():\n    import three",
        "one": "import numpy", "two": "from one import *", "three": "", "four": "",
    }  # fmt: skip
    for name, text in sources.items():
        (tmp_path / f"{name}.py").write_text(text)
    found = provenance.imported_files(tmp_path / "script.py")
    assert {path.stem for path in found} == {"script", "one", "two", "three"}


def test_relative_imports_and_packages_that_walk_their_folder(tmp_path):
    package = tmp_path / "verification"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from .b import x\nfrom . import c")
    (package / "b.py").write_text("from verification.inner import y")
    (package / "c.py").write_text("")
    (package / "d.py").write_text("")
    (package / "inner" / "__init__.py").write_text("import pkgutil\nlist(pkgutil.iter_modules(__path__))")
    (package / "inner" / "e.py").write_text("")
    found = {path.relative_to(package).as_posix() for path in provenance.imported_files(package / "a.py")
             if path.is_relative_to(package)}  # fmt: skip
    assert found == {"__init__.py", "a.py", "b.py", "c.py", "inner/__init__.py", "inner/e.py"}


def test_a_change_in_what_is_imported_changes_it_and_a_change_elsewhere_does_not(tmp_path):
    for name, text in {"script": "import helper", "helper": "DELTA = 0.05", "other": "x = 1"}.items():
        (tmp_path / f"{name}.py").write_text(text)
    before = provenance.code_fingerprint(tmp_path / "script.py")
    (tmp_path / "other.py").write_text("x = 2222")
    assert provenance.code_fingerprint(tmp_path / "script.py") == before
    (tmp_path / "helper.py").write_text("DELTA = 0.010")
    assert provenance.code_fingerprint(tmp_path / "script.py") != before


def test_a_folder_counts_whole_and_by_its_files_names(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    before = provenance.code_fingerprint(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert provenance.code_fingerprint(tmp_path) != before


def test_training_jobs_depend_on_local_sgd_and_not_on_reports():
    closure = provenance.imported_files(ROOT / "verification" / "jobs" / "training.py")
    names = {path.relative_to(ROOT).as_posix() for path in closure}
    assert {"ntk_localsgd/clients.py", "ntk_localsgd/datasets.py", "verification/data.py"} <= names
    assert not [name for name in names if "certificate" in name or "report" in name or "judging" in name]
    assert not [name for name in names if name.startswith(("verification/claims", "ntk_localsgd/bounds"))]


def test_the_commit_is_named_in_a_checkout():
    name = provenance.commit()
    assert len(name.rstrip("+")) == 12 or not (ROOT / ".git").exists()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_commit_says_whether_files_differ_from_it(tmp_path):
    (tmp_path / "package").mkdir()
    file = pathlib.Path(shutil.copy(provenance.__file__, tmp_path / "package" / "provenance.py"))
    spec = importlib.util.spec_from_file_location("elsewhere", file)
    elsewhere = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(elsewhere)
    assert elsewhere.commit() == ""
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "a")):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    clean = elsewhere.commit()
    assert len(clean) == 12
    (tmp_path / "untracked").write_text("")
    assert elsewhere.commit() == clean
    file.write_text("")
    assert elsewhere.commit() == clean + "+"
