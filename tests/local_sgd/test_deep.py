"""Local SGD and its observables on deep networks, one output and several, against plain NumPy."""

import jax
import numpy as np
import pytest

from ntk_localsgd import clients, datasets, kernels, local_sgd
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd import LocalSGD, lanczos
from ntk_localsgd.networks import DeepReLU

CONFIG = LocalSGD(0.01, 3, 5)

# A few dozen steps of float64 sums in another order.
CLOSE = 1e-10


def _problem(output_dim):
    key = jax.random.key(3)
    data = datasets.sphere(key, 9, 6)
    if output_dim > 1:
        targets = np.random.default_rng(0).standard_normal((9, output_dim))
        data = datasets.from_arrays(data.inputs, targets, labels=np.arange(9) % 3)
    split = clients.Clients((np.array([0, 4, 5]), np.array([1, 2, 3, 6, 7]), np.array([8])))
    return DeepReLU.init(key, width=16, depth=2, input_dim=6, output_dim=output_dim), data, split


def _forward(first, hidden, last, x):
    h = [np.maximum(x @ first.T, 0)]
    for weights in hidden:
        h.append(np.maximum(h[-1] @ weights.T, 0))
    return h, h[-1] @ last.T


def _gradients(first, hidden, last, x, y):
    """∇ ½ Σ‖f − y‖² by the hidden weights, by hand: δ_l = (δ_{l+1} W_{l+1}) ∘ 1{z_l ≥ 0}."""
    h, outputs = _forward(first, hidden, last, x)
    delta, found = (outputs - y) @ last, []
    for k in reversed(range(len(hidden))):
        delta = delta * (h[k] @ hidden[k].T >= 0)
        found.insert(0, delta.T @ h[k])
        delta = delta @ hidden[k]
    return found


def _reference(net, data, split):
    """Averages [R+1][L], and every client's weights at every local step, [R][τ+1][K][L]."""
    first, last = np.asarray(net.input_weights), np.asarray(net.output_weights)
    targets = data.targets.reshape(data.num_samples, -1)
    average = [np.asarray(w) for w in net.hidden_weights]
    averages, steps = [average], []
    for _ in range(CONFIG.num_rounds):
        stages = [[average] * split.num_clients]
        for _ in range(CONFIG.local_steps):
            stages.append([
                [w - CONFIG.step_size * g
                 for w, g in zip(own, _gradients(first, own, last, data.inputs[p], targets[p]), strict=True)]
                for own, p in zip(stages[-1], split.indices, strict=True)
            ])  # fmt: skip
        average = [np.mean([own[layer] for own in stages[-1]], axis=0) for layer in range(net.depth)]
        averages.append(average)
        steps.append(stages)
    return averages, steps


@pytest.fixture(scope="module", params=[1, 3])
def both(request):
    net, data, split = _problem(request.param)
    run = local_sgd.run(net, data, split, CONFIG, observe=tuple(local_sgd.OBSERVABLES), gram_every=5)
    return net, data, split, run, *_reference(net, data, split)


def _patterns(net, hidden, x):
    h, _ = _forward(np.asarray(net.input_weights), hidden, np.asarray(net.output_weights), x)
    return np.array([before @ w.T >= 0 for before, w in zip(h, hidden, strict=False)])


def test_weights_losses_and_layers_match_the_reference(both):
    net, data, _, run, averages, _ = both
    for found, expected in zip(run.network.hidden_weights, averages[-1], strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE)
    targets = data.targets.reshape(9, -1)
    frozen = np.asarray(net.input_weights), np.asarray(net.output_weights)
    losses = [((_forward(frozen[0], w, frozen[1], data.inputs)[1] - targets) ** 2).sum() / 2 for w in averages]
    np.testing.assert_allclose(run.trajectory.loss, losses, rtol=CLOSE)
    moved = [[now - start for now, start in zip(w, averages[0], strict=True)] for w in averages]
    for name, order in (("layer_frobenius_movement", None), ("layer_spectral_movement", 2)):
        expected = [[np.linalg.norm(layer, order) for layer in w] for w in moved]
        np.testing.assert_allclose(run.trajectory[name], expected, rtol=1e-9, atol=CLOSE, err_msg=name)
    start = _patterns(net, averages[0], data.inputs)
    flips = [(_patterns(net, w, data.inputs) != start).mean(axis=(1, 2)) for w in averages]
    np.testing.assert_allclose(run.trajectory.layer_flip_fraction, flips, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(run.trajectory.flip_fraction, np.mean(flips, axis=1), rtol=0, atol=CLOSE)
    assert float(run.trajectory.flip_fraction[-1]) > 0


def test_local_steps_match_the_reference(both):
    net, data, split, run, _, steps = both
    frozen = np.asarray(net.input_weights), np.asarray(net.output_weights)
    targets = data.targets.reshape(9, -1)
    for t, stages in enumerate(steps):
        for k, everyone in enumerate(stages):
            average = [np.mean([own[layer] for own in everyone], axis=0) for layer in range(net.depth)]
            for c, part in enumerate(split.indices):
                x, y, found = data.inputs[part], targets[part], run.trajectory.isel(round=t + 1, local_step=k, client=c)
                gradients = [_gradients(frozen[0], w, frozen[1], x, y) for w in (everyone[c], average)]
                gap = np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(*gradients, strict=True)))
                np.testing.assert_allclose(found.gradient_difference, gap, rtol=0, atol=CLOSE)
                flips = _patterns(net, everyone[c], x) != _patterns(net, average, x)
                expected = flips.mean(axis=2).max(axis=1)
                np.testing.assert_allclose(found.layer_flips_from_average, expected, rtol=0, atol=CLOSE)
                np.testing.assert_allclose(found.flips_from_average, flips.mean(axis=(0, 2)).max(), atol=CLOSE)


def test_gram_of_all_outputs_is_one_matrix(both):
    net, data, _, run, *_ = both
    gram = np.asarray(kernels.empirical_gram(net, data.inputs)).reshape(9, 9, net.output_dim, net.output_dim)
    smallest = np.linalg.eigvalsh(gram.transpose(0, 2, 1, 3).reshape(9 * net.output_dim, -1))[0]
    lower, upper = run.trajectory.smallest_eigenvalue[0].values
    assert lower - 1e-11 <= smallest <= upper + 1e-11  # NumPy's own rounding
    assert upper - lower < 1e-7
    assert float(run.trajectory.gram_movement[-1]) > 0


@pytest.mark.parametrize("shape", [(40, 40), (7, 30), (200, 200)])
def test_lanczos_never_exceeds_the_norm_and_comes_close(shape):
    rng = np.random.default_rng(0)
    gaussian = rng.standard_normal(shape)
    decaying = gaussian * 2.0 ** -np.arange(shape[1])
    for matrix, share in ((gaussian, 0.95), (decaying, 1 - 1e-6), (1e-30 * decaying, 1 - 1e-6)):
        exact = np.linalg.norm(matrix, 2)
        found = float(lanczos.layer_spectral_norms((jax.numpy.asarray(matrix),))[0])
        assert share * exact <= found <= exact * (1 + 1e-12)
    assert float(lanczos.layer_spectral_norms((jax.numpy.zeros(shape),))[0]) == 0.0


def test_targets_must_fit_the_outputs():
    net, data, split = _problem(3)
    one, plain, _ = _problem(1)
    with pytest.raises(InputError, match="3 outputs"):
        local_sgd.run(net, plain, split, CONFIG)
    with pytest.raises(InputError, match="3 targets a row"):
        local_sgd.run(one, data, split, CONFIG)
