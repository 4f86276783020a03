"""Two-layer networks at initialization: their Gram matrices and outputs, one network a trial."""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int
from numpy import ndarray

from ntk_localsgd import kernels, seeds
from ntk_localsgd.networks import TwoLayerReLU
from verification.data import Problem, Source

__all__ = ["EntryGaps", "InitialNetworks", "Outputs", "SmallestEigenvalues", "gram_at", "smallest_lower"]


@dataclasses.dataclass(frozen=True)
class InitialNetworks:
    """Independent networks at their initialization, in float32: patterns are what is used, and counted exactly.

    Attributes
    ----------
    data, width, trials
        The data, m, and the number of networks.
    seed, purpose
        What decides them, together with the width, as in `ntk_localsgd.seeds`.
    """

    data: Source
    width: int
    trials: int
    seed: int
    purpose: str

    @property
    def key(self) -> Array:
        """From which every trial's key is folded."""
        return seeds.key(self.seed, f"{self.purpose} {self.width}")

    def network(self, key: Array) -> TwoLayerReLU:
        """One network."""
        input_dim = self.data.load().dataset.input_dim
        return TwoLayerReLU.init(key, width=self.width, input_dim=input_dim, dtype=np.float32)

    def __iter__(self) -> Iterator[TwoLayerReLU]:
        return (self.network(jax.random.fold_in(self.key, trial)) for trial in range(self.trials))


@dataclasses.dataclass(frozen=True)
class EntryGaps(InitialNetworks):
    """max_ij |H_ij(0) − H^∞_ij| of every trial.

    Attributes
    ----------
    copies
        How often every neuron occurs. Such a network has the Gram matrix of one copy, which is what is drawn.
    """

    copies: int = 1

    def compute(self) -> xr.Dataset:
        """``gap`` [trial]."""
        problem = self.data.load()
        inner, limit = jnp.asarray(problem.inner), jnp.asarray(problem.gram)
        drawn = dataclasses.replace(self, width=self.width // self.copies)
        counts = (kernels.pattern_counts(net, problem.inputs) for net in drawn)
        return xr.Dataset({"gap": ("trial", [float(_gap(each, inner, limit, drawn.width)) for each in counts])})


@jax.jit
def _gap(
    counts: Int[Array, "n n"], inner: Float[Array, "n n"], limit: Float[Array, "n n"], width: int
) -> Float[Array, ""]:
    """In float64, on the device that holds the counts: there may be many millions of them."""
    return jnp.max(jnp.abs(inner * counts.astype(inner.dtype) / width - limit))


@dataclasses.dataclass(frozen=True)
class SmallestEigenvalues(InitialNetworks):
    """λ_min(H(0)) of every trial."""

    def compute(self) -> xr.Dataset:
        """``smallest`` [trial], certified lower bounds."""
        problem = self.data.load()
        return xr.Dataset({"smallest": ("trial", [smallest_lower(gram_at(net, problem), problem) for net in self])})


@dataclasses.dataclass(frozen=True)
class Outputs(InitialNetworks):
    """f(0) of every trial; initial weights are multiplied by ``scale``."""

    scale: float = 1.0

    def compute(self) -> xr.Dataset:
        """``output`` [trial sample]."""
        inputs = jnp.asarray(self.data.load().inputs)
        keys = jax.vmap(lambda trial: jax.random.fold_in(self.key, trial))(jnp.arange(self.trials))
        outputs = jax.jit(lambda keys: jax.lax.map(lambda key: self.network(key)(inputs), keys))(keys)
        # f is homogeneous in the weights.
        return xr.Dataset({"output": (("trial", "sample"), self.scale * np.asarray(outputs, np.float64))})


def gram_at(net: TwoLayerReLU, problem: Problem) -> Float[ndarray, "n n"]:
    """H(W) in float64 from exact counts, G ∘ counts / m: entries round no worse than those of H^∞."""
    return problem.inner * np.asarray(kernels.pattern_counts(net, problem.inputs), np.float64) / net.width


def smallest_lower(gram: Float[ndarray, "n n"], problem: Problem, *, error: float = 0.0) -> float:
    """Certified lower bound of λ_min of a Gram matrix computed from the problem's inner products."""
    rounding = kernels.infinite_gram_error(*problem.inputs.shape)
    return kernels.smallest_eigenvalue((gram + gram.T) / 2, error=rounding + error).lower
