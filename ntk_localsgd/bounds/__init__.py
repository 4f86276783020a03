"""The theorems' bounds as sympy expressions, one module per paper, one theorem per function.

A letter says how much is certain about a formula: S stated in an abstract, P published and confirmed, R published but
recalled (exponents or constants not confirmed), D derived here with proof (``docs/theory.md``). A new paper is a new
module of this folder, whose functions under `theorem` enter `BOUNDS`.
"""

import importlib
import pkgutil

from ntk_localsgd.bounds.bound import BOUNDS, SYMBOLS, Bound, MissingNumber, Symbol, symbols, theorem

__all__ = ["BOUNDS", "SYMBOLS", "Bound", "MissingNumber", "Symbol", "symbols", "theorem"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
