"""yᵀA⁻¹y: the enclosure holds the exact number, that of every matrix within the error, and refuses singular ones."""

import flint
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from ntk_localsgd import datasets, kernels
from ntk_localsgd.errors import InputError
from tests.kernels.spectra import with_spectrum

U = 2.0**-53


def _exact(a, y):
    """By rational arithmetic."""
    number = lambda v: flint.fmpq(*map(int, float(v).as_integer_ratio()))  # noqa: E731
    matrix = flint.fmpq_mat([[number(v) for v in row] for row in a.tolist()])
    right = flint.fmpq_mat([[number(v)] for v in y.tolist()])
    return (right.transpose() * matrix.solve(right))[0, 0]


def _inside(enclosure, value):
    low, high = (flint.fmpq(*map(int, end.as_integer_ratio())) for end in enclosure)
    return low <= value <= high


@given(st.integers(1, 12), st.floats(-9, 0), st.floats(-3, 3), st.integers(0, 10**6))
def test_the_exact_form_is_inside_and_the_width_as_said(n, smallest, scale, seed):
    a = with_spectrum(np.geomspace(10**smallest, 1, n), seed) * 10**scale
    y = np.random.default_rng(seed).standard_normal(n)
    form = kernels.inverse_quadratic_form(a, y)
    assert _inside(form, _exact(a, y))
    z = np.linalg.solve(a, y)
    assert form.width <= 60 * n * U * (np.linalg.norm(a, 2) * (z @ z) + np.abs(y) @ np.abs(z))


@given(st.integers(2, 8), st.integers(0, 10**6), st.sampled_from([1.0, -1.0]))
def test_every_matrix_within_the_error_is_covered_and_the_worst_is_near_the_end(n, seed, sign):
    generator = np.random.default_rng(seed)
    a, y = with_spectrum(generator.uniform(0.5, 2, n), seed), generator.standard_normal(n)
    z = np.linalg.solve(a, y)
    error, form = 1e-6, kernels.inverse_quadratic_form(a, y, error=1e-6)
    worst = sign * np.outer(z, z) / (z @ z) * error * (1 - 1e-9)
    value = _exact(a + (worst + worst.T) / 2, y)
    assert _inside(form, value)
    assert abs(float(value.p) / float(value.q) - y @ z) > 0.4 * form.width  # half of the width is on either side


def test_of_the_kernel_of_real_data_it_is_narrow_and_the_solver_s_number_is_in_it():
    import jax

    data = datasets.digits(60, classes=(3, 8), key=jax.random.key(0))
    gram, error = kernels.infinite_gram(data.inputs), kernels.infinite_gram_error(60, 64)
    form = kernels.inverse_quadratic_form(gram, data.targets, error=error)
    assert form.lower < data.targets @ np.linalg.solve(gram, data.targets) < form.upper
    assert form.width < 1e-8 * form.upper


def test_whatever_the_solver_says_the_exact_form_is_inside(monkeypatch):
    a, y = with_spectrum(np.geomspace(0.1, 1, 5), 3), np.random.default_rng(3).standard_normal(5)
    solve = scipy.linalg.solve
    monkeypatch.setattr(scipy.linalg, "solve", lambda *args, **options: 1.0001 * solve(*args, **options))
    form = kernels.inverse_quadratic_form(a, y)
    assert _inside(form, _exact(a, y))
    assert form.width < 1e-5 * form.upper  # the square of 1e-4 by the condition 10


def test_singular_matrices_and_wrong_shapes_are_refused_in_a_sentence():
    with pytest.raises(InputError, match="singular as far as float64 can tell"):
        kernels.inverse_quadratic_form(np.ones((2, 2)), [1, -1])
    with pytest.raises(InputError, match="singular"):
        kernels.inverse_quadratic_form(np.eye(2), [1, -1], error=1.0)
    with pytest.raises(InputError, match="y has 3 entries"):
        kernels.inverse_quadratic_form(np.eye(2), [1, -1, 2])
