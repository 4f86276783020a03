"""Every observable against an independent computation from the reference's weights."""

import itertools

import jax
import numpy as np
import pytest
import xarray as xr

from ntk_localsgd import local_sgd
from ntk_localsgd.local_sgd import LocalSGD, gradients, states
from ntk_localsgd.networks import TwoLayerReLU
from tests import helpers

# A few dozen steps of float64 sums in another order; norms of differences lose no more in absolute terms.
CLOSE = 1e-11

CONFIG = LocalSGD(0.6, 3, 8)


@pytest.fixture(scope="module")
def both():
    """A run with everything observed, and the reference's weights."""
    net, data, split = helpers.problem(seed=4)
    run = local_sgd.run(net, data, split, CONFIG, observe=tuple(local_sgd.OBSERVABLES), gram_every=2)
    paths, averages = helpers.local_sgd(net, data, split, CONFIG)
    return net, data, split, run.trajectory, paths, averages


def _gradients(both, weights):
    net, data, split, *_ = both
    signs = np.asarray(net.signs)
    return [helpers.gradient(weights, signs, data.inputs[p], data.targets[p]) for p in split.indices]


def _patterns(data, weights):
    return data.inputs @ weights.T >= 0


def _expected_at_rounds(both):
    net, data, split, _, _, averages = both
    signs, start = np.asarray(net.signs), averages[0]
    client = [[helpers.loss(w, signs, data.inputs[p], data.targets[p]) for p in split.indices] for w in averages]
    gradients = [_gradients(both, w) for w in averages]
    return {
        "loss": [sum(row) for row in client],
        "client_loss": client,
        "gradient_norm": [np.linalg.norm(sum(g)) for g in gradients],
        "client_gradient_norm": [[np.linalg.norm(g) for g in row] for row in gradients],
        "neuron_movement": [np.linalg.norm(w - start, axis=1).max() for w in averages],
        "frobenius_movement": [np.linalg.norm(w - start) for w in averages],
        "layer_frobenius_movement": [[np.linalg.norm(w - start)] for w in averages],
        "layer_spectral_movement": [[np.linalg.norm(w - start, 2)] for w in averages],
        "layer_flip_fraction": [[(_patterns(data, w) != _patterns(data, start)).mean()] for w in averages],
        "path_length": np.cumsum([0, *(np.linalg.norm(b - a) for a, b in itertools.pairwise(averages))]),
        "flip_fraction": [(_patterns(data, w) != _patterns(data, start)).mean() for w in averages],
    }


def _expected_at_steps(both):
    """[R τ+1 K] for rounds 1 …."""
    net, data, split, _, paths, _ = both
    signs, found = np.asarray(net.signs), {}
    for t, path in enumerate(paths):
        for k in range(CONFIG.local_steps + 1):
            average = path[:, k].mean(axis=0)
            for c, part in enumerate(split.indices):
                own, x, y = path[c, k], data.inputs[part], data.targets[part]
                values = {
                    "local_loss": helpers.loss(own, signs, x, y),
                    "client_drift": np.linalg.norm(own - path[c, 0]),
                    "local_gradient_norm": np.linalg.norm(helpers.gradient(own, signs, x, y)),
                    "distance_to_average": np.linalg.norm(own - average),
                    "gradient_difference": np.linalg.norm(
                        helpers.gradient(own, signs, x, y) - helpers.gradient(average, signs, x, y)
                    ),
                    "jacobian_difference": np.linalg.norm(
                        (
                            ((x @ own.T >= 0) * 1.0 - (x @ average.T >= 0))
                            * (helpers.outputs(average, signs, x) - y)[:, None]
                            * signs
                        ).T
                        @ x
                        / np.sqrt(len(signs))
                    ),
                    "average_loss": helpers.loss(average, signs, x, y),
                    "flips_from_average": ((x @ own.T >= 0) != (x @ average.T >= 0)).mean(axis=1).max(),
                }
                for name, value in values.items():
                    shape = (CONFIG.num_rounds, CONFIG.local_steps + 1, split.num_clients)
                    found.setdefault(name, np.zeros(shape))[t, k, c] = value
    return found


def test_round_observables_match_the_reference(both):
    for name, expected in _expected_at_rounds(both).items():
        np.testing.assert_allclose(both[3][name], expected, rtol=CLOSE, atol=CLOSE, err_msg=name)
    assert float(both[3].flip_fraction[-1]) > 0  # the run moves far enough for the comparison to mean something


def test_local_step_observables_match_the_reference(both):
    expectations = _expected_at_steps(both)
    expectations["layer_flips_from_average"] = expectations["flips_from_average"][..., None]
    for name, expected in expectations.items():
        np.testing.assert_allclose(both[3][name][1:], expected, rtol=CLOSE, atol=CLOSE, err_msg=name)
    assert float(both[3].flips_from_average.max()) > 0


def test_observables_of_steps_taken_match_the_reference(both):
    *_, found, paths, _ = both
    for t, path in enumerate(paths):
        origin = _gradients(both, path[0, 0])
        for k in range(CONFIG.local_steps):
            seen = found.isel(round=t + 1, step_taken=k)
            apart = [np.linalg.norm(own - path[0, 0]) for own in path[:, k]]
            changed = [np.linalg.norm(_gradients(both, own)[c] - origin[c]) for c, own in enumerate(path[:, k])]
            np.testing.assert_allclose(seen.distance_from_start, apart, rtol=CLOSE, atol=CLOSE)
            np.testing.assert_allclose(seen.gradient_difference_from_start, changed, rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize("batch_size", [None, 1])
def test_rounds_alone_give_the_same_as_rounds_and_steps_together(batch_size):
    # One way hands gradients on from round to round, the other compares with the average at every step.
    net, data, split = helpers.problem(seed=5)
    config, key = LocalSGD(0.6, 3, 6, batch_size=batch_size), None if batch_size is None else jax.random.key(1)
    names = tuple(name for name, entry in local_sgd.OBSERVABLES.items() if entry.when in ("round", "taken"))
    alone, together = (
        local_sgd.run(net, data, split, config, key=key, observe=observe).trajectory
        for observe in (names, (*names, "average_loss"))
    )
    for name in names:
        np.testing.assert_allclose(alone[name], together[name], rtol=CLOSE, atol=CLOSE, err_msg=name)
    assert float(alone.gradient_difference_from_start.max()) > 0
    cut = local_sgd.run(net, data, split, config, key=key, observe=names, stop=lambda _: False).trajectory
    np.testing.assert_allclose(cut.gradient_norm, alone.gradient_norm, rtol=CLOSE)  # handed on across chunks


def test_at_round_zero_all_clients_hold_the_start(both):
    found = both[3]
    for name in ("client_drift", "distance_to_average", "gradient_difference", "flips_from_average"):
        # The mean of K equal numbers may differ from them in the last bit.
        assert float(np.abs(found[name][0]).max()) < 1e-14
    np.testing.assert_allclose(found.local_loss[0, 0], found.client_loss[0], rtol=CLOSE)
    np.testing.assert_array_equal(found.local_loss[0, 0], found.local_loss[0, -1])


def test_gram_observables_enclose_numpy_s_eigenvalues(both):
    _, data, _, found, _, averages = both
    np.testing.assert_array_equal(found.gram_round, [0, 2, 4, 6, 8])
    active = [_patterns(data, w).astype(float) for w in averages]
    grams = [(data.inputs @ data.inputs.T) * (a @ a.T) / 40 for a in active]
    for t, lower, upper in zip((0, 2, 4, 6, 8), *found.smallest_eigenvalue.T.values, strict=True):
        # numpy's eigenvalue is approximate itself; the enclosure is about 1e-13 wide.
        assert lower - 1e-13 <= np.linalg.eigvalsh(grams[t])[0] <= upper + 1e-13
        assert upper - lower < 1e-11
    moved = [np.linalg.norm(grams[t] - grams[0], 2) for t in (0, 2, 4, 6, 8)]
    np.testing.assert_allclose(found.gram_movement, moved, rtol=0, atol=CLOSE)


def test_everything_is_labelled_with_dimensions_units_and_formula(both):
    found, split = both[3], both[2]
    assert dict(found.sizes) == {
        "round": 9,
        "client": 3,
        "local_step": 4,
        "step_taken": 3,
        "gram_round": 5,
        "bound": 2,
        "layer": 1,
    }
    for name, entry in local_sgd.OBSERVABLES.items():
        assert found[name].dims == entry.dims
        assert found[name].attrs == {"units": entry.units, "formula": entry.formula}
    np.testing.assert_array_equal(found.attrs["client_sizes"], split.sizes, strict=True)


def test_netcdf_round_trip(both, tmp_path):
    both[3].to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    xr.testing.assert_equal(xr.load_dataset(tmp_path / "run.nc", engine="h5netcdf"), both[3])


def test_only_what_was_asked_for_is_recorded(both):
    net, data, split, *_ = both
    assert set(local_sgd.run(net, data, split, CONFIG).trajectory.data_vars) == {"loss"}
    asked = local_sgd.run(net, data, split, CONFIG, observe=("client_drift",)).trajectory
    assert set(asked.data_vars) == {"loss", "client_drift"}


def test_flips_are_counted_as_integers_beyond_what_float32_can_count():
    wide = 2**24 + 3
    a, b = (np.zeros((1, wide), bool), np.ones((1, wide), bool))
    assert int(gradients.sample_flips((a,), (b,))[0]) == wide


def test_row_movement_is_the_largest_row():
    net = TwoLayerReLU.from_arrays(np.zeros((3, 2)), np.ones(3))
    moved = net.with_trained((net.weights + np.array([[0.0, 1.0], [3.0, 4.0], [0.0, 0.0]]),))
    assert float(gradients.row_movement(moved, net)) == 5.0


def test_padding_flips_nothing():
    # Between these networks the second sample flips on every neuron and the first on none.
    net, average = (TwoLayerReLU.from_arrays(np.array([[1.0, s], [2.0, s]]), np.ones(2)) for s in (1.0, -1.0))
    for mask, expected in (([True, False], 0.0), ([True, True], 1.0)):
        state = states.StepState(net, average, average, np.eye(2), np.zeros(2), np.array(mask))
        for name in ("flips_from_average", "layer_flips_from_average"):
            assert np.all(local_sgd.OBSERVABLES[name].compute(state) == expected)


def test_gradient_is_the_derivative_of_the_loss():
    net, data, _ = helpers.problem()
    samples = (data.inputs, data.targets, np.arange(9) < 6)
    direction = np.random.default_rng(0).standard_normal(net.weights.shape)
    value = lambda s: float(gradients.loss(net.with_trained((net.weights + s * direction,)), *samples))  # noqa: E731
    slope = float(np.sum(np.asarray(gradients.gradient(net, *samples)[0]) * direction))
    # Central differences: error of second order in 1e-5 plus rounding over 1e-5.
    assert (value(1e-5) - value(-1e-5)) / 2e-5 == pytest.approx(slope, rel=1e-7)


def test_for_each_gives_one_result_a_client():
    found = gradients.for_each(lambda x, y: x.sum() + y, jax.numpy.ones((4, 3)), jax.numpy.arange(4.0))
    np.testing.assert_array_equal(found, [3, 4, 5, 6])
