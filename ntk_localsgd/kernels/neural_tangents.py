"""The one place that imports neural-tangents, which does not import by itself on today's JAX.

Version 0.6.5 reads names that JAX has removed, and its ``experimental`` subpackage wants TensorFlow. Both are lent
while it is imported and taken back after, so that nobody else sees a changed JAX. ``predict.max_learning_rate`` passes
an argument that SciPy has renamed; its module is given a ``scipy`` that takes it. What works then: closed-form kernels,
``predict``, ``linearize``, ``monte_carlo_kernel_fn`` and ``empirical_ntk_fn`` by Jacobian contraction or NTK-vector
products. Structured derivatives and AUTO do not.
"""

import contextlib
import functools
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.linalg
from numpy import ndarray

__all__ = ["neural_tangents"]


@functools.cache
def neural_tangents() -> Any:
    """The module ``neural_tangents``, imported on first use."""
    with _what_jax_removed():
        module = importlib.import_module("neural_tangents")
    linalg = types.SimpleNamespace(eigvalsh=_eigvalsh)  # all that this module uses of SciPy
    importlib.import_module("neural_tangents._src.predict").__dict__["sp"] = types.SimpleNamespace(linalg=linalg)
    return module


def _eigvalsh(matrix: Any, eigvals: tuple[int, int]) -> ndarray:
    """Eigenvalues from one place to another, as SciPy took the places before 1.14."""
    return scipy.linalg.eigvalsh(np.asarray(matrix), subset_by_index=eigvals)


@contextlib.contextmanager
def _what_jax_removed() -> Iterator[None]:
    """Lend JAX the names and modules that neural-tangents reads; take back each one that was not there before."""
    import jax
    import jax.core
    import jax.extend.core
    import jax.interpreters.ad

    moved = ("Jaxpr", "JaxprEqn", "Literal", "Var", "Primitive")
    lent_names = [
        *((jax.core, name, getattr(jax.extend.core, name)) for name in moved),
        (jax.interpreters.ad, "zeros_like_p", jax.extend.core.Primitive("zeros_like")),
    ]
    util = types.ModuleType("jax.util")
    util.__dict__.update(safe_map=_safe_map, safe_zip=_safe_zip)
    lent_modules = {
        "jax.util": util,
        "neural_tangents.experimental": types.ModuleType("neural_tangents.experimental"),
    }
    undo = contextlib.ExitStack()
    with undo:
        for owner, name, value in lent_names:
            if not hasattr(owner, name):
                setattr(owner, name, value)
                undo.callback(delattr, owner, name)
        for name, module in lent_modules.items():
            if name not in sys.modules:
                sys.modules[name] = module
                undo.callback(sys.modules.pop, name, None)
        if not hasattr(jax, "util"):
            jax.util = util  # type: ignore[attr-defined]
            undo.callback(delattr, jax, "util")
        yield


def _safe_map(function: Any, *sequences: Any) -> list[Any]:
    return [function(*items) for items in _safe_zip(*sequences)]


def _safe_zip(*sequences: Any) -> list[tuple[Any, ...]]:
    return list(zip(*sequences, strict=True))
