"""The infinite-width kernel of changed inputs, and what random neurons say of it."""

import numpy as np
import pytest
import scipy.special

from ntk_localsgd import kernels
from ntk_localsgd.statistics import failure_interval
from verification.data import Source
from verification.jobs.limits import Activity, LimitSpectrum, NearKink, NeuralTangentsGap, changed, coplanar_pairs

DATA = Source("sphere", 5, 0, input_dim=6)
X = DATA.load().inputs


def test_inputs_change_as_named():
    np.testing.assert_array_equal(changed(X, "none"), X)
    np.testing.assert_array_equal(changed(X, "repeated")[5], X[0])
    np.testing.assert_array_equal(changed(X, "antipode")[5], -X[0])
    close = changed(X, "close pair", 0.1)
    assert np.linalg.norm(close[0] - close[1]) == pytest.approx(0.1, rel=1e-12)
    pairs = coplanar_pairs(X)
    np.testing.assert_array_equal(changed(X, "coplanar pairs"), pairs)
    np.testing.assert_array_equal(pairs[3:], -pairs[:3])
    assert np.linalg.matrix_rank(np.concatenate([pairs, X[:2]]), tol=1e-12) == 2


@pytest.mark.parametrize(
    ("change", "dependent", "apart"),
    [("none", 0, None), ("repeated", 0, 0.0), ("antipode", 0, None), ("with coplanar pairs", 1, None)],
)
def test_spectrum_encloses_lambda0_and_counts_what_makes_it_zero(change, dependent, apart):
    spectrum, x = LimitSpectrum(DATA, change).compute(), changed(X, change)
    exact = np.linalg.eigvalsh(kernels.infinite_gram(x))[0]
    assert spectrum.lower <= exact + 1e-14  # the other route rounds, too
    assert spectrum.upper >= exact - 1e-14
    assert spectrum.dependent == dependent
    distances = np.linalg.norm(x[:, None] - x, axis=-1)[np.triu_indices(len(x), 1)]
    assert spectrum.apart == pytest.approx(distances.min() if apart is None else apart, abs=1e-15)
    assert (spectrum.lower > 0) == (change in ("none", "antipode"))


def test_neural_tangents_agrees_until_a_row_is_stretched():
    assert NeuralTangentsGap(DATA).compute().gap < 1e-12
    assert NeuralTangentsGap(DATA, stretch=2.0).compute().gap > 1e-3


def test_random_neurons_are_active_as_often_as_angles_say():
    neurons = 4000
    hits = Activity(DATA, neurons, 0, "activity").compute().hits.values
    angles = np.arccos(np.clip(X @ X.T, -1, 1))
    expected = neurons * (np.pi - angles) / (2 * np.pi)
    assert (np.abs(hits - expected) < 5 * np.sqrt(neurons / 4)).all()  # five standard deviations
    shifted = Activity(DATA, neurons, 0, "activity", shift=1.0).compute().hits.values
    assert shifted[0, 0] > hits[0, 0] + 5 * np.sqrt(neurons / 4)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_neurons_near_a_kink_are_as_many_as_the_error_function_says(scale):
    radii = (0.1, 1.0)
    hits = NearKink(DATA, 4000, radii, 0, "kink", scale).compute().hits.values
    for count, radius in zip(hits, radii, strict=True):
        chance = scipy.special.erf(radius / scale / np.sqrt(2))
        assert chance in failure_interval(int(count), 4000, level=1 - 1e-6)
