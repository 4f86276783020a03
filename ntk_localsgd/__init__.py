"""Checks the theory of Local SGD (FedAvg) on ReLU networks through the Neural Tangent Kernel.

>>> from ntk_localsgd import clients, datasets, evidence, kernels, local_sgd, networks
"""

import importlib.metadata

try:
    __version__ = importlib.metadata.version("ntk-localsgd")
except importlib.metadata.PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
