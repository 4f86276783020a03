"""Data by plain values: planted pairs, splits, and what the theory asks of them."""

import jax
import numpy as np
import pytest

from ntk_localsgd import datasets, kernels
from ntk_localsgd.errors import InputError
from verification.context import Context
from verification.data import Source, with_close_pair, with_close_pairs
from verification.presets import PRESETS

# A sine and a cosine of rounding error 1e-16 in norms near 1.
CLOSE = 1e-12


@pytest.mark.parametrize("distance", [0.1, 0.4, 1.2])
def test_a_planted_pair_is_the_closest_one_at_the_chord_asked_for_with_opposite_targets(distance):
    data = Source("planted", 8, 0, distance=distance).load().dataset
    assert data.targets[0] == -data.targets[1]
    assert np.linalg.norm(data.inputs[0] - data.inputs[1]) == pytest.approx(distance, rel=CLOSE)
    if distance < 1:  # of independent points in ℝ⁶⁴ most are √2 apart
        assert data.separation == pytest.approx(distance, rel=CLOSE)


def test_only_the_second_point_of_a_pair_moves_and_stays_on_the_sphere():
    x = datasets.sphere(jax.random.key(0), 5, 7).inputs
    pair, pairs = with_close_pair(x, 0.3), with_close_pairs(x, 0.3)
    np.testing.assert_array_equal(pair[[0, 2, 3, 4]], x[[0, 2, 3, 4]])
    np.testing.assert_array_equal(pairs[[0, 2, 4]], x[[0, 2, 4]])
    for moved in (pair, pairs):
        np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, rtol=CLOSE)
    np.testing.assert_array_equal(pair[1], pairs[1])


@pytest.mark.parametrize("num_samples", [8, 9])
def test_every_point_has_a_partner_at_the_chord_with_the_opposite_target(num_samples):
    data = Source("pairs", num_samples, 3, distance=0.25).load().dataset
    first, second = data.inputs[: 2 * (num_samples // 2) : 2], data.inputs[1::2]
    np.testing.assert_allclose(np.linalg.norm(first - second, axis=1), 0.25, rtol=CLOSE)
    np.testing.assert_array_equal(data.targets[: 2 * (num_samples // 2) : 2], -data.targets[1::2])


def test_step_sizes_follow_the_client_with_the_largest_eigenvalue():
    problem = Source("digits", 10, 1).load()
    split = problem.split(3)
    assert sorted(np.concatenate(split.indices)) == list(range(10))
    labels = [set(problem.dataset.labels[part]) for part in split.indices]
    assert max(map(len, labels)) <= 2
    largest = [np.linalg.norm(problem.gram[np.ix_(part, part)], 2) for part in split.indices]
    assert max(largest) - min(largest) > 0.01
    assert problem.largest_client_eigenvalue(3) == pytest.approx(max(largest), rel=CLOSE)
    deep = kernels.infinite_deep_gram(problem.inputs, 2)
    blocks = [np.linalg.norm(deep[np.ix_(part, part)], 2) for part in split.indices]
    assert problem.largest_deep_eigenvalue(3, 2) == pytest.approx(max(blocks), rel=CLOSE)


def test_the_enclosure_of_lambda0_is_as_wide_as_the_gram_matrix_is_off():
    problem = Source("sphere", 6, 2).load()
    error = kernels.infinite_gram_error(*problem.inputs.shape)
    assert problem.lambda0.upper - problem.lambda0.lower >= 2 * error
    assert problem.lambda0.lower <= np.linalg.eigvalsh(problem.gram)[0] <= problem.lambda0.upper


def test_seeds_decide_the_data_and_an_unknown_kind_is_refused():
    assert not np.array_equal(Source("sphere", 4, 0).load().inputs, Source("sphere", 4, 1).load().inputs)
    with pytest.raises(InputError, match="kind of data is 'cube'"):
        Source("cube", 4, 0).load()


def test_a_context_s_data_sets_differ_by_seed_and_distance():
    context = Context(PRESETS["smoke"], 0)
    own, other = context.problem("sphere", 4), context.problem("sphere", 4, seed=7)
    assert own.source == Source("sphere", 4, 0)
    assert other.source == Source("sphere", 4, 7)
    assert context.problem("planted", 4).source.distance == context.preset.deep.separations[0]
    assert context.problem("planted", 4, distance=0.3).source.distance == 0.3
