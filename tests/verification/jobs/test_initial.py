"""Networks at initialization: drawn by seed and purpose, measured as NumPy measures them."""

import dataclasses

import jax
import numpy as np
import pytest

from ntk_localsgd.networks import TwoLayerReLU
from verification.data import Source
from verification.jobs.initial import EntryGaps, InitialNetworks, Outputs, SmallestEigenvalues, gram_at, smallest_lower

DATA = Source("sphere", 5, 0, input_dim=6)
PROBLEM = DATA.load()


def _gram(weights):
    active = (np.asarray(weights, np.float64) @ PROBLEM.inputs.T >= 0).astype(float)
    return PROBLEM.inner * (active.T @ active) / len(weights)


def test_gram_of_a_check_is_the_mean_over_neurons():
    net = TwoLayerReLU.init(jax.random.key(0), width=50, input_dim=6)
    np.testing.assert_allclose(gram_at(net, PROBLEM), _gram(net.weights), rtol=1e-14)  # a few roundings


def test_networks_change_with_seed_purpose_and_width_and_with_nothing_else():
    one = InitialNetworks(DATA, 8, 2, 0, "a")
    first, second = (np.asarray(net.weights) for net in one)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, next(iter(dataclasses.replace(one, trials=1))).weights)
    for changes in ({"seed": 1}, {"purpose": "b"}, {"width": 9}):
        assert not np.array_equal(first, np.asarray(next(iter(dataclasses.replace(one, **changes))).weights)[:8])


@pytest.mark.parametrize("copies", [1, 4])
def test_gaps_are_the_largest_entries_of_the_difference_and_repeated_neurons_count_as_one(copies):
    job = EntryGaps(DATA, 64, 3, 0, "gaps", copies)
    drawn = [np.repeat(net.weights, copies, axis=0) for net in InitialNetworks(DATA, 64 // copies, 3, 0, "gaps")]
    expected = [np.abs(_gram(weights) - PROBLEM.gram).max() for weights in drawn]
    np.testing.assert_allclose(job.compute().gap, expected, rtol=1e-12)  # float64 of entries of order 1


def test_smallest_eigenvalues_are_bounded_from_below_and_tightly():
    job = SmallestEigenvalues(DATA, 200, 3, 0, "smallest")
    exact = np.array([np.linalg.eigvalsh(_gram(net.weights))[0] for net in job])
    bounds = job.compute().smallest.values
    assert (bounds <= exact).all()
    np.testing.assert_allclose(bounds, exact, rtol=0, atol=1e-12)  # what an enclosure of 5 × 5 matrices is wide


def test_an_error_of_the_entries_lowers_the_bound_by_its_norm():
    gram = _gram(np.eye(6))
    assert smallest_lower(gram, PROBLEM, error=0.25) == pytest.approx(smallest_lower(gram, PROBLEM) - 0.25, abs=1e-12)


def test_outputs_are_those_of_the_networks_with_their_weights_scaled():
    job = Outputs(DATA, 16, 3, 0, "outputs", scale=3.0)
    scaled = [net.with_trained((3 * net.weights,)) for net in job]
    expected = [np.asarray(net(PROBLEM.inputs)) for net in scaled]
    np.testing.assert_allclose(job.compute().output, expected, rtol=1e-5, atol=1e-6)  # float32
