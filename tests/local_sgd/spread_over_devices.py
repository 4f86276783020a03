"""Gram matrices and runs on all devices: ``python -m tests.local_sgd.spread_over_devices OUT`` writes them."""

import sys

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ntk_localsgd import clients, datasets, kernels, local_sgd, networks
from ntk_localsgd.local_sgd import LocalSGD

CONFIG = LocalSGD(0.05, 2, 3)
OBSERVED, NORMS = ("flip_fraction", "client_drift", "smallest_eigenvalue"), ("gradient_norm", "client_gradient_norm")


def numbers():
    """By name, what must not depend on the number of devices; with more than one, rows of Gram matrices stay spread."""
    key = jax.random.key(0)
    data = datasets.sphere(key, 32, 8)
    split = clients.iid(key, data, 8)
    deep = networks.DeepReLU.init(key, width=16, depth=2, input_dim=8, dtype=np.float64)
    make = {"width": 64, "input_dim": 8, "dtype": np.float64}
    shallow = [networks.TwoLayerReLU.init(jax.random.key(s), **make) for s in range(8)]
    mesh = Mesh(np.array(jax.devices()), ("rows",)) if len(jax.devices()) > 1 else None
    rows = data.inputs if mesh is None else jax.device_put(data.inputs, NamedSharding(mesh, PartitionSpec("rows")))
    grams = [kernels.empirical_gram(net, rows) for net in (deep, shallow[0])]
    if mesh is not None:
        assert all(len({str(shard.index) for shard in gram.addressable_shards}) == 8 for gram in grams)
    run = local_sgd.run(deep, data, split, CONFIG, observe=("client_drift",), mesh=mesh).trajectory
    many = local_sgd.run_seeds(shallow, data, split, CONFIG, observe=OBSERVED, mesh=mesh)
    wild = [*shallow[:7], networks.TwoLayerReLU.from_arrays(shallow[7].weights, np.ones(64))]
    wild = local_sgd.run_seeds(wild, data, split, LocalSGD(7.0, 3, 6), mesh=mesh)
    assert [run.diverged_at for run in wild[:7]] == [None] * 7
    assert wild[7].diverged_at > 1
    (single,) = local_sgd.run_seeds([deep], data, split, CONFIG, mesh=mesh)  # one network: its clients are spread
    batches = local_sgd.run(shallow[0], data, split, LocalSGD(0.05, 2, 3, 2), key=key, mesh=mesh)
    found = {"deep_gram": grams[0], "gram": grams[1], "loss": run.loss, "drift": run.client_drift}
    found |= {"batches": batches.trajectory.loss, "wild": wild[7].trajectory.loss, "single": single.trajectory.loss}
    found |= {f"many_{name}": [each.trajectory[name].values for each in many] for name in OBSERVED}
    for name, net in (("deep", deep), ("shallow", shallow[0])):
        end = local_sgd.run(net, data, split, CONFIG, observe=NORMS, mesh=mesh).trajectory
        found |= {f"{name}_{quantity}": end[quantity] for quantity in end}
    return {name: np.asarray(values) for name, values in found.items()}


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    np.savez(sys.argv[1], devices=len(jax.devices()), **numbers())
