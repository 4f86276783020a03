"""Widths that a certificate from initialization needs, a run gets by with, and C1 asks for."""

import dataclasses
import math
from collections.abc import Callable, Sequence
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

__all__ = ["LARGE", "CertifiedWidths", "Widths", "smallest"]

# Step sizes are this share of the largest that the certificate allows.
_SHARE_OF_STEP = 0.9

# A run converges if its loss falls to this share of its start within these rounds.
_SHARE, _ROUNDS = 1e-6, 400

#: What controls multiply the targets by.
LARGE = 30


@dataclasses.dataclass(frozen=True)
class Widths:
    """Networks at their initialization, of widths ⌈2^{k/2}⌉.

    Attributes
    ----------
    data, num_clients, local_steps
        As in `Training`; clients are dealt iid, all take part.
    seed, number
        How many networks, and what decides them.
    delta
        At which C1 speaks.
    coupled
        Neurons in pairs that cancel, so that f = 0 at the start; odd widths have a neuron more.
    """

    data: Source
    num_clients: int
    local_steps: int
    seed: int
    number: int
    delta: float
    coupled: bool = False

    def keys(self, purpose: str) -> list[jax.Array]:
        """One a network."""
        key = seeds.key(self.seed, f"{purpose} {self.data.num_samples}")
        return [jax.random.fold_in(key, k) for k in range(self.number)]

    def table(self, **columns: Sequence[float]) -> xr.Dataset:
        """Columns by seed, and ``asked``, C1's width.

        C1 is about gradient descent; with n ≤ 3 it does not speak, and its width is what it would ask for at n = 4.
        """
        n, lambda0 = max(self.data.num_samples, 4), self.data.load().lambda0.lower
        asked = BOUNDS["C1"].smallest_width(n=n, lambda0=lambda0, C=1.0, delta=self.delta)
        held = {name: np.array(values) for name, values in columns.items()}
        step = 2 if self.coupled else 1
        even = {
            name: values if values.dtype == bool else step * np.ceil(values / step) for name, values in held.items()
        }
        variables = {name: ("seed", values.astype(np.float64)) for name, values in even.items()}
        return xr.Dataset(variables | {"asked": float(asked)})

    def network(self, key: jax.Array, width: int) -> TwoLayerReLU:
        """In float64."""
        input_dim = self.data.load().dataset.input_dim
        width += width % 2 if self.coupled else 0
        return TwoLayerReLU.init(key, width=width, input_dim=input_dim, dtype=np.float64, coupled=self.coupled)

    def config(self, net: TwoLayerReLU, batch_size: int | None = None) -> local_sgd.LocalSGD | None:
        """Settings of a run; None where no neuron is active on any sample."""
        problem = self.data.load()
        step_size = _SHARE_OF_STEP * largest_step(net, problem.dataset, problem.split(self.num_clients, "iid"))
        if not math.isfinite(step_size):
            return None
        return local_sgd.LocalSGD(step_size, self.local_steps, _ROUNDS, batch_size)

    def certified(
        self, key: jax.Array, width: int, method: certificate.Method, batch_size: int | None = None, scale: float = 1
    ) -> bool:
        """Whether a network is certified with targets ``scale`` times as large."""
        net, problem = self.network(key, width), self.data.load()
        config = self.config(net, batch_size)
        if config is None:
            return False
        data = dataclasses.replace(problem.dataset, targets=scale * problem.dataset.targets)
        split = problem.split(self.num_clients, "iid")
        try:
            return certificate.certify(net, data, split, config, method=method, estimate=False).certified
        except InputError:
            return False


@dataclasses.dataclass(frozen=True)
class CertifiedWidths(Widths):
    """The smallest width at which networks are certified at their initialization, or Local GD converges."""

    def compute(self) -> xr.Dataset:
        """Widths ``measured`` and ``certified`` [seed], and ``asked`` by C1.

        Whether every network is certified at the largest certified width, ``together`` [seed], since more neurons may
        do where fewer did not and the other way round; and ``spoiled`` [seed], the width with targets 30 times as
        large, infinite if up to 4 times that width none is certified.
        """
        keys = self.keys("C8-widths")
        measured = [smallest(partial(self._converges, each), 2) for each in keys]
        certified = [smallest(partial(self._certified, each), 2) for each in keys]
        widest = int(max(certified))
        together = [self._certified(each, widest) for each in keys]
        spoiled = [smallest(partial(self._certified, each, scale=LARGE), widest, 4 * widest) for each in keys]
        return self.table(measured=measured, certified=certified, together=together, spoiled=spoiled)

    def _converges(self, key: jax.Array, width: int) -> bool:
        net, problem = self.network(key, width), self.data.load()
        config = self.config(net)
        if config is None:
            return False
        run = local_sgd.run(net, problem.dataset, problem.split(self.num_clients, "iid"), config)
        losses = run.trajectory.loss.values
        return bool(losses[-1] <= _SHARE * losses[0])

    def _certified(self, key: jax.Array, width: int, scale: float = 1) -> bool:
        return self.certified(key, width, "path", scale=scale)


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
