"""Norms that a certificate rests on are upper bounds, and sharp ones."""

import flint
import numpy as np
import pytest

from ntk_localsgd.certificate.rounding import largest_eigenvalue, spectral_norm


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (8, 5), (40, 40)])
@pytest.mark.parametrize("seed", range(5))
def test_spectral_norm_is_above_the_singular_value_and_close(shape, seed):
    matrix = np.random.default_rng(seed).standard_normal(shape)
    true = np.linalg.norm(matrix, 2)  # off by a few units of rounding
    assert true * (1 - 1e-13) <= spectral_norm(matrix) <= true * (1 + 1e-8)


def test_spectral_norm_of_zero_and_of_nearly_rank_one():
    assert spectral_norm(np.zeros((4, 4))) < 1e-100
    vector = np.arange(1.0, 30)
    nearly = np.outer(vector, vector) + 1e-14 * np.random.default_rng(0).standard_normal((29, 29))
    assert spectral_norm(nearly) >= float(vector @ vector) * (1 - 1e-13)


def test_largest_eigenvalue_against_ball_arithmetic():
    for seed in range(5):
        a = np.random.default_rng(seed).standard_normal((12, 12))
        a = (a + a.T) / 2
        balls = flint.arb_mat(a.tolist())
        values = flint.acb_mat(balls).eig(algorithm="rump")
        largest = max(values, key=lambda v: float(v.real)).real
        assert largest < largest_eigenvalue(a) + 1e-300
        assert largest_eigenvalue(a) - float(largest) < 1e-11
