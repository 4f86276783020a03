"""Where programs begin: Ctrl-C while one imports is one line, exit code 130; what XLA is told."""

import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys

import pytest

import ntk_localsgd
from ntk_localsgd import starting

ROOT = pathlib.Path(__file__).parent.parent

FAST = "--xla_backend_optimization_level=1 --xla_cpu_parallel_codegen_split_count=1"
BRIEF = "--xla_cpu_use_fusion_emitters=false"


def test_an_interrupt_or_a_refusal_during_the_imports_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "interrupted_import.py").write_text("raise KeyboardInterrupt\n")
    (tmp_path / "refused_import.py").write_text("from ntk_localsgd.errors import InputError\nraise InputError('no')\n")
    (tmp_path / "sound_import.py").write_text("def main(argv):\n    return len(argv)\n")
    assert starting.start("a program", "interrupted_import") == 130
    assert capsys.readouterr().err == "a program: interrupted.\n"
    assert starting.start("a program", "refused_import") == 2
    assert capsys.readouterr().err == "a program: no\n"
    assert starting.start("a program", "sound_import", ["a", "b"]) == 2


def test_an_extension_cannot_make_an_import_error_of_an_interrupt(tmp_path):
    code = "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / "extension.py").write_text(
        code + "except KeyboardInterrupt as error:\n    raise ImportError from error\n"
    )
    code = "import sys; from ntk_localsgd.starting import start; sys.path.append(sys.argv[1]); start('it', 'extension')"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "it: interrupted.\n")


@pytest.mark.parametrize(
    ("before", "brief", "jaxlib", "gpu", "after"),
    [
        (None, False, "0.10.2", None, FAST),
        (None, True, "0.10.2", None, f"{FAST} {BRIEF}"),
        (FAST, True, "0.10.2", None, f"{FAST} {BRIEF}"),
        (f"{FAST} {BRIEF}", False, "0.10.2", None, f"{FAST} {BRIEF}"),
        ("--xla_of_mine=1", True, "0.10.2", None, "--xla_of_mine=1"),
        (None, True, "0.11.0", None, None),
        (None, True, "0.10.2", "/usr/bin/nvidia-smi", None),
    ],
)
def test_xla_is_told_to_compile_fast_where_its_flags_are_known_and_nobody_has_set_any(
    before, brief, jaxlib, gpu, after, monkeypatch
):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(starting.importlib.metadata, "version", lambda _: jaxlib)
    monkeypatch.setattr(starting.shutil, "which", lambda _: gpu)
    monkeypatch.delenv("XLA_FLAGS", raising=False) if before is None else monkeypatch.setenv("XLA_FLAGS", before)
    starting.compile_fast(brief=brief)
    assert os.environ.get("XLA_FLAGS") == after


def test_the_flags_are_xla_s_own_and_change_roundings_alone():
    if not importlib.metadata.version("jaxlib").startswith(starting._KNOWN):
        pytest.skip("the flags are not given to this jaxlib")
    code = "import jax, sys; x = jax.numpy.linspace(0, 1, 4096); f = lambda x: jax.numpy.tanh(x @ x + x * 3) / 7"
    code += "; sys.stdout.write(str(float(jax.jit(f)(x).sum())))"
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    sums = [
        float(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout)
        for env in (plain, plain | {"XLA_FLAGS": f"{FAST} {BRIEF}"})
    ]
    assert sums[1] == pytest.approx(sums[0], rel=1e-6)  # float32


def test_nothing_that_takes_long_is_imported_before_it_may_be_interrupted():
    script = re.search(r'^ntk-localsgd = "(.+):main"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    code = (
        f"import sys, {script}, verification.__main__, figures.__main__;"
        "sys.exit(str({'jax', 'numpy', 'tyro', 'rich'} & sys.modules.keys() or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_the_version_is_all_that_the_package_itself_answers_for():
    assert re.match(r"\d+", ntk_localsgd.__version__)
    assert not hasattr(ntk_localsgd, "another_name")
