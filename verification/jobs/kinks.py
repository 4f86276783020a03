"""Gradients on either side of a kink."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import xarray as xr

from ntk_localsgd import seeds
from ntk_localsgd.local_sgd.gradients import difference, gradient, norm, residual, sample_flips
from ntk_localsgd.networks import TwoLayerReLU
from verification.data import Source

__all__ = ["AcrossKink"]


@dataclasses.dataclass(frozen=True)
class AcrossKink:
    """Pairs of weights, a gap apart, one neuron on either side of the kink of the first sample; K = 1.

    The neuron is put on the kink and moved by ± gap/2 along the sample. ``zero_residual``: the first sample's target is
    set to its output.
    """

    data: Source
    width: int
    gaps: tuple[float, ...]
    seed: int
    purpose: str
    zero_residual: bool = False

    def compute(self) -> xr.Dataset:
        """What S1a compares, by gap, and ``crossed`` [gap], the residual of the sample that is crossed."""
        inputs, key = self.data.load().inputs, seeds.key(self.seed, self.purpose)
        net = TwoLayerReLU.init(key, width=self.width, input_dim=inputs.shape[1], dtype=np.float64)
        rows = [self._pair(net, gap) for gap in self.gaps]
        names = ("gradient_difference", "distance", "flips", "residual", "crossed")
        columns = np.array(rows, np.float64).T
        return xr.Dataset(
            {name: ("gap", column) for name, column in zip(names, columns, strict=True)}, {"gap": list(self.gaps)}
        )

    def _pair(self, net: TwoLayerReLU, gap: float) -> tuple[float, ...]:
        problem = self.data.load()
        x, w = problem.inputs, np.array(net.weights)
        on_kink = w[0] - (w[0] @ x[0]) * x[0]
        below, above = (self._with_first(net, on_kink + side * x[0]) for side in (-gap / 2, gap / 2))
        y = np.array(problem.dataset.targets)
        if self.zero_residual:
            y[0] = float(above(x)[0])
        samples = (jnp.asarray(x), jnp.asarray(y), jnp.ones(len(y), bool))
        moved = norm(difference(gradient(below, *samples), gradient(above, *samples)))
        flips = jnp.max(sample_flips(below.activation_patterns(x), above.activation_patterns(x))) / self.width
        left = residual(above, *samples)
        apart = norm(difference(below.trained, above.trained))
        return tuple(float(v) for v in (moved, apart, flips, jnp.linalg.norm(left), left[0]))

    def _with_first(self, net: TwoLayerReLU, row: np.ndarray) -> TwoLayerReLU:
        weights = np.array(net.weights)
        weights[0] = row
        return net.with_trained((jnp.asarray(weights),))
