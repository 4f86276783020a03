"""The proof of an interpolant: each bound covers what it bounds, and the zero is where it says, by other routes."""

import dataclasses
import math

import flint
import mpmath
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from ntk_localsgd import kernels
from ntk_localsgd.errors import InputError
from ntk_localsgd.interpolation import Shallow, fit, proof, prove
from ntk_localsgd.interpolation.balls import enclosed
from ntk_localsgd.networks import TANH, Smooth
from tests.interpolation.cases import ACTIVATIONS, data, exact_jacobian, exact_residual, network

by_name = pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)


@pytest.fixture(autouse=True)
def _digits():
    with mpmath.workdps(50):
        yield


def _fitted(n, d, activation, seed=0):
    x, y = data(n, d, seed)
    return fit(network(n, d, activation, seed=seed + 1), x, y), x, y


@by_name
def test_the_residual_is_known_to_the_last_digit(activation):
    net, x, y = _fitted(5, 3, activation)
    residual, exact = enclosed(net, x, y), exact_residual(list(map(mpmath.mpf, net.parameters)), x, y, activation)
    norm = mpmath.norm(exact)
    assert norm <= residual.norm <= norm * (1 + mpmath.mpf(2) ** -50)
    np.testing.assert_allclose(residual.rounded, [float(r) for r in exact], rtol=1e-15)
    assert residual.value_error < 1e-15
    assert residual.slope_error < 1e-15


@dataclasses.dataclass(frozen=True)
class Sloppy(Smooth):
    """tanh by a library whose values and slopes are off by 1e-6 and 1e-5."""

    name: str = "tanh"

    def on_host(self, z):
        """σ and σ'."""
        value, slope = super().on_host(z)
        return value + 1e-6, slope - 1e-5


@pytest.mark.parametrize("activation", [*ACTIVATIONS, Sloppy()], ids=lambda a: type(a).__name__ + a.name)
def test_defect_and_jacobian_error_cover_the_exact_ones(activation):
    x, y = data(4, 3)
    net = network(4, 3, activation)
    claimed, residual = prove(net, x, y), enclosed(net, x, y)
    exact = exact_jacobian(list(map(mpmath.mpf, net.parameters)), x, activation)
    stored = net.jacobian(x)
    inverse = mpmath.matrix(np.linalg.pinv(stored).tolist())
    left = np.array((mpmath.eye(4) - exact * inverse).tolist(), float)
    error = np.linalg.norm(np.array((exact - mpmath.matrix(stored.tolist())).tolist(), float))
    bound = proof.jacobian_error(net, x, residual.value_error, residual.slope_error)
    assert error <= bound
    assert np.linalg.norm(left, 2) <= claimed.defect
    if isinstance(activation, Sloppy):
        assert error > bound / 3
        assert claimed.defect < 0.01


@by_name
def test_full_rank_is_proved_below_the_exact_singular_value(activation):
    net, x, y = _fitted(6, 3, activation)
    jacobian = net.jacobian(x)
    by_gram = kernels.smallest_eigenvalue(jacobian @ jacobian.T, error=1e-12).upper ** 0.5
    smallest = prove(net, x, y).smallest_singular
    assert 0.999 * by_gram < smallest <= by_gram


@given(st.integers(0, 10**6), st.sampled_from(ACTIVATIONS), st.floats(-6, 1.5))
def test_the_jacobian_moves_no_faster_than_its_lipschitz_constant(seed, activation, exponent):
    generator = np.random.default_rng(seed)
    x, net = data(5, 3, seed)[0], network(5, 3, activation, seed=seed)
    step = generator.standard_normal(net.parameters.size) * 10**exponent
    if seed % 2:  # all of it on one neuron, where the bound is nearest
        step[(np.arange(step.size) < 12) if seed % 3 else (np.arange(step.size) >= 12)] = 0
    other = Shallow.from_parameters(net.parameters + step, 3, activation)
    change = np.linalg.norm(other.jacobian(x) - net.jacobian(x), 2)
    assert change <= proof.lipschitz(net, x) * np.linalg.norm(step) + 1e-12


def test_the_lipschitz_constant_is_met_where_all_rows_are_one_and_the_readout_is_large():
    """‖ΔJ‖ = √n·v·|σ''|·δ at the most bent point of tanh, z = artanh(1/√3), beside √n·√(s₂²v² + 2s₁²)·δ, v = 100."""
    x = np.ones((4, 1))
    net = Shallow(np.full((1, 1), math.atanh(1 / math.sqrt(3))), np.full(1, 100.0), TANH)
    other = Shallow(net.weights + 1e-4, net.readout, TANH)
    change = np.linalg.norm(other.jacobian(x) - net.jacobian(x), 2)
    assert 0.95 < change / (proof.lipschitz(net, x) * 1e-4) <= 1


def test_a_network_that_fits_without_a_right_inverse_is_not_proved():
    x, _ = data(12, 2)
    net = network(12, 2, TANH, width=3)
    found = prove(net, x, net(x))
    assert found.residual < 1e-12
    assert not found.certified
    assert found.defect >= 1


def test_the_lipschitz_constant_survives_squares_that_underflow():
    x, readout = np.full((1, 1), 1e-165), np.full(1, 1e165)
    net = Shallow(np.full((1, 1), 0.7e165), readout)
    other = Shallow(net.weights + 1e160, readout)
    change = float(np.abs(other.jacobian(x) - net.jacobian(x)).max())
    assert 1e-7 < change <= proof.lipschitz(net, x) * 1e160 < 1e-4


def test_where_all_inputs_are_0_the_jacobian_is_the_same_anywhere():
    x, y = np.zeros((1, 2)), np.full(1, 0.69)
    same = prove(Shallow(np.ones((1, 2)), np.ones(1), Smooth("softplus")), x, y)
    assert same.certified
    assert (same.lipschitz, same.rank_radius) == (0, np.inf)
    assert prove(Shallow(np.ones((1, 2)), np.ones(1)), x, y).rank_radius == 0


@by_name
@pytest.mark.parametrize("share", [0.0, 0.99])
def test_newton_in_fifty_digits_finds_the_zero_within_the_radius(activation, share):
    net, x, y = _fitted(4, 2, activation, seed=3)
    near = prove(net, x, y)
    # Targets so far away that 2ωα is nearly ½.
    y = y + share * near.residual / (4 * near.omega * near.alpha) * np.array([0.5, -0.5, 0.5, 0.5])
    claimed = prove(net, x, y)
    assert claimed.certified
    assert 2 * claimed.omega * claimed.alpha + claimed.defect > 0.49 or claimed.radius < 1e-12
    start = mpmath.matrix(net.parameters.tolist())
    directions = mpmath.matrix(np.linalg.pinv(net.jacobian(x)).tolist())
    u = mpmath.zeros(4, 1)
    for _ in range(7):
        here = start + directions * u
        slope = exact_jacobian(list(here), x, activation) * directions
        u -= mpmath.lu_solve(slope, mpmath.matrix(exact_residual(list(here), x, y, activation)))
    assert mpmath.norm(exact_residual(list(start + directions * u), x, y, activation)) < 1e-40
    assert mpmath.norm(directions * u) <= claimed.radius


def test_krawczyk_s_interval_operator_proves_a_zero_of_the_same_case():
    net, x, y = _fitted(3, 2, TANH, seed=1)
    assert prove(net, x, y).certified
    jacobian = net.jacobian(x)
    free = scipy.linalg.qr(jacobian, pivoting=True)[2][:3]  # all other weights stay as they are
    radius, inverse = 1e-10, np.linalg.inv(jacobian[:, free])
    with flint.ctx.workprec(200):
        ball = [flint.arb(v, radius if k in free else 0) for k, v in enumerate(net.parameters.tolist())]
        values = _balls(ball, x)
        slopes = flint.arb_mat([[row[k] for k in free] for row in values[1]])
        at = _balls([flint.arb(v) for v in net.parameters.tolist()], x)[0]
        residual = flint.arb_mat([[value - float(target)] for value, target in zip(at, y, strict=True)])
        c = flint.arb_mat(inverse.tolist())
        identity = flint.arb_mat([[float(i == j) for j in range(3)] for i in range(3)])
        box = flint.arb_mat([[flint.arb(0, radius)]] * 3)
        moved = -(c * residual) + (identity - c * slopes) * box
        assert all(box[i, 0].contains_interior(moved[i, 0]) for i in range(3))


def _balls(parameters, x):
    """Outputs and Jacobian of a tanh network in ball arithmetic, from its definition."""
    d = x.shape[1]
    m = len(parameters) // (d + 1)
    outputs, jacobian = [], []
    for row in x.tolist():
        z = [sum((parameters[r * d + k] * row[k] for k in range(d)), flint.arb(0)) for r in range(m)]
        v, t = parameters[m * d :], [value.tanh() for value in z]
        outputs.append(sum((v[r] * t[r] for r in range(m)), flint.arb(0)))
        jacobian.append([v[r] * (1 - t[r] * t[r]) * row[k] for r in range(m) for k in range(d)] + t)
    return outputs, jacobian


def test_alpha_is_the_product_of_norms_and_not_the_norm_of_the_product():
    # r(θ) = J̃θ + r̃ is linear, so that ω = 0. With α = ‖A r̃‖ the zero would have to lie within 2, and lies at 30.
    inverse, defect, residual = np.diag([1.0, 100.0]), np.array([[0, 0], [0.3, 0]]), np.array([1.0, 0])
    jacobian = (np.eye(2) - defect) @ np.linalg.inv(inverse)
    zero = inverse @ np.linalg.solve(jacobian @ inverse, -residual)
    np.testing.assert_allclose(jacobian @ zero + residual, 0, atol=1e-15)
    assert np.linalg.norm(defect, 2) == pytest.approx(0.3)
    assert np.linalg.norm(zero) > 10 * 2 * np.linalg.norm(inverse @ residual)
    assert np.linalg.norm(zero) <= 2 * np.linalg.norm(inverse, 2) * np.linalg.norm(residual)


@by_name
def test_nothing_is_proved_where_there_is_nothing(activation):
    x, y = data(12, 2)
    narrow = prove(fit(network(12, 2, activation, width=3), x, y), x, y)
    assert not narrow.certified
    assert narrow.defect >= 1
    assert narrow.smallest_singular == 0
    assert "full row rank" in str(narrow)
    far = prove(network(12, 2, activation), x, y)
    assert not far.certified
    assert far.smallest_singular > 0
    assert "exceeds ½" in str(far)
    twins = Shallow(np.ones((12, 2)), np.ones(12), activation)  # every neuron the same
    assert not prove(twins, x, y).smallest_singular > 0


def test_an_odd_network_cannot_fit_opposite_points_and_that_is_not_proved():
    x, y = data(4, 4)
    x[1], y[:2] = -x[0], 1
    assert not prove(fit(network(4, 4, TANH, width=6), x, y), x, y).certified


def test_shapes_and_sizes_are_refused_in_a_sentence():
    x, y = data(4, 2)
    with pytest.raises(InputError, match="have shapes"):
        prove(network(4, 3, TANH), x, y)
    with pytest.raises(InputError, match="have shapes"):
        fit(network(4, 2, TANH), x, y[:3])


def test_a_residual_of_nothing_but_rounding_has_a_norm():
    generator = np.random.default_rng(0)
    net = Shallow.mirrored(generator, width=8, input_dim=4)  # f = 0: balls of residuals contain 0
    found = enclosed(net, generator.standard_normal((5, 4)), np.zeros(5))
    assert 0 <= found.norm < 1e-30


def test_numbers_beyond_balls_are_refused_with_what_to_do():
    generator = np.random.default_rng(0)
    net = Shallow.init(generator, width=4, input_dim=3, activation=Smooth("softplus"))
    with pytest.raises(
        InputError, match=r"inputs of neurons reach .*e\+110 .*: scale rows to norm 1 and divide targets"
    ):
        enclosed(net, 1e110 * generator.standard_normal((5, 3)), np.ones(5))


def test_targets_without_squares_are_refused():
    generator = np.random.default_rng(0)
    net = Shallow.init(generator, width=4, input_dim=3)
    with pytest.raises(InputError, match=r"y reaches 1e\+160, needs to be at most 1e\+140: divide"):
        fit(net, generator.standard_normal((5, 3)), np.full(5, 1e160))
