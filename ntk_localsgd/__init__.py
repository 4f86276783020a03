"""Checks the theory of Local SGD on ReLU networks through the Neural Tangent Kernel.

Local SGD takes the plain average over clients, 1/K each; FedAvg's weights n_c/n are meant nowhere.

>>> from ntk_localsgd import clients, datasets, evidence, kernels, local_sgd, networks
"""

import importlib.metadata

try:
    __version__ = importlib.metadata.version("ntk-localsgd")
except importlib.metadata.PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
