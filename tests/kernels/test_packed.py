"""Packed Cholesky factors against the matrices that they factorise."""

import numpy as np
import pytest
import scipy.linalg

from ntk_localsgd.kernels.packed import diagonal_places, shifted_factor
from tests.kernels.spectra import with_spectrum

SIZES = (1, 2, 3, 4, 7, 127, 128, 257, 300)


@pytest.mark.parametrize("n", SIZES)
def test_the_diagonal_is_where_lapack_has_it(n):
    packed, _ = scipy.linalg.lapack.dtrttf(np.diag(np.arange(1.0, n + 1)), transr="N", uplo="L")
    assert packed[diagonal_places(n)].tolist() == list(range(1, n + 1))


@pytest.mark.parametrize("n", SIZES)
def test_a_factor_is_lapack_s_own_and_solves(n):
    a, vector = with_spectrum(np.linspace(1, 3, n)), np.random.default_rng(n).standard_normal(n)
    before = a.copy()
    shifted, factor = a - 0.5 * np.eye(n), shifted_factor(a, 0.5)
    first, below, second = factor.blocks()
    expected, p = scipy.linalg.cholesky(shifted, lower=True), len(first)
    # Condition 5: entries of both factors are off by a small multiple of n·u.
    for block, own in (
        (np.tril(first), expected[:p, :p]),
        (below, expected[p:, :p]),
        (np.triu(second).T, expected[p:, p:]),
    ):
        np.testing.assert_allclose(block, own, rtol=0, atol=1e-13)
    np.testing.assert_allclose(shifted @ factor.solve(vector), vector, atol=1e-13 * n)
    rough = shifted_factor(a, 0.5, np.float32)
    np.testing.assert_allclose(shifted @ rough.solve(vector), vector, atol=1e-5 * n)
    np.testing.assert_array_equal(a, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_positive_pivot_no_factor(dtype):
    a = with_spectrum(np.linspace(1, 3, 40))
    assert shifted_factor(a, 0.99, dtype) is not None
    assert shifted_factor(a, 1.01, dtype) is None


def test_what_float32_cannot_hold_has_no_factor_there():
    assert shifted_factor(np.diag([1e60, 1e60]), 0.0, np.float32) is None
    assert shifted_factor(np.diag([1e-60, 1e-60]), 0.0, np.float32) is None
