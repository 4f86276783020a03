"""The lazy scale κ: training κ(g(W) − g(W(0))) is training g on other targets, so that all that serves g serves it."""

import dataclasses
from typing import Any

import numpy as np

from ntk_localsgd.arrays import real_array
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.errors import InputError, rounded_down
from ntk_localsgd.networks import Network
from ntk_localsgd.scalars import positive_number

__all__ = ["lazy_targets"]

# Squares of scales within this factor of 1 stay within float64's range, and so does what they multiply.
_LARGEST = 1e100

# Share of the targets that the rounding of outputs, κ times as large as that of g, may reach.
_ROUNDING = 0.01


def lazy_targets(net: Network, dataset: Dataset, *, scale: Any) -> Dataset:
    """The data on which g = ``net`` moves its weights as f = κ(g(W) − g(W(0))) does on ``dataset``.

    Targets are g(W(0)) + y/κ, so that r_f = κ r_g and L_f = κ² L_g; with J_f = κ J_g, a step η of f is a step κ²η of g
    and Θ_f = κ² Θ_g. Gram matrix, Local SGD, prediction and certificate of f are therefore those of g on these data: a
    step size given for f is multiplied by κ², one that comes from Θ_g stays; losses are multiplied by κ².

    Parameters
    ----------
    net
        g at its start W(0).
    dataset
        Inputs and the targets y of f.
    scale
        κ > 0: f starts at 0 with residual −y, and moves like 1/κ.

    Returns
    -------
    Dataset
        The same rows with other targets; exact up to the rounding of g's outputs.

    Raises
    ------
    InputError
        If κ is not positive and finite, net and data do not fit, or κ times the rounding of g(W(0)) is beyond 1% of the
        largest target: coupled neurons (`TwoLayerReLU.init`) start at 0 and bear every κ.

    References
    ----------
    Chizat, Oyallon and Bach, On lazy training in differentiable programming (2019); ``docs/theory.md`` §4, [D].

    >>> import jax
    >>> from ntk_localsgd import datasets, networks
    >>> data = datasets.sphere(jax.random.key(0), 4, 8)
    >>> net = networks.TwoLayerReLU.init(jax.random.key(1), width=64, input_dim=8)
    >>> residual = lazy_targets(net, data, scale=100.0).targets - np.asarray(net(data.inputs))
    >>> np.allclose(100 * residual, data.targets, atol=1e-4)
    True
    """
    scale, outputs = positive_number("scale", scale), net(dataset.inputs)
    if not 1 / _LARGEST <= scale <= _LARGEST:
        raise InputError(f"scale is {scale:g}, needs to lie between {1 / _LARGEST:g} and {_LARGEST:g}.")
    unit, start = float(np.finfo(outputs.dtype).eps), real_array("outputs", outputs, ndim=(1, 2))
    if start.shape != dataset.targets.shape:
        raise InputError(f"dataset has targets {dataset.targets.shape}, but the network's outputs are {start.shape}.")
    rounding, allowed = unit * float(np.abs(start).max()), _ROUNDING * float(np.abs(dataset.targets).max())
    if scale * rounding > allowed > 0:
        raise InputError(
            f"scale is {scale:g}, at which the outputs' rounding counts: needs to be at most "
            f"{rounded_down(allowed / rounding)} with this network, or coupled neurons, which start at 0."
        )
    return dataclasses.replace(dataset, targets=start + dataset.targets / scale)
