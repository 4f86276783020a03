"""The site: every public name has an entry, prose is built without a warning, links lead somewhere."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

pytest.importorskip("sphinx")
sys.path.append(str(ROOT / "docs" / "ext"))

import api  # noqa: E402
import links  # noqa: E402


def test_every_public_name_has_a_docstring_to_show():
    shown = api.entries()
    assert shown["ntk_localsgd.networks.stack.Stack"] == "ntk_localsgd.networks.Stack"
    assert len(set(shown.values())) > 400
    assert not [path for path in shown.values() if not api._directive(path)]


def test_a_value_without_a_comment_and_a_class_without_a_docstring_are_missed(monkeypatch):
    monkeypatch.setattr(api, "_comment", lambda _: [])
    assert api._directive("ntk_localsgd.networks.TANH") == ""
    assert api._directive("ntk_localsgd.networks.deep") == ".. autofunction:: ntk_localsgd.networks.deep\n"


@pytest.mark.parametrize(
    ("line", "escaped"),
    [
        ("max |‖h‖ − 1| of W_", r"max \|‖h‖ − 1\| of W\_"),
        ("``a|b``^t and `name`: r*", "``a|b``\\ ^t and `name`: r\\*"),
        ("λ_min stays", "λ_min stays"),
    ],
)
def test_docstrings_mean_what_they_show(line, escaped):
    assert api._escaped(line) == escaped


def test_links_that_lead_nowhere_and_what_is_loaded_from_elsewhere_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here">x</a><a href="b.html#gone">x</a><a href="c.html">x</a><a href="https://example.org">x</a>'
        '<script src="https://example.org/x.js"></script><img src="data:image/png;base64,"><a href="#top">x</a>'
    )
    (tmp_path / "b.html").write_text('<p id="here"></p>')
    found = [text.removeprefix("a.html: ") for text in links.broken(tmp_path)]
    assert found == ["#top", "b.html#gone", "c.html", "loads https://example.org/x.js"]


@pytest.mark.slow
def test_prose_gallery_theory_and_bounds_are_built_without_a_warning(tmp_path):
    """All but the API pages, tutorials not executed."""
    source = tmp_path / "docs"
    source.mkdir()
    (tmp_path / "README.md").symlink_to(ROOT / "README.md")
    for path in (ROOT / "docs").iterdir():
        if path.name not in ("generated", "__pycache__"):
            (source / path.name).symlink_to(path)
    options = ["-W", "--keep-going", "-q", "-b", "html", "-t", "prose", "-D", "plot_gallery=0"]
    command = [sys.executable, "-m", "sphinx", *options, str(source), str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    theory = (tmp_path / "site" / "theory.html").read_text()
    assert "<sub>min</sub>" in theory
    assert "<math" in (tmp_path / "site" / "generated" / "bounds.html").read_text()
    assert (tmp_path / "site" / "report.html").stat().st_size < 3_000_000
