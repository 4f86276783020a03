"""One radius for all neurons: which signs count as certain within it."""

import numpy as np

from ntk_localsgd.certificate.model import Problem
from ntk_localsgd.certificate.two_layer.ball import within
from ntk_localsgd.certificate.two_layer.neurons import NearKinks
from ntk_localsgd.clients import Clients
from ntk_localsgd.local_sgd import LocalSGD


def test_a_sign_is_certain_only_beyond_the_radius_and_the_rounding_error():
    problem = Problem.from_inputs(np.eye(2), Clients((np.arange(2),)), LocalSGD(0.1, 1, 0))
    values = np.array([-0.3, -0.25, -0.1, 0.0, 0.1, 0.25, 0.3])
    rows = np.arange(7)
    near = NearKinks(
        np.ones(2), rows, np.ones((7, 2), bool), np.ones(7), [rows, rows[:0]], [values, values[:0]],
        [np.full(7, 0.1), values[:0]],
    )  # fmt: skip
    # Within a radius of 0.2 and an error of 0.1 of the kink of the first unit vector; the second has no near neuron.
    np.testing.assert_array_equal(within(problem, near, 0.2)[:, 0], np.abs(values) <= 0.3)
    np.testing.assert_array_equal(within(problem, near, 0.1)[:, 0], np.abs(values) < 0.21)
    assert not within(problem, near, 0.2)[:, 1].any()
