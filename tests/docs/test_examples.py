"""Published experiments in a few lines: at sizes of seconds they show what their papers do."""

import importlib.util
import pathlib

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "examples"


def _example(name, **sizes):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for constant, value in sizes.items():
        assert hasattr(module, constant)
        setattr(module, constant, value)
    return module.main()


def test_true_labels_lie_on_large_eigenvalues_and_are_fitted_first():
    found = _example("arora_2019_labels", N=60, ROUNDS=20)
    assert found["true"]["share"] > 3 * found["random"]["share"]
    assert found["true"]["form"] < found["random"]["form"] / 2
    assert found["true"]["loss"] < found["random"]["loss"] / 2


@pytest.mark.parametrize("name", ["du_2019_figure_1", "jian_liu_2025_widths"])
def test_wider_networks_change_less(name):
    powers = _example(name, N=20, WIDTHS=(64, 512), ROUNDS=20)
    # m^(-1/2) at infinite width; a factor 8 in m leaves much to chance.
    assert all(-0.9 < power < -0.2 for power in powers.values())
