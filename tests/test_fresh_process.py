"""The library in a process of its own, with JAX's flags as they come: one process for all of it."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from ntk_localsgd import datasets
from tests import fresh_process

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def found():
    flags = {name: value for name, value in os.environ.items() if name != "JAX_ENABLE_X64"} | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-m", fresh_process.__name__], env=flags, cwd=ROOT, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_the_package_loads_no_heavy_peer_and_sets_no_flag(found):
    assert found["imports"] is None, found["imports"]


def test_float64_data_do_not_depend_on_the_x64_flag(found):
    assert found["data"] == float(datasets.sphere(jax.random.key(0), 5, 4).inputs.sum()).hex(), found["data"]


def test_float64_networks_without_x64_are_refused_instead_of_narrowed(found):
    assert found["networks"] is None, found["networks"]


def test_everything_works_without_x64(found):
    assert found["runs"] is None, found["runs"]


def test_importing_neural_tangents_leaves_jax_as_it_was(found):
    assert found["neural_tangents"] is None, found["neural_tangents"]
