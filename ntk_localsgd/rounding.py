"""What every proof about floating-point arithmetic starts from: unit roundoff, γ_k, and the slack of a sum."""

from typing import Any

import jax.numpy as jnp
import numpy as np

__all__ = ["SLACK", "TINY", "UNIT", "gamma", "unit"]

#: Unit roundoff u of float64: a rounded result is off by at most u of itself, where it does not underflow.
UNIT = 2.0**-53

#: Smallest normal float64, 2⁻¹⁰²²: above it, and only there, errors are relative; a product below it is off by less.
TINY = float(np.finfo(np.float64).tiny)

#: Relative slack of every bound that is a sum of nonnegative numbers: fewer than 2^22 roundings one after the other
#: change such a sum by less than γ_{2^22} < 5·10^-10 of itself, in any order.
SLACK = 1 + 1e-9


def gamma(roundings: float) -> float:
    """γ_k = k·u/(1 − k·u), Higham's bound on the relative error of k roundings in float64.

    >>> gamma(4) / 2.0**-53
    4.000000000000002
    """
    return roundings * UNIT / (1 - roundings * UNIT)


def unit(dtype: Any) -> float:
    """Unit roundoff of a floating dtype, JAX's bfloat16 included.

    >>> unit("float32") == 2.0**-24
    True
    """
    return float(jnp.finfo(dtype).eps) / 2
