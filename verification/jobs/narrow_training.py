"""Narrow networks trained by projected gradient steps in a region about their start, and by SGD; many seeds at once."""

import dataclasses
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from ntk_localsgd.interpolation import Shallow
from ntk_localsgd.networks import Activation, Smooth
from ntk_localsgd.randomness import generator
from verification.data import Source
from verification.jobs.training import stream

__all__ = ["NarrowTraining"]


class _Weights(NamedTuple):
    """W [s m d] and v [s m] of all seeds."""

    inner: Float[ndarray, "s m d"]
    outer: Float[ndarray, "s m"]


@dataclasses.dataclass(frozen=True)
class NarrowTraining:
    """Sphere data, one a seed, and f(x) = Σ_r v_r tanh(w_r·x) on it; both layers are trained.

    Attributes
    ----------
    samples, inputs, width, seeds
        n, d, m, and one seed a data set and network.
    method
        ``projected``: SGD from a mirrored start, every step projected onto ‖W − W(0)‖_F ≤ radius·√m and v_r v_r(0) ≥
        v_r(0)²/2; ``sgd``: from LeCun's start, no region.
    epochs
        Passes through the data; steps of ½/λ_max(JJᵀ/n) at the start for the mean loss.
    radius
        Of the region.
    batch_size
        Samples of a step.
    """

    samples: int
    inputs: int
    width: int
    seeds: tuple[int, ...]
    method: Literal["projected", "sgd"]
    epochs: int
    radius: float = 1.0
    batch_size: int = 8

    def compute(self) -> xr.Dataset:
        """By seed: ``loss`` ½‖r‖²/n at the end and at the ``start``; of the projected also what follows.

        ``residual`` is n‖θ − P(θ − η∇L)‖/η, the norm of the sum loss's projected gradient, ``singular`` σ_min(J),
        ``active`` whether a constraint is.
        """
        x, y, start = self.start()
        steps = self._step_sizes(x, start)
        weights, numbers = start, generator(stream(self.seeds[0], "batches of narrow networks"))
        for _ in range(self.epochs):
            order = numbers.permutation(self.samples)
            for first in range(0, self.samples, self.batch_size):
                part = order[first : first + self.batch_size]
                weights = self.moved(x[:, part], y[:, part], weights, steps)
                if self.method == "projected":
                    weights = self.projected(weights, start)
        columns = {"loss": _losses(x, y, weights), "start": _losses(x, y, start)}
        if self.method == "projected":
            columns |= self._at_the_end(x, y, weights, start, steps)
        return xr.Dataset({name: ("seed", values) for name, values in columns.items()}, {"seed": list(self.seeds)})

    @property
    def _activation(self) -> Activation:
        return Smooth("tanh")

    def _networks(self, weights: _Weights) -> list[Shallow]:
        return [Shallow(inner, outer, self._activation) for inner, outer in zip(*weights, strict=True)]

    def start(self) -> tuple[Float[ndarray, "s n d"], Float[ndarray, "s n"], _Weights]:
        """Data and networks at their start."""
        data = [Source("sphere", self.samples, seed, input_dim=self.inputs).load().dataset for seed in self.seeds]
        nets = []
        for seed in self.seeds:
            numbers = generator(stream(seed, "narrow network"))
            net = Shallow.mirrored(numbers, width=self.width, input_dim=self.inputs, activation=self._activation)
            signs = np.sign(numbers.standard_normal(self.width)) if self.method == "sgd" else np.sign(net.readout)
            nets.append(dataclasses.replace(net, readout=np.abs(net.readout) * signs))
        weights = _Weights(np.stack([net.weights for net in nets]), np.stack([net.readout for net in nets]))
        return np.stack([one.inputs for one in data]), np.stack([one.targets for one in data]), weights

    def _step_sizes(self, x: Float[ndarray, "s n d"], start: _Weights) -> Float[ndarray, " s"]:
        norms = [np.linalg.norm(net.jacobian(one), 2) for net, one in zip(self._networks(start), x, strict=True)]
        return self.samples / (2 * np.square(norms))

    def moved(
        self, x: Float[ndarray, "s b d"], y: Float[ndarray, "s b"], weights: _Weights, steps: Float[ndarray, " s"]
    ) -> _Weights:
        """One step of the mean loss."""
        values, slopes = self._activation.on_host(x @ weights.inner.transpose(0, 2, 1))
        residual = np.einsum("sbm,sm->sb", values, weights.outer) - y
        scaled = steps[:, None] * residual / x.shape[1]
        inner = (slopes * scaled[:, :, None] * weights.outer[:, None]).transpose(0, 2, 1) @ x
        return _Weights(weights.inner - inner, weights.outer - np.einsum("sbm,sb->sm", values, scaled))

    def projected(self, weights: _Weights, start: _Weights) -> _Weights:
        """The nearest point of the region."""
        moved, limit = weights.inner - start.inner, self.radius * np.sqrt(self.width)
        lengths = np.linalg.norm(moved, axis=(1, 2), keepdims=True)
        inner = start.inner + moved * np.minimum(1, limit / np.maximum(lengths, np.finfo(float).tiny))
        sign = np.sign(start.outer)
        return _Weights(inner, sign * np.maximum(sign * weights.outer, np.abs(start.outer) / 2))

    def _at_the_end(
        self,
        x: Float[ndarray, "s n d"],
        y: Float[ndarray, "s n"],
        weights: _Weights,
        start: _Weights,
        steps: Float[ndarray, " s"],
    ) -> dict[str, ndarray]:
        ahead = self.projected(self.moved(x, y, weights, steps), start)
        change = [np.square(a - b).reshape(len(a), -1).sum(axis=1) for a, b in zip(ahead, weights, strict=True)]
        lengths = np.linalg.norm(weights.inner - start.inner, axis=(1, 2))
        edge = lengths >= self.radius * np.sqrt(self.width) * (1 - 1e-9)
        low = (np.abs(weights.outer) <= np.abs(start.outer) / 2 * (1 + 1e-9)).any(axis=1)
        singular = [
            np.linalg.svd(net.jacobian(one), compute_uv=False)[-1]
            for net, one in zip(self._networks(weights), x, strict=True)
        ]
        residual = self.samples * np.sqrt(change[0] + change[1]) / steps
        return {"residual": residual, "singular": np.array(singular), "active": edge | low}


def _losses(x: Float[ndarray, "s n d"], y: Float[ndarray, "s n"], weights: _Weights) -> Float[ndarray, " s"]:
    """½‖r‖²/n."""
    values = np.tanh(x @ weights.inner.transpose(0, 2, 1))
    losses: Float[ndarray, " s"] = np.square(np.einsum("snm,sm->sn", values, weights.outer) - y).mean(axis=1) / 2
    return losses
