"""Each peer's environment: made once under build/bench, and the reason in a sentence where that fails."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "build" / "bench"

#: What pip installs, by environment; "project" is the one that this runs in. Where PyPI's torch is meant for a GPU, a
#: CPU build can be named in pip's own configuration: nothing here says where packages come from.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "project": (),
    "pytorch": ("torch==2.13.0", "numpy==2.4.6"),
    "fedjax": ("fedjax==0.0.17", "jax==0.5.3", "jaxlib==0.5.3", "numpy==2.4.6"),
    # The newest JAX that runs neural-tangents' structured derivatives; no dependencies: it names TensorFlow among them.
    "structured": (
        "--no-deps",
        "neural-tangents==0.6.5",
        "jax==0.4.23",
        "jaxlib==0.4.23",
        "numpy==1.26.4",
        "scipy==1.11.4",
        "ml-dtypes==0.3.2",
        "opt-einsum==3.3.0",
        "frozendict==2.4.0",
        "typing-extensions==4.12.2",
    ),
    "flower": ("flwr[simulation]==1.42.0", "torch==2.13.0", "numpy==2.4.6"),
    "pfl": ("pfl[pytorch]==0.6.0", "torch==2.13.0", "numpy==2.4.6"),
}


class NotInstalledError(Exception):
    """A peer that cannot be had here; the message says why."""


def python_of(name: str) -> pathlib.Path:
    """Interpreter of an environment, which is made first when it is missing or its requirements have changed."""
    if not REQUIREMENTS[name]:
        return pathlib.Path(sys.executable)
    folder = FOLDER / name
    python, stamp, wanted = folder / "bin" / "python", folder / ".stamp", "\n".join(REQUIREMENTS[name])
    if not (stamp.exists() and stamp.read_text() == wanted):
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS[name])
        stamp.write_text(wanted)  # last, so that an installation that failed half-way is repeated
    return python


def versions_of(name: str) -> dict[str, str]:
    """Installed versions of what an environment was made for."""
    code = "import importlib.metadata as m, sys; print(*(m.version(name) for name in sys.argv[1:]))"
    names = [req.split("==")[0].split("[")[0] for req in REQUIREMENTS[name] if not req.startswith("-")]
    done = subprocess.run([python_of(name), "-c", code, *names], capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.split(), strict=True))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise NotInstalledError(lines[-1][:200] if lines else f"exit code {done.returncode}")
