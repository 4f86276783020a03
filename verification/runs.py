"""Runs of Local SGD that claims declare: one specification, computed once, read by all who want it."""

import dataclasses
import math

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from ntk_localsgd import kernels, local_sgd
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.networks import DeepReLU, Network, TwoLayerReLU

__all__ = ["RunSpec", "gram_of", "largest_step", "residual_of"]


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """A run for several seeds, in plain values that name its file.

    ``depth`` 0 is the two-layer network, otherwise it is the number of trained layers of a deep one. ``target_scale``
    multiplies the targets: controls let it grow with √m, which takes training out of the kernel regime. ``split`` is
    ``"label"`` (every client sees few classes) or ``"iid"``; ``batch_size`` 0 is the full batch.
    """

    kind: str
    num_samples: int
    data_seed: int
    num_clients: int
    width: int
    step_size: float
    local_steps: int
    num_rounds: int
    seeds: tuple[int, ...]
    observe: tuple[str, ...] = ()
    gram_every: int = 1
    dtype: str = "float32"
    target_scale: float = 1.0
    depth: int = 0
    split: str = "label"
    batch_size: int = 0
    server_step_size: float = 1.0

    def network(self, seed: int, dataset: Dataset) -> TwoLayerReLU | DeepReLU:
        """The network at its initialization from a seed."""
        key, dtype = jax.random.key(seed), np.dtype(self.dtype)
        if not self.depth:
            return TwoLayerReLU.init(key, width=self.width, input_dim=dataset.input_dim, dtype=dtype)
        outputs = dataset.targets.shape[1] if dataset.targets.ndim == 2 else 1
        return DeepReLU.init(key, width=self.width, depth=self.depth, input_dim=dataset.input_dim,
                             output_dim=outputs, dtype=dtype)  # fmt: skip

    @property
    def config(self) -> local_sgd.LocalSGD:
        """Settings of the run."""
        return local_sgd.LocalSGD(self.step_size, self.local_steps, self.num_rounds, self.batch_size or None,
                                  self.server_step_size)  # fmt: skip

    def scaled(self, dataset: Dataset) -> Dataset:
        """The data that the run is trained on: targets times ``target_scale``."""
        return dataclasses.replace(dataset, targets=dataset.targets * self.target_scale)

    def batch_key(self, seed: int) -> Array | None:
        """What decides the batches of a seed's run; None where there are none."""
        return jax.random.fold_in(jax.random.key(seed), 1) if self.batch_size else None

    def compute(self, dataset: Dataset, split: Clients) -> xr.Dataset:
        """What is stored under this specification: all seeds along a dimension ``seed``.

        A diverged run's missing rounds are infinite, and ``diverged_at`` [seed] says where that begins (−1: never).
        Other kinds of runs are subclasses that override this.
        """
        scaled, runs = self.scaled(dataset), []
        for seed in self.seeds:
            run = local_sgd.run(self.network(seed, dataset), scaled, split, self.config, key=self.batch_key(seed),
                                observe=self.observe, gram_every=self.gram_every)  # fmt: skip
            grams = np.arange(0, self.num_rounds + 1, self.gram_every)
            whole = {"round": np.arange(self.num_rounds + 1)} | (
                {"gram_round": grams} if "gram_round" in run.trajectory else {}
            )
            filled = run.trajectory.reindex(whole, fill_value=np.inf)
            runs.append(filled.assign(diverged_at=-1 if run.diverged_at is None else run.diverged_at))
        return xr.concat(runs, dim=xr.Variable("seed", np.array(self.seeds)), combine_attrs="override")


def gram_of(net: Network, dataset: Dataset) -> Float[np.ndarray, "n n"]:
    """Θ(W) of a network with one output, in float64."""
    return np.asarray(kernels.empirical_gram(net, dataset.inputs), np.float64)


def largest_step(net: Network, dataset: Dataset, split: Clients) -> float:
    """1/max_c λ_max(Θ_cc); infinite where no neuron is active on any sample."""
    gram = gram_of(net, dataset)
    largest = max(float(np.linalg.eigvalsh(gram[np.ix_(part, part)])[-1]) for part in split.indices)
    return 1 / largest if largest > 0 else math.inf


def residual_of(net: Network, dataset: Dataset) -> Float[np.ndarray, " n"]:
    """f(W, x_i) − y_i, in float64."""
    return np.asarray(net(dataset.inputs), np.float64) - dataset.targets
