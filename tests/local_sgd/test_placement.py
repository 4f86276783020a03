"""One device and eight of them give the same numbers: Gram rows, clients and networks spread over a mesh."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.placement import everywhere, spread

_PROGRAM = """
import sys
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ntk_localsgd import clients, datasets, kernels, local_sgd, networks

jax.config.update("jax_enable_x64", True)
key = jax.random.key(0)
data = datasets.sphere(key, 32, 8)
split = clients.iid(key, data, 8)
deep = networks.DeepReLU.init(key, width=16, depth=2, input_dim=8, dtype=np.float64)
shallow = [networks.TwoLayerReLU.init(jax.random.key(s), width=64, input_dim=8, dtype=np.float64) for s in range(8)]
mesh = Mesh(np.array(jax.devices()), ("rows",)) if len(jax.devices()) > 1 else None
rows = data.inputs if mesh is None else jax.device_put(data.inputs, NamedSharding(mesh, PartitionSpec("rows")))
grams = [kernels.empirical_gram(net, rows) for net in (deep, shallow[0])]
if mesh is not None:
    assert all(len({str(shard.index) for shard in gram.addressable_shards}) == 8 for gram in grams), "rows stay spread"
config = local_sgd.LocalSGD(0.05, 2, 3)
observe = ("flip_fraction", "client_drift", "smallest_eigenvalue")
run = local_sgd.run(deep, data, split, config, observe=("client_drift",), mesh=mesh)
many = local_sgd.run_seeds(shallow, data, split, config, observe=observe, mesh=mesh)
wild = [shallow[0], *shallow[1:7], networks.TwoLayerReLU.from_arrays(shallow[7].weights, np.ones(64))]
wild = local_sgd.run_seeds(wild, data, split, local_sgd.LocalSGD(7.0, 3, 6), mesh=mesh)
assert [run.diverged_at for run in wild[:7]] == [None] * 7 and wild[7].diverged_at > 1, [r.diverged_at for r in wild]
(single,) = local_sgd.run_seeds([deep], data, split, config, mesh=mesh)  # one network: its clients are spread
batches = local_sgd.run(shallow[0], data, split, local_sgd.LocalSGD(0.05, 2, 3, 2), key=key, mesh=mesh)
ends = [local_sgd.run(net, data, split, config, observe=("gradient_norm", "client_gradient_norm"), mesh=mesh).trajectory
        for net in (deep, shallow[0])]
found = {f"{name}_{k}": end[name] for k, end in enumerate(ends) for name in end}
found |= {f"many_{name}": [r.trajectory[name].values for r in many] for name in observe}
np.savez(
    sys.argv[1], deep_gram=grams[0], gram=grams[1], loss=run.trajectory.loss, drift=run.trajectory.client_drift,
    batches=batches.trajectory.loss, wild=wild[7].trajectory.loss, single=single.trajectory.loss, **found,
)
print(len(jax.devices()))
"""


@pytest.mark.slow
def test_one_device_and_eight_give_the_same_numbers(tmp_path):
    found = {}
    for devices in (1, 8):
        flags = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
        done = subprocess.run([sys.executable, "-c", _PROGRAM, str(tmp_path / f"{devices}.npz")],
                              env=flags, capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.split()[-1]) == devices
        found[devices] = dict(np.load(tmp_path / f"{devices}.npz"))
    for name, alone in found[1].items():
        # float64 sums of at most a few hundred terms in another order, amplified by twelve steps of training.
        np.testing.assert_allclose(found[8][name], alone, rtol=1e-11, atol=1e-13, err_msg=name)


def test_devices_that_do_not_divide_get_one_sentence():
    mesh = Mesh(np.array(jax.devices()[:1]), ("clients",))
    assert spread(np.ones(3), mesh, "clients").shape == (3,)
    assert everywhere(np.ones(3), None).shape == (3,)

    class Two:
        axis_names, shape = ("clients",), {"clients": 2}

    with pytest.raises(InputError, match="mesh has 2 devices along 'clients', which do not divide 3 clients"):
        spread(np.ones(3), Two(), "clients")
