"""API pages from docstrings, one an area of the code; the build fails on a public name that has no entry.

Public is what stands in a module's ``__all__``. What a package offers as its own (``networks.Stack``) has its entry
there, and not where it is written (``networks.stack.Stack``). With the tag ``prose`` the pages are left out.
"""

import functools
import importlib
import inspect
import pathlib
import pkgutil
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer

#: Packages with an API. Claims and figures are read through the report and the gallery, commands through their --help.
PACKAGES = ("ntk_localsgd", "verification", "figures")
#: Figures stand in the gallery.
_UNLISTED = ("FIGURE", "__version__")
_LEFT_OUT = ("verification.claims.", "ntk_localsgd.cli.")


def modules() -> Iterator[str]:
    """Every module, packages before their parts."""
    for package in PACKAGES:
        root = importlib.import_module(package)
        yield package
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not found.name.startswith(_LEFT_OUT) and not found.name.rpartition(".")[2].startswith("__"):
                yield found.name


@functools.cache
def entries() -> dict[str, str]:
    """Where every public name, ``module.name``, has its entry: the shortest of the names that the same object has."""
    public = [
        f"{module}.{name}"
        for module in modules()
        for name in getattr(importlib.import_module(module), "__all__", ())
        if name not in _UNLISTED
    ]
    chosen: dict[object, str] = {}
    for path in public:
        chosen.setdefault(_identity(path), path)
    return {path: chosen[_identity(path)] for path in public}


def _value(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _identity(path: str) -> object:
    """The same for two names of one thing; numbers and texts are told by their name."""
    value = _value(path)
    return path.rpartition(".")[2], repr(value) if isinstance(value, int | float | str) else id(value)


def _directive(path: str) -> str:
    """The entry of a name; empty for what has no docstring, which `check` then misses."""
    value = _value(path)
    if inspect.isclass(value):
        return f".. auto{'exception' if issubclass(value, BaseException) else 'class'}:: {path}\n"
    if inspect.isroutine(value) or inspect.isroutine(inspect.unwrap(value)):  # type: ignore[arg-type]
        return f".. autofunction:: {path}\n"
    comment = _comment(path)
    body = "".join(f"   {_escaped(line)}\n" for line in comment)
    return f".. py:data:: {path}\n\n{body}" if comment else ""


def _comment(path: str) -> list[str]:
    """The ``#:`` above a value, in whichever module it is written."""
    for other, entry in entries().items():
        if entry == path:
            module, _, name = other.rpartition(".")
            found = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
            if found:
                return found
    return []


def write(app: Sphinx) -> None:
    """One page an area (``ntk_localsgd.kernels``), a section a module."""
    folder = pathlib.Path(app.srcdir) / "generated" / "api"
    if app.tags.has("prose"):
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    pages: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in () if app.tags.has("prose") else dict.fromkeys(entries().values()):
        module = path.rpartition(".")[0]
        pages[".".join(module.split(".")[:2])][module].append(_directive(path))
    for area, sections in pages.items():
        parts = [f"{area}\n{'=' * len(area)}\n"]
        for module, directives in sections.items():
            if module != area:
                parts.append(f"{module}\n{'-' * len(module)}\n")
            first = inspect.getdoc(importlib.import_module(module)) or ""
            parts += [f"{_escaped(first.splitlines()[0] if first else '')}\n", *directives]
        _write(folder / f"{area}.rst", "\n".join(parts))
    for old in folder.glob("*.rst"):
        if old.stem not in pages:
            old.unlink()
    listed = "\n".join(f"   {area}" for area in pages)
    _write(folder / "index.rst", f"API reference\n=============\n\n.. toctree::\n   :maxdepth: 1\n\n{listed}\n")


def _write(path: pathlib.Path, text: str) -> None:
    """A file, touched only where it changes: what has not changed is not read anew."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _escaped(line: str) -> str:
    """Docstrings are Markdown-like: bars, stars and trailing underscores mean what they show, outside of ``code``."""
    pieces = re.split(r"(``.*?``|`.*?`)", line)
    for place in range(0, len(pieces), 2):
        text = re.sub(r"([|*\\])|(?<=\w)_(?!\w)", r"\\\g<0>", pieces[place])
        # Code ends before a space or a mark; before all else it has to be told.
        pieces[place] = f"\\ {text}" if place and re.match(r"[^\s.,;:!?)\]}>'\"/-]", text) else text
    return "".join(pieces)


#: Docstrings of properties and attributes, of which napoleon would read what stands before a colon as a type.
_KEPT: dict[str, list[str]] = {}


def escape(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Escape a docstring's lines, but for its examples."""
    lines[:] = [line if re.match(r"\s*(>>>|\.\.\. )", line) else _escaped(line) for line in lines]
    if what in ("property", "attribute") and not any(line.startswith("---") for line in lines):
        _KEPT[name] = list(lines)


def skip(app: Sphinx, what: str, name: str, value: object, skipped: bool, options: object) -> bool | None:
    """Fields of a named tuple have no docstring of their own: the class's says what they are."""
    return True if str(getattr(value, "__doc__", "")).startswith("Alias for field number") else None


def no_index(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Attributes that a docstring lists are no entries of their own."""
    lines[:] = _KEPT.get(name, lines)
    lines[:] = [
        part for line in lines for part in ([line, "   :no-index:"] if line.startswith(".. attribute:: ") else [line])
    ]


def check(app: Sphinx, error: Exception | None) -> None:
    """Fail on public names without an entry."""
    if error is None and app.builder.format == "html" and not app.tags.has("prose"):
        known = app.env.get_domain("py").objects  # type: ignore[attr-defined]
        missing = sorted(
            {path for path in entries().values() if path not in known and not inspect.ismodule(_value(path))}
        )
        if missing:
            raise ExtensionError(f"public names without an entry in the API reference: {', '.join(missing)}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect."""
    app.connect("builder-inited", write)
    app.connect("autodoc-process-docstring", escape, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", no_index, priority=600)
    app.connect("autodoc-skip-member", skip)
    app.connect("build-finished", check)
    return {"parallel_read_safe": True}
