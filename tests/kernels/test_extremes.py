"""Approximate extreme eigenvalues against LAPACK, and where each route gives up."""

import tracemalloc
from functools import partial

import numpy as np
import pytest

from ntk_localsgd.kernels import extremes
from ntk_localsgd.kernels.extremes import lanczos, lapack_extreme, shift_and_invert
from tests.kernels.spectra import with_spectrum

U = np.finfo(np.float64).eps / 2


def _rayleigh(a, vector):
    return vector @ a @ vector / (vector @ vector)


@pytest.mark.parametrize("smallest", [1.0, 1e-3, 1e-8, -0.5])
@pytest.mark.parametrize("rest", [np.linspace(1, 3, 7), np.geomspace(1.001, 2, 23), np.ones(23)], ids=len)
def test_shift_and_invert_is_as_accurate_as_lapack(smallest, rest):
    a = with_spectrum(np.append(smallest, rest))
    pair, n = shift_and_invert(a), len(a)
    expected = lapack_extreme(a).value
    assert abs(pair.value - expected) <= n * U * np.trace(a)
    assert abs(_rayleigh(a, pair.vector) - expected) <= n * U * np.trace(a)


def test_shift_and_invert_settles_in_a_dense_bulk():
    # The other eigenvalues begin a thousandth above the smallest: Lanczos steps without shifts would need hundreds.
    a = with_spectrum(np.append(0.1, np.linspace(0.1001, 4, 299)))
    assert abs(shift_and_invert(a).value - lapack_extreme(a).value) <= 300 * U * np.trace(a)


def test_a_cluster_far_below_the_rest_leaves_no_trace_of_the_rest_in_the_vector():
    # The residual of the inverse is small beside 1/λ_min; of the rest it leaves 10⁻⁴, 10⁻⁸ in the quotient.
    values = np.linspace(20, 40, 200)
    values[:30] = 3e-10 * np.linspace(1, 2, 30)
    a = with_spectrum(values)
    pair = shift_and_invert(a)
    assert _rayleigh(a, pair.vector) < 4e-10


@pytest.mark.parametrize(
    "a", [np.ones((30, 30)), with_spectrum(np.repeat([0.0, 1.0], [10, 20]))], ids=["ones", "projection"]
)
def test_singular_matrices_settle_too(a):
    pair = shift_and_invert(a)
    assert pair is None or abs(_rayleigh(a, pair.vector)) < 1e-12


def test_nothing_settles_for_nothing():
    assert shift_and_invert(np.zeros((3, 3))) is None


@pytest.mark.parametrize("exponent", [-250, -134, -129, -61, 61, 120, 250])
def test_matrices_near_the_ends_of_float32_s_range_settle_in_float64(exponent):
    # At 2⁻¹³⁴ their inverse is no number in float32.
    a = np.diag([32768.0, 1, 64, 32768, 16384, 512, 128, 8192])
    pair = shift_and_invert(np.ldexp(a, exponent))
    assert np.ldexp(pair.value, -exponent) == pytest.approx(1, rel=1e-10)


@pytest.mark.parametrize("values", [[-3.0, 1.0, 2.0, 2.5], [-1.0, 0.0, 1.0, 4.0]])
def test_lanczos_converges_to_the_eigenvalue_of_largest_modulus_or_the_smallest(values):
    a, start = with_spectrum(np.array(values)), np.random.default_rng(0).standard_normal(4)
    for smallest, expected in ((False, max(values, key=abs)), (True, min(values))):
        pair = lanczos(partial(np.matmul, a), start, 40, smallest=smallest)
        assert pair.value == pytest.approx(expected, rel=1e-13)  # all four steps: only roundings are left
        assert np.linalg.norm(a @ pair.vector - pair.value * pair.vector) < 1e-13


def test_lanczos_ends_at_the_tolerance_asked_for():
    a, start = with_spectrum(np.append(np.linspace(0, 1, 199), 1.5)), np.random.default_rng(0).standard_normal(200)
    products = []

    def near(pair):
        return pair.residual <= 1e-6 * pair.value

    pair = lanczos(lambda v: products.append(1) or a @ v, start, 200, settled=near)
    assert len(products) < 60
    residual = np.linalg.norm(a @ pair.vector - pair.value * pair.vector)
    assert residual <= 1.01e-6 * 1.5
    assert residual == pytest.approx(pair.residual, rel=1e-3)


def test_clusters_on_which_lapack_gives_up_have_ends_too():
    # I − t·(0.98·11ᵀ + 0.02·I), squared: all eigenvalues but one agree to rounding. At some t syevr returns nothing.
    for n in (20, 40):
        for share in np.linspace(0.5, 1.5, 40) / n:
            a = np.eye(n) - share * (0.98 * np.ones((n, n)) + 0.02 * np.eye(n))
            a = a @ a
            for largest, place in ((True, n - 1), (False, 0)):
                expected = np.linalg.eigvalsh(a)[place]
                assert abs(lapack_extreme(a, largest=largest).value - expected) <= n * U * np.trace(a)


def test_a_shift_needs_three_quarters_of_the_matrix_s_memory():
    a = with_spectrum(np.append(0.1, np.linspace(0.1001, 4, 699)))
    tracemalloc.start()
    try:
        assert shift_and_invert(a) is not None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.5 * a.nbytes < peak < 0.75 * a.nbytes + 64 * 8 * 700  # Lanczos steps' vectors


@pytest.mark.parametrize(("gap", "in_float64"), [(0.05, 0), (1e-6, 1)])
def test_a_factor_in_float32_suffices_where_the_gap_is_wide(monkeypatch, gap, in_float64):
    a = with_spectrum(np.append(0.1, np.linspace(0.1 + gap, 4, 299)))
    dtypes = []
    own = extremes.shifted_factor
    monkeypatch.setattr(extremes, "shifted_factor", lambda *given: dtypes.append(given[2:]) or own(*given))
    pair = extremes.shift_and_invert(a)
    assert [bool(dtype) for dtype in dtypes] == [True] + [False] * in_float64
    assert abs(pair.value - lapack_extreme(a).value) <= 300 * U * np.trace(a)
