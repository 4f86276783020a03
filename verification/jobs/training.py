"""Runs of Local SGD from several seeds, all else alike."""

import dataclasses
import zlib
from collections.abc import Iterable, Iterator, Sequence

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from numpy import ndarray

from ntk_localsgd import kernels, local_sgd
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.networks import DeepReLU, Network, TwoLayerReLU
from verification.data import Problem, Source, Split

__all__ = ["Training", "gram_of", "residual_of", "stacked", "stream"]

# Networks that are trained in one program are held together; so many bytes of weights at most.
_TOGETHER = 2**28


@dataclasses.dataclass(frozen=True)
class Training:
    """Local SGD for several seeds.

    Attributes
    ----------
    data, num_clients, split
        The data, K, and how clients share them: ``"label"`` (each sees few classes) or ``"iid"``.
    width, depth
        m, and the number of trained layers of a deep network; None: the two-layer network.
    step_size, local_steps, num_rounds, batch_size, server_step_size
        As in `local_sgd.LocalSGD`.
    seeds
        One a network; each also decides the network's batches.
    observe, gram_every
        As in `local_sgd.run`.
    dtype
        Of the weights.
    target_scale
        Multiplies the targets: controls let it grow with √m, which takes training out of the kernel regime.
    """

    data: Source
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
    depth: int | None = None
    split: Split = "label"
    batch_size: int | None = None
    server_step_size: float = 1.0

    @property
    def problem(self) -> Problem:
        """The data with what follows from it."""
        return self.data.load()

    @property
    def dataset(self) -> Dataset:
        """What is trained on: targets times ``target_scale``."""
        dataset = self.problem.dataset
        return dataclasses.replace(dataset, targets=dataset.targets * self.target_scale)

    @property
    def clients(self) -> Clients:
        """Who holds which samples."""
        return self.problem.split(self.num_clients, self.split)

    @property
    def config(self) -> local_sgd.LocalSGD:
        """Settings of the runs."""
        return local_sgd.LocalSGD(
            self.step_size, self.local_steps, self.num_rounds, self.batch_size, self.server_step_size
        )

    def network(self, seed: int) -> TwoLayerReLU | DeepReLU:
        """The network at its initialization from a seed."""
        key, dtype, input_dim = jax.random.key(seed), np.dtype(self.dtype), self.problem.dataset.input_dim
        if self.depth is None:
            return TwoLayerReLU.init(key, width=self.width, input_dim=input_dim, dtype=dtype)
        shape = {"width": self.width, "depth": self.depth, "output_dim": self.problem.num_outputs}
        return DeepReLU.init(key, input_dim=input_dim, dtype=dtype, **shape)

    def batch_key(self, seed: int) -> Array | None:
        """What decides the batches of a seed's run; None where there are none."""
        return None if self.batch_size is None else stream(seed, "batches")

    def runs(self, seeds: Sequence[int] | None = None) -> Iterator[local_sgd.Run]:
        """Every seed's run, in order; as many of them in one program as memory allows."""
        seeds = self.seeds if seeds is None else seeds
        dataset, split, config = self.dataset, self.clients, self.config  # before tracing, which cannot draw data
        shapes = jax.tree.leaves(jax.eval_shape(lambda: self.network(0)))
        together = max(1, _TOGETHER // sum(leaf.size * leaf.dtype.itemsize for leaf in shapes))
        for first in range(0, len(seeds), together):
            group = seeds[first : first + together]
            yield from local_sgd.run_seeds(
                [self.network(seed) for seed in group],
                dataset,
                split,
                config,
                keys=[key for seed in group if (key := self.batch_key(seed)) is not None] or None,
                observe=self.observe,
                gram_every=self.gram_every,
            )

    def compute(self) -> xr.Dataset:
        """All seeds' trajectories along a dimension ``seed``; see `stacked`."""
        return stacked(self.runs(), self)


def stacked(runs: Iterable[local_sgd.Run], job: Training) -> xr.Dataset:
    """Trajectories along a dimension ``seed``.

    A diverged run's missing rounds are infinite, and ``diverged_at`` [seed] says where that begins (−1: never).
    """
    whole = {"round": np.arange(job.num_rounds + 1)}
    grams = {"gram_round": np.arange(0, job.num_rounds + 1, job.gram_every)}
    pieces = []
    for run in runs:
        labels = whole | (grams if "gram_round" in run.trajectory else {})
        filled = run.trajectory.reindex(labels, fill_value=np.inf)
        pieces.append(filled.assign(diverged_at=-1 if run.diverged_at is None else run.diverged_at))
    return xr.concat(pieces, dim=xr.Variable("seed", np.array(job.seeds)), combine_attrs="override")


def stream(seed: int, purpose: str) -> Array:
    """A key for what is drawn beside a network from the network's own seed: none that the network itself is drawn from.

    A network folds small numbers into its key, of blocks and layers; a purpose's checksum is none of them.
    """
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))


def gram_of(net: Network, dataset: Dataset) -> Float[ndarray, "n n"]:
    """Θ(W) of a network with one output, in float64."""
    return np.asarray(kernels.empirical_gram(net, dataset.inputs), np.float64)


def residual_of(net: Network, dataset: Dataset) -> Float[ndarray, " n"]:
    """f(W, x_i) − y_i, in float64."""
    return np.asarray(net(dataset.inputs), np.float64) - dataset.targets
