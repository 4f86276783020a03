"""Where a number comes from: versions, device, and the code that computes it."""

import ast
import functools
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import threading
from collections.abc import Iterator

__all__ = ["code_fingerprint", "commit", "device_name", "imported_files", "processor_name", "versions"]

_LIBRARY = pathlib.Path(__file__).parent

# What belongs to the project, beside the script that asks: everything else is pinned by its version.
_PACKAGES = ("ntk_localsgd", "verification", "figures")

# A package that finds its modules by walking its folder imports all of them, without naming one.
_WALKERS = ("iter_modules", "walk_packages")

# Python 3.11 counts the depth of a syntax tree for all threads together: two that parse at once may upset each other.
_PARSING = threading.Lock()


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that numbers depend on."""
    names = ("ntk-localsgd", "jax", "jaxlib", "equinox", "neural-tangents", "numpy", "scipy", "scikit-learn", "sympy")
    return {"python": platform.python_version()} | {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def device_name() -> str:
    """Name of the device that JAX computes on, as its maker calls it; of processors, with how many JAX may use.

    On more cores sums may be taken in another order: a process that is bound to one of them is another device.
    """
    import jax  # here, so that what only stores results starts without it

    kind = jax.devices()[0].device_kind
    return processor_name(_cores()) if kind == "cpu" else kind


def processor_name(cores: int) -> str:
    """`device_name` of a process that may use so many cores and has no GPU.

    >>> processor_name(2).endswith(" CPU, 2 cores"), processor_name(1).endswith(" CPU, 1 core")
    (True, True)
    """
    return f"{platform.machine()} CPU, {cores} core{'s' * (cores > 1)}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def commit() -> str:
    """The commit of the project's checkout, with ``+`` if files differ from it; empty outside a checkout."""
    root = _LIBRARY.parent
    if not (root / ".git").exists():
        return ""
    try:
        name, changes = (
            subprocess.run(
                ["git", "-C", str(root), *command], capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return name + "+" * bool(changes)


def code_fingerprint(*sources: pathlib.Path) -> str:
    """SHA-256 of source files and of everything of the project that they import, directly or through others.

    A change in any of these changes it; a change elsewhere in the project does not.

    Parameters
    ----------
    sources
        Python files, or folders: all Python files below.

    Returns
    -------
    64 hexadecimal digits.
    """
    files = imported_files(*sources)
    common = pathlib.Path(os.path.commonpath([path.parent for path in files]))
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(common).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def imported_files(*sources: pathlib.Path) -> frozenset[pathlib.Path]:
    """The closure of source files under imports, within the project and the folder of each source."""
    wanted = [path.resolve() for source in sources for path in (source.rglob("*.py") if source.is_dir() else [source])]
    closure: set[pathlib.Path] = set()
    while wanted:
        path = wanted.pop()
        if path not in closure:
            closure.add(path)
            status = path.stat()
            wanted += _imports(path, status.st_mtime_ns, status.st_size)
    return frozenset(closure)


@functools.lru_cache(maxsize=4096)
def _imports(path: pathlib.Path, modified: int, size: int) -> tuple[pathlib.Path, ...]:  # noqa: ARG001 (cache keys)
    """Files that a file imports, resolved; ``modified`` and ``size`` tell versions of the file apart."""
    text = path.read_text(encoding="utf-8")
    package = _package(path)
    files: list[pathlib.Path] = []
    with _PARSING:
        tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join((*package[: len(package) - node.level + 1], node.module or "")).strip(".")
                if node.level
                else ""
            )
            module = base or node.module or ""
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            files += _files(name, path)
    if path.name == "__init__.py" and any(word in text for word in _WALKERS):
        files += path.parent.rglob("*.py")
    return tuple({file.resolve() for file in files})


def _package(path: pathlib.Path) -> tuple[str, ...]:
    """Names of the packages that a file lies in, outermost first."""
    names: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    return tuple(names)


def _files(module: str, importer: pathlib.Path) -> Iterator[pathlib.Path]:
    """The file of a module of the project, or beside the importer, and its packages' ``__init__``; none for others."""
    parts = module.split(".")
    depth = len(_package(importer))
    root = importer.parents[depth]
    roots = [_LIBRARY.parent, root] if parts[0] in _PACKAGES else [] if depth else [root]
    for folder in dict.fromkeys(roots):
        for length in range(1, len(parts) + 1):
            at = folder.joinpath(*parts[:length])
            for file in (at / "__init__.py", at.with_suffix(".py")):
                if file.is_file():
                    yield file
