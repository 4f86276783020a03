"""Ctrl-C while a program still imports: one line, exit code 130."""

import pathlib
import re
import subprocess
import sys

import ntk_localsgd
from ntk_localsgd import starting

ROOT = pathlib.Path(__file__).parent.parent


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
