"""Ball arithmetic (Arb): what a smooth network's residual is at its stored weights, and what NumPy makes of σ there."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import flint
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.errors import InputError
from ntk_localsgd.interpolation.shallow import Shallow
from ntk_localsgd.networks import Smooth

__all__ = ["PRECISION", "Residual", "enclosed"]

#: Bits of the balls: what sums of 10⁶ terms lose leaves far more than float64 holds.
PRECISION = 128


class Residual(NamedTuple):
    """r = f − y at the stored weights, rounded; a bound on ‖r‖₂, and on how far σ and σ' by NumPy are off."""

    rounded: Float[ndarray, " n"]
    norm: float
    value_error: float
    slope_error: float


def enclosed(net: Shallow, x: Float[ndarray, "n d"], y: Float[ndarray, " n"]) -> Residual:
    """The residual at the stored weights of a network on stored data, and what NumPy's σ and σ' miss there.

    Raises
    ------
    InputError
        If the numbers are beyond what the balls hold.
    """
    values, slopes = net.activation.on_host(x @ net.weights.T)
    with flint.ctx.workprec(PRECISION):
        exact_values, exact_slopes = _activated(net, x)
        outputs = flint.arb_mat(exact_values) * flint.arb_mat([[float(v)] for v in net.readout])
        residual = [outputs[i, 0] - float(target) for i, target in enumerate(y)]
        errors = [_farthest(exact_values, values), _farthest(exact_slopes, slopes)]
        # Squares of a ball around 0 reach below 0, where √ is not a number: those of the largest modulus do not.
        norm = _above(sum((flint.arb(r.abs_upper()) ** 2 for r in residual), flint.arb(0)).sqrt())
        middle = np.array([float(r.mid()) for r in residual])
    if not np.isfinite([norm, *errors]).all():
        reached = np.abs(x @ net.weights.T).max()
        raise InputError(
            f"inputs of neurons reach {reached:.3g} (weights and readout {np.abs(net.parameters).max():.3g}, rows "
            f"{np.abs(x).max():.3g}, targets {np.abs(y).max():.3g}), beyond what float64 and balls hold: "
            "scale rows to norm 1 and divide targets by their largest, or take other weights."
        )
    return Residual(middle, norm, errors[0], errors[1])


def _activated(net: Shallow, x: Float[ndarray, "n d"]) -> tuple[list[list[flint.arb]], list[list[flint.arb]]]:
    """σ(w_r·x_i) and σ'(w_r·x_i), [n m] each."""
    assert isinstance(net.activation, Smooth)
    formula = _FORMULAS[net.activation.name]
    inner = flint.arb_mat(x.tolist()) * flint.arb_mat(net.weights.T.tolist())
    pairs = [[formula(z) for z in row] for row in inner.table()]
    return [[pair[0] for pair in row] for row in pairs], [[pair[1] for pair in row] for row in pairs]


def _farthest(exact: list[list[flint.arb]], rounded: Float[ndarray, "n m"]) -> float:
    """max |exact − rounded|, bounded from above."""
    pairs = zip(itertools.chain.from_iterable(exact), rounded.ravel().tolist(), strict=True)
    return max(_above(ball - number) for ball, number in pairs)


def _above(ball: flint.arb) -> float:
    """A float64 no smaller than any modulus in the ball."""
    return float(np.nextafter(float(ball.abs_upper()), np.inf))


def _tanh(z: flint.arb) -> tuple[flint.arb, flint.arb]:
    value = z.tanh()
    return value, 1 - value * value


def _softplus(z: flint.arb) -> tuple[flint.arb, flint.arb]:
    return z.exp().log1p(), 1 / (1 + (-z).exp())


def _gelu(z: flint.arb) -> tuple[flint.arb, flint.arb]:
    below = (-z / flint.arb(2).sqrt()).erfc() / 2
    return z * below, below + z * (-z * z / 2).exp() / (2 * flint.arb.pi()).sqrt()


_FORMULAS: dict[str, Callable[[flint.arb], tuple[flint.arb, flint.arb]]] = {
    "tanh": _tanh,
    "softplus": _softplus,
    "gelu": _gelu,
}
