"""One device and eight of them give the same numbers: Gram rows, clients and networks spread over a mesh."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.placement import everywhere, spread
from tests.local_sgd import spread_over_devices

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
def test_one_device_and_eight_give_the_same_numbers(tmp_path):
    flags = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", spread_over_devices.__name__, str(tmp_path / "eight.npz")]
    done = subprocess.run(command, env=flags, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    eight = dict(np.load(tmp_path / "eight.npz"))
    assert (int(eight.pop("devices")), len(jax.devices())) == (8, 1)
    one = spread_over_devices.numbers()
    assert one.keys() == eight.keys()
    for name, alone in one.items():
        # float64 sums of at most a few hundred terms in another order, amplified by twelve steps of training.
        np.testing.assert_allclose(eight[name], alone, rtol=1e-11, atol=1e-13, err_msg=name)


def test_devices_that_do_not_divide_get_one_sentence():
    mesh = Mesh(np.array(jax.devices()[:1]), ("clients",))
    assert spread(np.ones(3), mesh, "clients").shape == (3,)
    assert everywhere(np.ones(3), None).shape == (3,)

    class Two:
        axis_names, shape = ("clients",), {"clients": 2}

    with pytest.raises(InputError, match="mesh has 2 devices along 'clients', which do not divide 3 clients"):
        spread(np.ones(3), Two(), "clients")
