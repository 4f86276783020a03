"""The committed reference vectors are what the script makes, and the library agrees within its own bounds."""

import importlib.util
import json
import pathlib

import numpy as np
import pytest

from ntk_localsgd import kernels, networks
from ntk_localsgd.networks import RELU, LeakyReLU

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "reference_vectors"
CASES = {case["name"]: case for case in json.loads((FOLDER / "cases.json").read_text())["cases"]}


def test_the_file_is_what_the_script_makes():
    spec = importlib.util.spec_from_file_location("make_vectors", FOLDER / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    assert list(CASES.values()) == make.cases()
    assert len(CASES) == 10


def _rows(case):
    rows = np.array(case["directions"], float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _computed(case):
    """The library's matrix, and its bound on the spectral norm of what it is off by."""
    x, kernel = _rows(case), case["kernel"]
    slope = case["activation"].partition("leaky_relu ")[2]
    sigma = LeakyReLU(float(slope)) if slope else RELU
    named = ("weights", "input_weights", "hidden_weights", "output_weights")
    eighths = {name: np.array(case[name]) / 8 for name in named if name in case}
    if kernel == "two layers, infinitely wide":
        return kernels.infinite_gram(x, activation=sigma), kernels.infinite_gram_error(*x.shape)
    if kernel == "deep, infinitely wide":
        gram = kernels.infinite_deep_gram(x, case["depth"])
        return gram, kernels.infinite_deep_gram_error(*x.shape, case["depth"])
    if "weights" in eighths:
        signs = np.ones(4)  # only σ'² counts, and every sign has the square 1
        net = networks.Stack.from_arrays(None, [eighths["weights"]], signs, activation=sigma, divided=True)
    else:
        net = networks.DeepReLU.from_arrays(
            eighths["input_weights"], list(eighths["hidden_weights"]), eighths["output_weights"]
        )
    # Inputs are rounded to float64 before the bound begins: a relative 4u of rows of norm 1, through every layer.
    gram = np.asarray(kernels.empirical_gram(net, x))
    return gram, kernels.empirical_gram_error(net, x) + 64 * np.finfo(float).eps * np.abs(gram).sum()


@pytest.mark.parametrize("name", CASES)
def test_the_library_agrees_within_its_own_bounds(name):
    case = CASES[name]
    found, bound = _computed(case)
    expected = kernels.as_matrix(np.array(case["gram"], float))
    gap = np.linalg.norm(kernels.as_matrix(found) - expected, 2)
    assert gap <= bound + 1e-16 * np.abs(expected).sum()
    assert bound < 1e-10
