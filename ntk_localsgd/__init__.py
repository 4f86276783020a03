"""Checks the theory of Local SGD on ReLU networks through the Neural Tangent Kernel.

Local SGD takes the plain average over clients, 1/K each; FedAvg's weights n_c/n are meant nowhere.

>>> from ntk_localsgd import clients, datasets, evidence, kernels, local_sgd, networks
"""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """``__version__``, read when it is asked for: until a program has begun, Ctrl-C is a traceback."""
    if name != "__version__":
        raise AttributeError(name)
    import importlib.metadata

    try:
        return importlib.metadata.version("ntk-localsgd")
    except importlib.metadata.PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
