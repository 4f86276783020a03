"""Enclosures of the smallest eigenvalue against spectra known in advance and against ball arithmetic."""

import flint
import numpy as np
import pytest

from ntk_localsgd import kernels
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels import spectrum
from ntk_localsgd.kernels.spectrum import _cholesky_lower

U = np.finfo(np.float64).eps / 2


def _flint_smallest(a):
    """Ball around λ_min of the stored matrix: python-flint's enclosures of all eigenvalues, or signs of LDLᵀ pivots."""
    flint.ctx.prec = 300
    matrix = flint.arb_mat(len(a), len(a), [flint.arb(float(v)) for v in a.ravel()])
    return min((e.real for e in flint.acb_mat(matrix).eig(multiple=True)), key=lambda e: float(e.mid()))


def _has_eigenvalue_below(a, shift):
    """Whether A − shift·I has a negative pivot in exact rational LDLᵀ: whether λ_min < shift."""
    n = len(a)
    rows = [[flint.fmpq(*map(int, float(v).as_integer_ratio())) for v in row] for row in a]
    numerator, denominator = float(shift).as_integer_ratio()
    for i in range(n):
        rows[i][i] -= flint.fmpq(numerator, denominator)
    for k in range(n):
        if rows[k][k] <= 0:
            return True
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            for j in range(k, n):
                rows[i][j] -= factor * rows[k][j]
    return False


def _with_spectrum(values, seed=0):
    n = len(values)
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    a = (q * values) @ q.T
    return (a + a.T) / 2


@pytest.mark.parametrize("smallest", [1.0, 1e-3, 1e-8, 1e-12, 0.0])
@pytest.mark.parametrize("n", [2, 12])
def test_contains_the_smallest_eigenvalue_of_the_stored_matrix_exactly(n, smallest):
    a = _with_spectrum(np.append(smallest, np.linspace(1, 3, n - 1)))
    found = kernels.smallest_eigenvalue(a)
    assert not _has_eigenvalue_below(a, found.lower)
    assert _has_eigenvalue_below(a, np.nextafter(found.upper, np.inf))
    assert found.width <= 10 * n * U * np.trace(a)
    # Building the matrix rounds about n·u·‖A‖ per entry: the prescribed value is that near.
    assert found.lower - 20 * n * U * 3 <= smallest <= found.upper + 20 * n * U * 3


def test_contains_the_eigenvalues_of_200_random_gram_matrices():
    rng = np.random.default_rng(1)
    for k in range(200):
        n = int(rng.integers(1, 40))
        factor = rng.standard_normal((n, int(rng.integers(1, 2 * n + 1)))) * 10.0 ** rng.integers(-3, 4)
        a = factor @ factor.T
        a = (a + a.T) / 2
        found = kernels.smallest_eigenvalue(a)
        exact = _flint_smallest(a) if n > 1 else flint.arb(float(a[0, 0]))
        assert flint.arb(found.lower) <= exact, k
        assert exact <= flint.arb(found.upper), k
        assert found.width <= 10 * n * U * np.trace(a), k


def test_agrees_with_python_flint_at_one_hundred():
    a = _with_spectrum(np.linspace(0.01, 1, 100))
    found, exact = kernels.smallest_eigenvalue(a), _flint_smallest(a)
    assert flint.arb(found.lower) <= exact <= flint.arb(found.upper)


DEGENERATE = {
    "zero": np.zeros((3, 3)),
    "rank one": np.ones((30, 30)),
    "scalar": np.array([[2.5]]),
    "one tiny": np.diag([1.0, 1e-300, 1.0]),
    "identity": np.eye(2),
    "singular pair": np.diag([1.0, 0.0]),
    "huge scale": 1e150 * np.eye(4),
    "small scale": 1e-150 * np.eye(4),
}


@pytest.mark.parametrize("a", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_matrices_are_enclosed(a):
    found, truth = kernels.smallest_eigenvalue(a), (0.0 if len(a) == 30 else float(np.diagonal(a).min()))
    assert found.lower <= truth <= found.upper
    # The absolute term covers underflow: n² times the smallest normal number.
    assert found.width <= 10 * len(a) * U * np.trace(a) + 1e-300


def test_indefinite_matrices_are_enclosed():
    a = _with_spectrum(np.array([-2.0, -1.0, 0.5, 3.0]))
    found = kernels.smallest_eigenvalue(a)
    assert not _has_eigenvalue_below(a, found.lower)
    assert found.lower <= -2 + 1e-14 <= found.upper + 2e-14  # building the matrix rounds by about 1e-15


def test_large_matrix_is_no_wider_than_promised():
    n = 1500
    factor = np.random.default_rng(2).standard_normal((n, n + 50)) / np.sqrt(n)
    a = factor @ factor.T
    a = (a + a.T) / 2
    found = kernels.smallest_eigenvalue(a)
    assert 0 < found.lower < np.linalg.eigvalsh(a)[0] < found.upper
    assert found.width <= 10 * n * U * np.trace(a)


@pytest.fixture
def shift_and_invert(monkeypatch):
    """The route of large matrices at every size, and how often it gave an answer."""
    answers, route = [], spectrum._inverse_lanczos

    def counted(a):
        answers.append(route(a) is not None)
        return route(a)

    monkeypatch.setattr(spectrum, "_LARGE", 1)
    monkeypatch.setattr(spectrum, "_inverse_lanczos", counted)
    return answers


@pytest.mark.parametrize("smallest", [1.0, 1e-3, 1e-8])
def test_shift_and_invert_encloses_as_tightly(shift_and_invert, smallest):
    for n, rest in ((8, np.linspace(1, 3, 7)), (24, np.geomspace(1.001, 2, 23)), (24, np.ones(23))):
        a = _with_spectrum(np.append(smallest, rest))
        found = kernels.smallest_eigenvalue(a)
        assert not _has_eigenvalue_below(a, found.lower)
        assert _has_eigenvalue_below(a, np.nextafter(found.upper, np.inf))
        assert found.width <= 10 * n * U * np.trace(a)
    assert all(shift_and_invert)


def test_shift_and_invert_settles_in_a_dense_bulk(shift_and_invert):
    # The other eigenvalues begin a thousandth above the smallest: Lanczos steps without shifts would need hundreds.
    a = _with_spectrum(np.append(0.1, np.linspace(0.1001, 4, 299)))
    found = kernels.smallest_eigenvalue(a)
    assert found.lower < np.linalg.eigvalsh(a)[0] < found.upper
    assert found.width <= 10 * 300 * U * np.trace(a)
    assert shift_and_invert == [True]


@pytest.mark.parametrize("a", [_with_spectrum(np.array([-2.0, -1.0, 0.5, 3.0])), np.ones((30, 30)), np.zeros((3, 3))])
def test_without_a_positive_definite_matrix_shift_and_invert_leaves_it_to_lapack(shift_and_invert, a):
    found, smallest = kernels.smallest_eigenvalue(a), np.linalg.eigvalsh(a)[0]
    assert found.lower <= smallest + 1e-13
    assert found.upper >= smallest - 1e-13
    assert not any(shift_and_invert)


def test_an_approximate_eigenvalue_is_never_returned_as_a_bound():
    for seed in range(20):
        a = _with_spectrum(np.linspace(0.1, 1, 30), seed)
        approximate, found = np.linalg.eigvalsh(a)[0], kernels.smallest_eigenvalue(a)
        assert found.lower < approximate < found.upper


@pytest.mark.parametrize("seed", range(8))
def test_the_lower_bound_is_one_whatever_the_approximate_eigenvalue(seed):
    # A factorisation may complete although the shifted matrix is indefinite by less than its own rounding.
    a = _with_spectrum(np.array([0.1, 0.3, 0.6, 1.0, 1.0, 1.0]), seed)
    smallest = np.linalg.eigvalsh(a)[0]
    for off in np.arange(0, 60, 0.5) * U:
        assert not _has_eigenvalue_below(a, _cholesky_lower(a, smallest + off))


def test_the_lower_bound_is_one_for_a_factorisation_that_rounds_as_badly_as_it_may(monkeypatch):
    # Rump: that it completes proves λ_min ≥ −γ/(1 − γ)·trace of what it was given, γ = γ_{n+1}, and not more.
    values, accepted = np.array([0.1, 0.3, 0.6, 1.0, 1.0, 1.0]), []
    gamma = 7 * U / (1 - 7 * U)

    def completes(shifted):
        diagonal = np.diagonal(shifted)
        accepted.append(-gamma * diagonal.sum() <= diagonal.min() < 0)
        return accepted[-1] or diagonal.min() >= 0

    monkeypatch.setattr(spectrum, "_cholesky_completes", completes)
    for off in np.arange(0, 120, 0.5) * U:
        assert _cholesky_lower(np.diag(values), 0.1 + off) <= 0.1
    assert any(accepted)


def test_an_error_of_the_entries_widens_both_ends():
    a = _with_spectrum(np.array([0.5, 1.0, 2.0]))
    sharp, wide = kernels.smallest_eigenvalue(a), kernels.smallest_eigenvalue(a, error=0.25)
    assert wide.lower == pytest.approx(sharp.lower - 0.25, abs=1e-15)  # two roundings
    assert wide.upper == pytest.approx(sharp.upper + 0.25, abs=1e-15)


def test_a_slightly_asymmetric_matrix_is_enclosed_with_its_asymmetry():
    a = _with_spectrum(np.array([0.5, 1.0, 2.0]))
    skewed = a.copy()
    skewed[0, 1] += 1e-9
    found = kernels.smallest_eigenvalue(skewed)
    assert found.lower < 0.5 - 4e-10
    assert found.upper > 0.5 + 4e-10
    assert found.width < 1e-8


@pytest.mark.parametrize(
    ("a", "options", "named"),
    [
        (np.ones((2, 3)), {}, "shape"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), {}, "non-finite"),
        (np.array([[1.0, 0.5], [-0.5, 1.0]]), {}, "transpose"),
        (np.eye(2), {"error": -1.0}, "error"),
        (np.eye(2), {"error": np.nan}, "error"),
    ],
)
def test_bad_input_gets_one_sentence(a, options, named):
    with pytest.raises(InputError, match=named) as caught:
        kernels.smallest_eigenvalue(a, **options)
    assert "\n" not in str(caught.value)
