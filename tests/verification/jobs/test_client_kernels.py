"""Gram matrices between averaged and local networks: against the library's, along an independent run."""

import dataclasses

import numpy as np
import pytest

from ntk_localsgd import kernels
from ntk_localsgd.networks import TwoLayerReLU
from tests.helpers import gradient, local_sgd, loss
from verification.data import Source
from verification.jobs.client_kernels import ClientKernels

JOB = ClientKernels(Source("sphere", 6, 1, input_dim=4), 2, 24, 0.8, 3, 2, (5,), dtype="float64", target_scale=3.0)


@pytest.fixture(scope="module")
def found():
    return JOB.compute().isel(seed=0)


def _path():
    return local_sgd(JOB.network(5), JOB.dataset, JOB.clients, JOB.config)


def test_asymmetry_and_symmetric_part_are_those_of_grams_between_networks(found):
    paths, averages = _path()
    signs, x = np.asarray(JOB.network(5).signs), JOB.dataset.inputs
    assert float(found.asymmetry.max()) > 0.01
    for t in range(2):
        smallest = []
        for k in range(3):
            gram = np.zeros((6, 6))
            for c, part in enumerate(JOB.clients.indices):
                nets = [TwoLayerReLU.from_arrays(w, signs) for w in (averages[t], paths[t][c, k])]
                gram[:, part] = kernels.empirical_gram(nets[0], x, x[part], other=nets[1])
            expected = np.linalg.norm(gram - gram.T) / np.linalg.norm(gram)
            assert float(found.asymmetry[t, k]) == pytest.approx(expected, abs=1e-14)
            smallest.append(np.linalg.eigvalsh((gram + gram.T) / 2)[0])
        assert float(found.smallest[t]) == pytest.approx(min(smallest), abs=1e-12)
        assert float(found.smallest[t]) <= min(smallest)


def test_cosines_and_losses_are_those_of_an_independent_run(found):
    _, averages = _path()
    signs, x, y = np.asarray(JOB.network(5).signs), JOB.dataset.inputs, JOB.dataset.targets
    for t in range(2):
        moved, downhill = averages[t + 1] - averages[t], -gradient(averages[t], signs, x, y)
        cosine = np.sum(moved * downhill) / np.linalg.norm(moved) / np.linalg.norm(downhill)
        assert float(found.cosine[t]) == pytest.approx(cosine, abs=1e-12)
    np.testing.assert_allclose(found.loss, [loss(w, signs, x, y) for w in averages], rtol=1e-12)


def test_the_prediction_is_one_for_one_step_and_what_frozen_patterns_do():
    one = dataclasses.replace(JOB, local_steps=1, num_rounds=1).compute()
    assert float(one.predicted_cosine[0, 0]) == pytest.approx(1, abs=1e-12)
    assert float(one.cosine[0, 0]) == pytest.approx(1, abs=1e-12)
    still = dataclasses.replace(JOB, step_size=1e-7, local_steps=2, num_rounds=1, target_scale=1.0).compute()
    assert float(still.asymmetry.max()) == 0  # nothing flips, so that the kernel regime is exact
    assert float(still.cosine[0, 0] - still.predicted_cosine[0, 0]) == pytest.approx(0, abs=1e-13)
    slow = dataclasses.replace(JOB, width=2**14, local_steps=9, num_rounds=1, target_scale=1.0).compute()
    assert float(slow.cosine[0, 0]) < 0.97
    assert float(slow.predicted_cosine[0, 0]) == pytest.approx(float(slow.cosine[0, 0]), abs=0.01)


def test_entries_change_by_no_more_than_their_column_s_flips(found):
    assert float(found.excess.max()) <= 0 < float(found.excess_of_rows.max())


def test_faults_of_controls_are_planted_where_they_say(found):
    still = dataclasses.replace(JOB, num_rounds=1, fault="gradients of the start").compute()
    assert float(still.cosine[0, 0]) == pytest.approx(1, abs=1e-12)
    assert float(found.cosine[0]) < 0.99
    lacking = dataclasses.replace(JOB, local_steps=1, num_rounds=1, fault="client left out").compute()
    assert float(lacking.cosine[0, 0]) < 0.99
    net, x, y = JOB.network(5), JOB.dataset.inputs, JOB.dataset.targets
    weights, signs, left = np.asarray(net.weights), np.asarray(net.signs), JOB.clients.indices[1]
    moved, downhill = -gradient(weights, signs, x[left], y[left]), -gradient(weights, signs, x, y)
    cosine = np.sum(moved * downhill) / np.linalg.norm(moved) / np.linalg.norm(downhill)
    assert float(lacking.cosine[0, 0]) == pytest.approx(cosine, abs=1e-12)


def test_samples_of_all_clients_make_another_prediction_unless_there_is_one_client(found):
    assert abs(float(found.predicted_of_all[0] - found.predicted_cosine[0])) > 1e-3
    alone = dataclasses.replace(JOB, num_clients=1, num_rounds=1).compute()
    assert float(alone.predicted_of_all[0, 0]) == pytest.approx(float(alone.predicted_cosine[0, 0]), abs=1e-12)
