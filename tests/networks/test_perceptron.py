"""Networks of one's own: biases, layers of unequal widths, several outputs; all that is observed, and a prediction."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from ntk_localsgd import clients, datasets, kernels, local_sgd, networks, prediction
from ntk_localsgd.errors import InputError
from ntk_localsgd.local_sgd.lanczos import layer_spectral_norms
from ntk_localsgd.networks import Perceptron

RNG = np.random.default_rng(0)
X = datasets.sphere(jax.random.key(0), 5, 3).inputs
WIDTHS = (3, 7, 4, 2)
WEIGHTS = [RNG.standard_normal((m, p)) / np.sqrt(p) for p, m in itertools.pairwise(WIDTHS)]
BIASES = [0.3 * RNG.standard_normal(m) for m in WIDTHS[1:]]
DATA = datasets.from_arrays(X, RNG.standard_normal((5, 2)))
SPLIT = clients.Clients((np.array([3, 0]), np.array([1, 2, 4])))


def _numpy(weights, biases, x):
    for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
        x = x @ w.T + b
        x = x if k == len(weights) - 1 else np.maximum(x, 0)
    return x


def test_outputs_are_numpy_s_and_trained_arrays_go_in_and_out():
    for trains, number in (("all", 6), ("hidden", 4)):
        net = Perceptron.from_arrays(WEIGHTS, BIASES, trains=trains)
        np.testing.assert_allclose(net(X), _numpy(WEIGHTS, BIASES, X), rtol=1e-12)
        assert (net.input_dim, net.output_dim, len(net.trained)) == (3, 2, number)
        moved = net.with_trained(tuple(2 * w for w in net.trained))
        twice = [2 * np.asarray(w) for w in (*WEIGHTS, *BIASES)]
        if trains == "hidden":
            twice[2], twice[5] = WEIGHTS[2], BIASES[2]
        np.testing.assert_allclose(moved(X), _numpy(twice[:3], twice[3:], X), rtol=1e-12)
    plain = Perceptron.from_arrays(WEIGHTS)
    np.testing.assert_allclose(plain(X), _numpy(WEIGHTS, [np.zeros(m) for m in WIDTHS[1:]], X), rtol=1e-12)
    assert [p.shape for p in plain.activation_patterns(X)] == [(5, 7), (5, 4)]


def test_files_of_pytorch_and_flax_give_the_same_network():
    state = {f"net.{2 * k}.{name}": part for name, parts in (("weight", WEIGHTS), ("bias", BIASES))
             for k, part in enumerate(parts)}  # fmt: skip
    tree = {f"Dense_{k}": {"kernel": w.T, "bias": b} for k, (w, b) in enumerate(zip(WEIGHTS, BIASES, strict=True))}
    expected = Perceptron.from_arrays(WEIGHTS, BIASES)(X)
    for net in (Perceptron.from_torch(state), Perceptron.from_flax(tree), Perceptron.from_flax({"params": tree})):
        np.testing.assert_array_equal(net(X), expected)
    for wrong, words in (
        ({"net.0.running_mean": [1.0]}, "state holds 'net.0.running_mean'"),
        ({"a.0.weight": [[1.0]], "a.1.weight": [[1.0]], "a.1.bias": [1.0]}, "2 layers have 1 biases"),
        ({"a.0.weight": [[1.0]]}, "need two layers or more"),
    ):
        with pytest.raises(InputError, match=words):
            Perceptron.from_torch(wrong)
    with pytest.raises(InputError, match=r"parameters hold 'BatchNorm_0\.scale'"):
        Perceptron.from_flax({"BatchNorm_0": {"scale": [1.0]}})
    with pytest.raises(InputError, match="trains is 'last'"):
        Perceptron.from_arrays(WEIGHTS, trains="last")


def _jacobian(net):
    """[n o p] by forward differences of the whole, in another order than the library's."""
    flat, shaped = ravel_pytree(net.trained)
    return np.asarray(jax.jacfwd(lambda w: net.with_trained(shaped(w))(X))(flat))


def test_gram_run_observables_and_prediction_reach_it():
    net = Perceptron.from_arrays(WEIGHTS, BIASES, activation=networks.TANH)
    jacobian = _jacobian(net)
    gram = np.asarray(kernels.empirical_gram(net, X))
    np.testing.assert_allclose(gram, np.einsum("iap,jbp->ijab", jacobian, jacobian), rtol=1e-10, atol=1e-12)
    flat = jacobian.reshape(10, -1)
    lower, upper = kernels.smallest_eigenvalue(gram)
    assert lower <= np.linalg.eigvalsh(flat @ flat.T)[0] + 1e-13
    assert upper >= np.linalg.eigvalsh(flat @ flat.T)[0] - 1e-13
    config = local_sgd.LocalSGD(1e-5, 3, 4)
    names = ("layer_flip_fraction", "layer_frobenius_movement", "neuron_movement", "smallest_eigenvalue")
    run = local_sgd.run(net, DATA, SPLIT, config, observe=(*names, "flips_from_average"))
    assert all(np.isfinite(run.trajectory[name]).all() for name in run.trajectory)
    assert run.trajectory.layer_flip_fraction.shape == (5, 2)
    assert dict(run.trajectory.layer_frobenius_movement.sizes) == {"round": 5, "trained_array": 6}
    # So small a step keeps Θ: the relative error is that of its movement.
    residual = np.asarray(net(X)) - DATA.targets
    path = prediction.local_gd(*prediction.by_output(gram, SPLIT, residual), config)
    gained = run.trajectory.loss.values - run.trajectory.loss.values[0]
    np.testing.assert_allclose((path**2).sum(axis=1)[1:] / 2 - (path[0] ** 2).sum() / 2, gained[1:], rtol=1e-3)
    with pytest.raises(InputError, match="do not fit"):
        prediction.by_output(gram, SPLIT, residual[:, :1])


def test_shares_of_flips_count_every_layer_s_own_width():
    net = Perceptron.from_arrays(WEIGHTS, BIASES)
    other = net.with_trained(tuple(-w for w in net.trained))
    run = local_sgd.run(
        other, DATA, SPLIT, local_sgd.LocalSGD(1e-9, 1, 0), observe=("layer_flip_fraction",), reference=net
    )
    before, after = ([np.asarray(p) for p in each.activation_patterns(X)] for each in (net, other))
    expected = [np.mean(a != b) for a, b in zip(before, after, strict=True)]
    np.testing.assert_allclose(run.trajectory.layer_flip_fraction[0], expected)


def test_the_norm_of_a_bias_is_that_of_a_column():
    bias = jnp.asarray(BIASES[0])
    np.testing.assert_allclose(layer_spectral_norms((bias,)), [np.linalg.norm(BIASES[0])], rtol=1e-12)


def test_outputs_of_its_own_are_not_saved_as_those_of_its_arrays(tmp_path):
    class Doubled(networks.TwoLayerReLU):
        def __call__(self, x):
            return 2 * super().__call__(x)

    net = Doubled.init(jax.random.key(0), width=4, input_dim=3)
    with pytest.raises(InputError, match="net is a Doubled with outputs of its own"):
        networks.save_network(net, tmp_path / "net.npz")
    assert jnp.isfinite(net(X)).all()
