"""Deep networks at their initialization: norms of layers, extreme eigenvalues of Θ, and its distance from the limit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from ntk_localsgd import kernels
from ntk_localsgd.networks import DeepReLU
from verification.data import Source

__all__ = ["DeepStart", "joined_outputs"]

#: With which multiples of Θ^∞ the kernel is compared: the limit, and a control.
_MULTIPLES = (1, 2)


@dataclasses.dataclass(frozen=True)
class DeepStart:
    """Networks of one shape, one a seed, in float32.

    Attributes
    ----------
    data, width, depth, seeds
        The inputs, m, L, and one seed a network.
    hidden_gain, readout_gain
        Multiply A and all W_l, and V, as they are drawn: entries N(0, 2 hidden_gain²/m) and N(0, readout_gain²/o).
    """

    data: Source
    width: int
    depth: int
    seeds: tuple[int, ...]
    hidden_gain: float = 1.0
    readout_gain: float = 1.0

    def compute(self) -> xr.Dataset:
        """By seed: least and largest ‖h_{i,l}‖ [layer], λ_min(Θ), λ_max(Θ), ‖Θ/m − kΘ^∞‖₂ [multiple k]."""
        problem = self.data.load()
        inputs = jnp.asarray(problem.inputs)
        rows = [_at_start(self._network(seed), inputs) for seed in self.seeds]
        least, largest, grams = (np.stack(column) for column in zip(*rows, strict=True))
        matrices = joined_outputs(grams.astype(np.float64))
        limit = kernels.infinite_deep_gram(problem.inputs, self.depth)
        limit = np.kron(limit, np.eye(problem.num_outputs)) / problem.num_outputs
        values = np.linalg.eigvalsh(matrices)
        errors = [np.abs(np.linalg.eigvalsh(matrices / self.width - k * limit)).max(axis=1) for k in _MULTIPLES]
        return xr.Dataset(
            {
                "least_norm": (("seed", "layer"), least),
                "largest_norm": (("seed", "layer"), largest),
                "smallest": ("seed", values[:, 0]),
                "largest": ("seed", values[:, -1]),
                "error": (("multiple", "seed"), np.stack(errors)),
            },
            {"seed": list(self.seeds), "layer": np.arange(self.depth + 1), "multiple": list(_MULTIPLES)},
        )

    def _network(self, seed: int) -> DeepReLU:
        problem = self.data.load()
        shape = {"width": self.width, "depth": self.depth, "output_dim": problem.num_outputs}
        net = DeepReLU.init(jax.random.key(seed), input_dim=problem.dataset.input_dim, dtype=np.float32, **shape)
        inner, readout = (np.float32(gain) for gain in (self.hidden_gain, self.readout_gain))
        hidden = [inner * weights for weights in net.hidden_weights]
        return DeepReLU.from_arrays(inner * np.asarray(net.input_weights), hidden, readout * net.output_weights)


@jax.jit
def _at_start(
    net: DeepReLU, inputs: Array
) -> tuple[Float[Array, " L+1"], Float[Array, " L+1"], Float[Array, "n n ..."]]:
    """Least and largest norm of every layer, and Θ."""
    norms = jnp.linalg.norm(jnp.stack(net.layers(inputs)[0]).astype(np.float64), axis=2)
    return norms.min(axis=1), norms.max(axis=1), kernels.empirical_gram(net, inputs)


def joined_outputs(grams: Float[np.ndarray, "S n n ..."]) -> Float[np.ndarray, "S n*o n*o"]:
    """Gram matrices [S n n] or [S n n o o] as square matrices, a row for every sample and output."""
    if grams.ndim == 3:
        return grams
    number, n, _, outputs, _ = grams.shape
    return grams.transpose(0, 1, 3, 2, 4).reshape(number, n * outputs, n * outputs)
