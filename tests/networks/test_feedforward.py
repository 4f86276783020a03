"""Deep ReLU networks with biases: the product form against the layers, autodiff and exact arithmetic."""

from fractions import Fraction

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from ntk_localsgd.errors import InputError
from ntk_localsgd.networks import FeedforwardReLU, Stack
from ntk_localsgd.rounding import gamma


def random_network(rng, *, depth=None, whole=False, input_dim=None):
    """Layers of random sizes with biases; small whole numbers put many pre-activations on a kink."""
    depth = depth or int(rng.integers(1, 9))
    sizes = [input_dim or int(rng.integers(1, 7)), *rng.integers(1, 9, depth)]
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    if whole:
        return FeedforwardReLU([rng.integers(-2, 3, s) for s in shapes], [rng.integers(-1, 2, s[0]) for s in shapes])
    return FeedforwardReLU([rng.normal(size=s) for s in shapes], [rng.normal(size=s[0]) for s in shapes])


@hypothesis.given(st.integers(0, 2**32 - 1))
def test_product_form_is_the_network_within_the_stated_rounding(seed):
    rng = np.random.default_rng(seed)
    net = random_network(rng)
    x = rng.normal(size=(4, net.input_dim))
    maps = net.affine_maps(net.activation_patterns(x))
    assert (np.abs(maps(x) - net.layers(x)[-1]) <= maps.rounding_error(x)).all()
    # Both within half of it of the sum over paths in rational numbers.
    exact = np.array([[float(v) for v in _exact(net, row)] for row in x])
    half = maps.rounding_error(x) / 2 + np.abs(exact) * 2.0**-53
    assert (np.abs(maps(x) - exact) <= half).all()
    assert (np.abs(net.layers(x)[-1] - exact) <= half).all()


def _exact(net, row):
    """N_L in rational numbers with the activations that floating point found."""
    values = [Fraction(v) for v in row]
    for (w, b), active in zip(net.steps(), net.activation_patterns(row[None]), strict=True):
        sums = [
            sum((Fraction(v) * h for v, h in zip(r, values, strict=True)), Fraction(c))
            for r, c in zip(w, b, strict=True)
        ]
        values = [value if on else Fraction(0) for value, on in zip(sums, active[0], strict=True)]
    return values


def test_rounding_adds_moduli_where_terms_cancel():
    maps = FeedforwardReLU([[[1.0]]], [[-2.0]]).affine_maps([np.ones((1, 1), bool)])
    assert maps.rounding_error(np.array([[3.0]]))[0, 0] == pytest.approx(2 * gamma(4) * 5, rel=1e-8, abs=0)
    twice = FeedforwardReLU([[[1.0]], [[1.0]]], [[-2.0], [3.0]]).affine_maps([np.ones((1, 1), bool)] * 2)
    assert twice.rounding_error(np.array([[3.0]]))[0, 0] == pytest.approx(2 * gamma(6) * 8, rel=1e-8, abs=0)


@hypothesis.given(st.integers(0, 2**32 - 1))
def test_on_kinks_the_product_form_is_exact_with_either_convention(seed):
    rng = np.random.default_rng(seed)
    net = random_network(rng, whole=True, depth=4)
    x = rng.integers(-2, 3, (20, net.input_dim))
    hidden = net.layers(x)
    before = [h @ w.T + b for h, (w, b) in zip(hidden[:-1], net.steps(), strict=True)]
    for patterns in ([z > 0 for z in before], [z >= 0 for z in before]):
        np.testing.assert_array_equal(net.affine_maps(patterns)(x), hidden[-1])


def test_matrices_are_the_jacobian_and_outputs_those_of_a_stack():
    rng = np.random.default_rng(5)
    net = random_network(rng, depth=5, input_dim=3)
    x = rng.normal(size=(6, 3))

    def output(row):
        for w, b in net.steps():
            row = jnp.maximum(w @ row + b, 0)
        return row

    maps = net.affine_maps(net.activation_patterns(x))
    np.testing.assert_allclose(maps.matrices, jax.vmap(jax.jacobian(output))(x), rtol=1e-12, atol=1e-12)
    square = [rng.normal(size=(4, 3)), rng.normal(size=(4, 4))]
    stack = Stack.from_arrays(None, square, np.ones(4))
    np.testing.assert_allclose(FeedforwardReLU(square).layers(x)[-1].sum(axis=1), stack(x), rtol=1e-12)


def test_patterns_of_another_input_give_another_map():
    net = FeedforwardReLU([[[1.0], [-1.0]]])
    assert not np.array_equal(net.affine_maps(net.activation_patterns([[2.0]]))([[-2.0]]), net.layers([[-2.0]])[-1])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: FeedforwardReLU([]), "of 0 and 0 layers"),
        (lambda: FeedforwardReLU([[[1.0]], [[1.0]]], [[0.0]]), "of 2 and 1 layers"),
        (lambda: FeedforwardReLU([np.ones((2, 1)), np.ones((2, 3))]), r"layer 2 has weights \(2, 3\)"),
        (lambda: FeedforwardReLU([np.ones((2, 1))], [np.ones(3)]), r"biases \(3,\)"),
        (lambda: FeedforwardReLU([[[np.nan]]]), "weights of layer 1"),
        (lambda: FeedforwardReLU([[[1.0]]], [[np.inf]]), "biases of layer 1"),
        (lambda: FeedforwardReLU([[[1.0]]]).layers([[1.0, 2.0]]), "needs \\[n 1\\]"),
        (lambda: FeedforwardReLU([[[1.0]]]).affine_maps([np.ones((1, 2), bool)]), "patterns have shapes"),
        (lambda: FeedforwardReLU([[[1.0]]]).affine_maps([]), "patterns have shapes"),
    ],
)
def test_what_does_not_fit_gets_one_sentence(call, said):
    with pytest.raises(InputError, match=said):
        call()
