"""All mutations, by the part of the project that they break: every module of this folder is read."""

import importlib
import pkgutil

__all__ = ["MUTATIONS"]

_MODULES = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]

MUTATIONS = tuple(mutation for module in _MODULES for mutation in module.MUTATIONS)
