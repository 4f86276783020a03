"""The frozen network: its kernel, responses and derivatives against differences and the library's own Gram matrix."""

import flint
import numpy as np
import pytest

from ntk_localsgd import kernels
from ntk_localsgd.certificate.deep.frozen import Frozen, Weights
from ntk_localsgd.networks import DeepReLU
from tests.certificate.deep.walks import at, network, stepped


@pytest.fixture(scope="module", params=[1, 3])
def frozen(request):
    x, weights = network(0, depth=request.param)
    return x, weights, Frozen(weights, x)


def test_the_kernel_is_that_of_the_network(frozen):
    x, weights, found = frozen
    net = DeepReLU.from_arrays(weights.first, list(weights.hidden), weights.outputs[:1])
    assert np.allclose(found.gram, kernels.empirical_gram(net, x), rtol=1e-12)
    assert np.allclose(found.outputs, np.asarray(net(x)), rtol=1e-12)


def test_responses_are_derivatives_of_pre_activations_by_the_samples_weights(frozen):
    x, weights, found = frozen
    start, step = at(x, weights, weights.hidden), 1e-7
    for j in range(len(x)):
        end = at(x, weights, stepped(start, step * np.eye(len(x))[j]))
        assert np.allclose((end.pre - start.pre) / -step, found.response[:, :, j], atol=1e-5)
        assert np.allclose((end.lower - start.lower) / -step, found.bent[:, :, j], atol=1e-5)
        assert np.allclose((end.upper - start.upper) / -step, found.bent_upper[:, :, j], atol=1e-5)
        for layer in range(1, found.depth):
            change = (end.hidden[layer] - start.hidden[layer]) / -step
            assert np.allclose(change @ start.hidden[layer].T, found.hidden_rows[layer - 1][:, :, j], atol=1e-5)
        change = (end.lower - start.lower) / -step
        along = np.einsum("lij,lir,ljr->ij", found.hidden_products, change, start.lower)
        assert np.allclose(along, found.kernel_rows[:, :, j], atol=1e-5)


def test_free_slopes_are_halves_and_nothing_else_changes_the_signs(frozen):
    x, weights, found = frozen
    half = np.zeros_like(found.on)
    half[0, 0, :3] = True
    free = Frozen(weights, x, half)
    assert (free.slopes[0, 0, :3] == 0.5).all()
    assert (free.slopes == found.slopes)[~half].all()
    assert not np.allclose(free.gram, found.gram, rtol=1e-6)


def test_rounding_is_covered_exactly():
    flint.ctx.prec = 250
    x, weights = network(1, width=16, depth=2)
    found = Frozen(weights, x)
    exact = [flint.arb_mat(w.tolist()) for w in (weights.first, *weights.hidden)]

    def off(product, stored):
        return max(abs(float((product[r, 0] - flint.arb(v)).mid())) for r, v in enumerate(stored))

    for i, row in enumerate(x):
        h = exact[0] * flint.arb_mat([[v] for v in row.tolist()])
        stored = np.where(found.hidden[0][i] > 0, found.hidden[0][i], [float(h[r, 0].mid()) for r in range(16)])
        assert off(h, stored) <= found.forward_error[0, i]
        for layer in range(2):
            z = exact[layer + 1] * flint.arb_mat([[v] for v in found.hidden[layer][i].tolist()])
            assert off(z, found.pre[layer, i]) <= found.forward_error[layer + 1, i]
        c = exact[2].transpose() * flint.arb_mat([[v] for v in found.lower[1, i].tolist()])
        assert 0 < off(c, found.upper[0, i]) <= found.backward_error[0, i]
        # T of the last layer from its definition: γ^0 W_2 s_1 b_1 + γ^1 b_2 by what is stored of γ, s and b.
        for j in range(len(x)):
            inner = flint.arb_mat([[v] for v in (found.slopes[0, i] * found.lower[0, j]).tolist()])
            carried = exact[2] * inner * flint.arb(found.hidden_products[0, i, j])
            own, response = flint.arb(found.hidden_products[1, i, j]), found.response[1, i, j]
            whole = [carried[r, 0] + own * flint.arb(found.lower[1, j, r]) for r in range(16)]
            worst = max(abs(float((t - flint.arb(s)).mid())) for t, s in zip(whole, response, strict=True))
            assert worst <= found.response_error[1, i, j]


def test_the_outputs_error_covers_weights_that_cancel():
    x, weights = network(2, depth=2)
    weights = Weights.of(weights.first * 1e8, weights.hidden, weights.outputs * 1e-8)
    found = Frozen(weights, x)
    h = x.astype(np.longdouble) @ weights.first.T.astype(np.longdouble)
    for w in weights.hidden:
        h = np.maximum(h, 0) @ w.T.astype(np.longdouble)
    exact = (np.maximum(h, 0) * weights.outputs).sum(axis=1)
    assert (np.abs(exact - found.outputs) <= found.output_error).all()
