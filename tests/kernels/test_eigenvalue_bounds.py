"""Bounds on the smallest eigenvalue that hold whatever guess they start from."""

import numpy as np
import pytest

from ntk_localsgd.kernels import eigenvalue_bounds
from ntk_localsgd.kernels.eigenvalue_bounds import cholesky_lower_bound, rayleigh_upper_bound
from ntk_localsgd.kernels.packed import Factor
from tests.kernels.spectra import has_eigenvalue_below, with_spectrum

U = np.finfo(np.float64).eps / 2


@pytest.mark.parametrize("seed", range(8))
def test_the_lower_bound_is_one_whatever_the_approximate_eigenvalue(seed):
    # A factorisation may complete although the shifted matrix is indefinite by less than its own rounding.
    a = with_spectrum(np.array([0.1, 0.3, 0.6, 1.0, 1.0, 1.0]), seed)
    smallest = np.linalg.eigvalsh(a)[0]
    for off in np.arange(0, 60, 0.5) * U:
        assert not has_eigenvalue_below(a, cholesky_lower_bound(a, smallest + off))


def test_the_lower_bound_is_one_for_a_factorisation_that_rounds_as_badly_as_it_may(monkeypatch):
    # Rump: that it completes proves λ_min ≥ −γ/(1 − γ)·trace of what it was given, γ = γ_{n+1}, and not more.
    values, accepted = np.array([0.1, 0.3, 0.6, 1.0, 1.0, 1.0]), []
    gamma = 7 * U / (1 - 7 * U)

    def completes(a, shift):
        diagonal = np.diagonal(a) - shift
        accepted.append(-gamma * diagonal.sum() <= diagonal.min() < 0)
        return Factor(len(a), diagonal) if accepted[-1] or diagonal.min() >= 0 else None

    monkeypatch.setattr(eigenvalue_bounds, "shifted_factor", completes)
    for off in np.arange(0, 120, 0.5) * U:
        assert cholesky_lower_bound(np.diag(values), 0.1 + off) <= 0.1
    assert any(accepted)


@pytest.mark.parametrize("seed", range(8))
def test_the_upper_bound_is_one_for_any_vector(seed):
    a = with_spectrum(np.array([0.1, 0.1, 0.1, 1.0]), seed)
    for v in (np.linalg.eigh(a)[1][:, 0], np.ones(4), np.eye(4)[0]):
        assert has_eigenvalue_below(a, np.nextafter(rayleigh_upper_bound(a, v), np.inf))


def test_a_guess_above_an_indefinite_spectrum_steps_back_until_it_holds():
    a = with_spectrum(np.array([-2.0, -1.0, 0.5, 3.0]))
    assert -7 < cholesky_lower_bound(a, 3.0) <= -2 + 1e-14
    assert cholesky_lower_bound(a, -1.9, uncertainty=0.11) > -2.02
