"""Widths that a certificate from initialization needs, a run gets by with, and C1 asks for."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import jax
import numpy as np
import xarray as xr

from ntk_localsgd import certificate, local_sgd, seeds
from ntk_localsgd.bounds import BOUNDS
from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import TwoLayerReLU
from verification.data import Source
from verification.jobs.certificates import largest_step

__all__ = ["CertifiedWidths", "smallest"]

# Step sizes are this share of the largest that the certificate allows.
_SHARE_OF_STEP = 0.9

# A run converges if its loss falls to this share of its start within these rounds.
_SHARE, _ROUNDS = 1e-6, 400

# What controls multiply the targets by.
_LARGE = 30


@dataclasses.dataclass(frozen=True)
class CertifiedWidths:
    """The smallest ⌈2^{k/2}⌉ at which networks are certified at their initialization, or Local GD converges.

    Attributes
    ----------
    data, num_clients, local_steps
        As in `Training`; clients are dealt iid.
    seed, number
        How many networks, and what decides them.
    delta
        At which C1 speaks.
    """

    data: Source
    num_clients: int
    local_steps: int
    seed: int
    number: int
    delta: float

    def compute(self) -> xr.Dataset:
        """Widths ``measured`` and ``certified`` [seed], and ``asked`` by C1.

        Whether every network is certified at the largest certified width, ``together`` [seed], since more neurons may
        do where fewer did not and the other way round; and ``spoiled`` [seed], the width with targets 30 times as
        large, infinite if up to 4 times that width none is certified.

        C1 is about gradient descent; with n ≤ 3 it does not speak, and its width is what it would ask for at n = 4.
        """
        problem, n = self.data.load(), self.data.num_samples
        key = seeds.key(self.seed, f"C8-widths {n}")
        keys = [jax.random.fold_in(key, k) for k in range(self.number)]
        measured = [smallest(partial(self._converges, each), 2) for each in keys]
        certified = [smallest(partial(self._certified, each), 2) for each in keys]
        widest = int(max(certified))
        together = [self._certified(each, widest) for each in keys]
        spoiled = [smallest(partial(self._certified, each, scale=_LARGE), widest, 4 * widest) for each in keys]
        C1 = BOUNDS["C1"]
        asked = C1.smallest_width(n=max(n, 4), lambda0=problem.lambda0.lower, C=1.0, delta=self.delta)
        columns = {"measured": measured, "certified": certified, "together": together, "spoiled": spoiled}
        variables = {name: ("seed", np.array(values, np.float64)) for name, values in columns.items()}
        return xr.Dataset(variables | {"asked": float(asked)})

    def _network(self, key: jax.Array, width: int) -> TwoLayerReLU:
        input_dim = self.data.load().dataset.input_dim
        return TwoLayerReLU.init(key, width=width, input_dim=input_dim, dtype=np.float64)

    def _config(self, net: TwoLayerReLU) -> local_sgd.LocalSGD | None:
        """Settings of a run; None where no neuron is active on any sample."""
        problem = self.data.load()
        step_size = _SHARE_OF_STEP * largest_step(net, problem.dataset, problem.split(self.num_clients, "iid"))
        return local_sgd.LocalSGD(step_size, self.local_steps, _ROUNDS) if math.isfinite(step_size) else None

    def _converges(self, key: jax.Array, width: int) -> bool:
        net, problem = self._network(key, width), self.data.load()
        config = self._config(net)
        if config is None:
            return False
        run = local_sgd.run(net, problem.dataset, problem.split(self.num_clients, "iid"), config)
        losses = run.trajectory.loss.values
        return bool(losses[-1] <= _SHARE * losses[0])

    def _certified(self, key: jax.Array, width: int, scale: float = 1) -> bool:
        net, problem = self._network(key, width), self.data.load()
        config = self._config(net)
        if config is None:
            return False
        data = dataclasses.replace(problem.dataset, targets=scale * problem.dataset.targets)
        split = problem.split(self.num_clients, "iid")
        try:
            return certificate.certify(net, data, split, config, method="path", estimate=False).certified
        except InputError:
            return False


def smallest(holds: Callable[[int], bool], start: int, limit: float = math.inf) -> float:
    """Smallest ⌈2^{k/2}⌉ ≥ ``start`` at which it holds: up by factors of 2, then one step of √2 back.

    Infinite if it holds at none of these up to ``limit``.
    """
    k = math.ceil(2 * math.log2(start))
    while not holds(_width(k)):
        k += 2
        if _width(k) > limit:
            return math.inf
    return _width(k - 1) if _width(k - 1) >= start and holds(_width(k - 1)) else _width(k)


def _width(power: int) -> int:
    return math.ceil(2 ** (power / 2))
