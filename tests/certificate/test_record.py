"""The file of a certificate holds its run and its claims to the last bit."""

import json

import jax
import numpy as np
import pytest

from ntk_localsgd import certificate, datasets
from ntk_localsgd.clients import Clients
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD
from ntk_localsgd.networks import DeepReLU, TwoLayerReLU

SPLIT = Clients((np.array([1]), np.array([0, 2])))


def test_numbers_come_back_as_they_were(tmp_path):
    data = datasets.sphere(jax.random.key(0), 3, 6)
    net = TwoLayerReLU.init(jax.random.key(1), width=50, input_dim=6, dtype=np.float32)
    config = LocalSGD(0.1, 3, 0)
    proof = certificate.certify(net, data, SPLIT, config, estimate=False)
    certificate.write_certificate(tmp_path / "c.json", proof, net, data, SPLIT, config)
    content = json.loads((tmp_path / "c.json").read_text())
    weights = [[float.fromhex(v) for v in row] for row in content["network"]["weights"]]
    assert np.array_equal(weights, np.asarray(net.weights, np.float64))
    assert content["network"]["signs"] == np.asarray(net.signs).tolist()
    assert [float.fromhex(v) for v in content["data"]["targets"]] == np.asarray(data.targets).tolist()
    assert content["clients"] == [[1], [0, 2]]
    assert float.fromhex(content["run"]["step_size"]) == 0.1
    assert content["claims"]["certified"] is proof.certified
    assert float.fromhex(content["claims"]["residual_norm"]) == proof.residual_norm


def test_deep_networks_and_files_in_place_of_folders_are_refused(tmp_path):
    data = datasets.sphere(jax.random.key(0), 3, 6)
    net, config = TwoLayerReLU.init(jax.random.key(1), width=50, input_dim=6), LocalSGD(0.1, 3, 0)
    proof = certificate.certify(net, data, SPLIT, config, estimate=False)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        certificate.write_certificate(tmp_path / "file" / "c.json", proof, net, data, SPLIT, config)
    deep = DeepReLU.init(jax.random.key(1), width=8, depth=2, input_dim=6)
    with pytest.raises(InputError, match="two layers only"):
        certificate.write_certificate(tmp_path / "c.json", proof, deep, data, SPLIT, config)
