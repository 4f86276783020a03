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
    """Networks of one shape, one a seed, in float32."""

    data: Source
    width: int
    depth: int
    seeds: tuple[int, ...]

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
        return DeepReLU.init(jax.random.key(seed), input_dim=problem.dataset.input_dim, dtype=np.float32, **shape)


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
