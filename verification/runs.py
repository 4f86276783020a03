"""Runs of Local SGD that claims declare: one specification, computed once, read by all who want it."""

import dataclasses

import jax
import numpy as np
import xarray as xr

from ntk_localsgd import local_sgd
from ntk_localsgd.clients import Clients
from ntk_localsgd.datasets import Dataset
from ntk_localsgd.networks import TwoLayerReLU

__all__ = ["RunSpec", "compute"]


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """A run of a two-layer network for several seeds, in plain values that name its file.

    ``target_scale`` multiplies the targets: controls let it grow with √m, which takes training out of the kernel
    regime.
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

    def compute(self, dataset: Dataset, split: Clients) -> xr.Dataset:
        """What is stored under this specification; other kinds of runs are subclasses that override this."""
        return compute(self, dataset, split)


def compute(spec: RunSpec, dataset: Dataset, split: Clients) -> xr.Dataset:
    """All seeds of a specification along a dimension ``seed``.

    A diverged run's missing rounds are infinite, and ``diverged_at`` [seed] says where that begins (−1: never).
    """
    scaled = dataclasses.replace(dataset, targets=dataset.targets * spec.target_scale)
    config = local_sgd.LocalSGD(spec.step_size, spec.local_steps, spec.num_rounds)
    runs = []
    for seed in spec.seeds:
        key = jax.random.key(seed)
        net = TwoLayerReLU.init(key, width=spec.width, input_dim=dataset.input_dim, dtype=np.dtype(spec.dtype))
        run = local_sgd.run(net, scaled, split, config, observe=spec.observe, gram_every=spec.gram_every)
        grams = np.arange(0, spec.num_rounds + 1, spec.gram_every)
        whole = {"round": np.arange(spec.num_rounds + 1)} | (
            {"gram_round": grams} if "gram_round" in run.trajectory else {}
        )
        filled = run.trajectory.reindex(whole, fill_value=np.inf)
        runs.append(filled.assign(diverged_at=-1 if run.diverged_at is None else run.diverged_at))
    return xr.concat(runs, dim=xr.Variable("seed", np.array(spec.seeds)), combine_attrs="override")
