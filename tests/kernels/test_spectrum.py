"""Enclosures of the smallest eigenvalue against spectra known in advance and against ball arithmetic."""

import fractions

import flint
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_localsgd import kernels
from ntk_localsgd.errors import InputError
from ntk_localsgd.kernels import spectrum
from ntk_localsgd.kernels.extremes import Eigenpair
from tests.kernels.spectra import has_eigenvalue_below, with_spectrum

U = np.finfo(np.float64).eps / 2


def _flint_smallest(a):
    """Ball around λ_min of the stored matrix: python-flint's enclosures of all eigenvalues, or signs of LDLᵀ pivots."""
    flint.ctx.prec = 300
    matrix = flint.arb_mat(len(a), len(a), [flint.arb(float(v)) for v in a.ravel()])
    return min((e.real for e in flint.acb_mat(matrix).eig(multiple=True)), key=lambda e: float(e.mid()))


@pytest.mark.parametrize("smallest", [1.0, 1e-3, 1e-8, 1e-12, 0.0])
@pytest.mark.parametrize("n", [2, 12])
def test_contains_the_smallest_eigenvalue_of_the_stored_matrix_exactly(n, smallest):
    a = with_spectrum(np.append(smallest, np.linspace(1, 3, n - 1)))
    found = kernels.smallest_eigenvalue(a)
    assert not has_eigenvalue_below(a, found.lower)
    assert has_eigenvalue_below(a, np.nextafter(found.upper, np.inf))
    assert found.width <= 10 * n * U * np.trace(a)
    # Building the matrix rounds about n·u·‖A‖ per entry: the prescribed value is that near.
    assert found.lower - 20 * n * U * 3 <= smallest <= found.upper + 20 * n * U * 3


def test_contains_the_eigenvalues_of_random_gram_matrices():
    rng = np.random.default_rng(1)
    for k in range(100):
        n = int(rng.integers(1, 20))
        factor = rng.standard_normal((n, int(rng.integers(1, 2 * n + 1)))) * 10.0 ** rng.integers(-3, 4)
        a = factor @ factor.T
        a = (a + a.T) / 2
        found = kernels.smallest_eigenvalue(a)
        exact = _flint_smallest(a) if n > 1 else flint.arb(float(a[0, 0]))
        assert flint.arb(found.lower) <= exact, k
        assert exact <= flint.arb(found.upper), k
        assert found.width <= 10 * n * U * np.trace(a), k


def test_agrees_with_python_flint_at_fifty():
    a = with_spectrum(np.linspace(0.01, 1, 50))
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
    a = with_spectrum(np.array([-2.0, -1.0, 0.5, 3.0]))
    found = kernels.smallest_eigenvalue(a)
    assert not has_eigenvalue_below(a, found.lower)
    assert found.lower <= -2 + 1e-14 <= found.upper + 2e-14  # building the matrix rounds by about 1e-15


def test_large_matrix_is_no_wider_than_promised(monkeypatch):
    monkeypatch.setattr(spectrum, "LARGE", 300)
    n = 400
    factor = np.random.default_rng(2).standard_normal((n, n + 50)) / np.sqrt(n)
    a = factor @ factor.T
    a = (a + a.T) / 2
    found = kernels.smallest_eigenvalue(a)
    assert 0 < found.lower < np.linalg.eigvalsh(a)[0] < found.upper
    assert found.width <= 10 * n * U * np.trace(a)


def test_an_approximate_eigenvalue_is_never_returned_as_a_bound():
    for seed in range(20):
        a = with_spectrum(np.linspace(0.1, 1, 30), seed)
        approximate, found = np.linalg.eigvalsh(a)[0], kernels.smallest_eigenvalue(a)
        assert found.lower < approximate < found.upper


def test_an_error_of_the_entries_widens_both_ends():
    a = with_spectrum(np.array([0.5, 1.0, 2.0]))
    sharp, wide = kernels.smallest_eigenvalue(a), kernels.smallest_eigenvalue(a, error=0.25)
    assert wide.lower == pytest.approx(sharp.lower - 0.25, abs=1e-15)  # two roundings
    assert wide.upper == pytest.approx(sharp.upper + 0.25, abs=1e-15)


def test_a_slightly_asymmetric_matrix_is_enclosed_with_its_asymmetry():
    a = with_spectrum(np.array([0.5, 1.0, 2.0]))
    skewed = a.copy()
    skewed[0, 1] += 1e-9
    found = kernels.smallest_eigenvalue(skewed)
    assert found.lower < 0.5 - 4e-10
    assert found.upper > 0.5 + 4e-10
    assert found.width < 1e-8


@pytest.mark.parametrize("place", [(3, 1), (520, 2), (599, 598), (300, 299)])
def test_a_single_entry_that_differs_from_its_mirror_image_is_seen_wherever_it_is(place):
    a = np.eye(600)
    a[place] = 1e-6
    assert kernels.smallest_eigenvalue(a).width > 1e-6
    a[place[::-1]] = 1e-6
    assert kernels.smallest_eigenvalue(a).width < 1e-9


def test_a_cluster_of_tiny_eigenvalues_is_enclosed_as_tightly_as_documented(monkeypatch):
    monkeypatch.setattr(spectrum, "LARGE", 100)
    values = np.linspace(1, 2, 300)
    values[:40] = 3e-10 * np.linspace(1, 2, 40)
    a = with_spectrum(values)
    found = kernels.smallest_eigenvalue(a)
    assert found.lower < np.linalg.eigvalsh(a)[0] < found.upper
    assert found.width <= 10 * 300 * U * np.trace(a)


def test_what_shift_and_invert_leaves_too_wide_is_asked_of_lapack(monkeypatch):
    a = with_spectrum(np.linspace(0.1, 1, 30))
    blunt = Eigenpair(0.05, np.ones(30), 1.0)
    monkeypatch.setattr(spectrum, "LARGE", 1)
    monkeypatch.setattr(spectrum, "shift_and_invert", lambda _: blunt)
    found = kernels.smallest_eigenvalue(a)
    assert found.lower < np.linalg.eigvalsh(a)[0] < found.upper
    assert found.width <= 10 * 30 * U * np.trace(a)


@pytest.mark.parametrize("large", [1, 1000])
@pytest.mark.parametrize("exponent", [-1060, -700, 700, 1015])
def test_scales_near_the_ends_of_float64_change_nothing(monkeypatch, large, exponent):
    monkeypatch.setattr(spectrum, "LARGE", large)
    a = np.round(with_spectrum(np.linspace(1, 3, 12)) * 2**10) / 2**10  # so that 2^-1060 keeps every digit
    plain, scaled = kernels.smallest_eigenvalue(a), kernels.smallest_eigenvalue(np.ldexp(a, exponent))
    assert scaled.lower <= np.ldexp(plain.lower, exponent)
    assert scaled.upper >= np.ldexp(plain.upper, exponent)
    # One step of the grid of float64 beyond; the grid is 2^-1074 at its lower end.
    assert scaled.width <= np.ldexp(plain.width, exponent) + 4 * np.spacing(np.ldexp(3.0, exponent))
    norm = kernels.spectral_norm(np.ldexp(a, exponent))
    assert norm.lower <= np.ldexp(np.linalg.norm(a, 2), exponent) <= norm.upper


def test_a_huge_matrix_whose_small_entries_underflow_is_enclosed():
    found = kernels.smallest_eigenvalue(np.diag([2.0**1000, 2.0**-90]))  # over 2^1000, 2^-90 becomes 0
    assert found.lower <= 2.0**-90 <= found.upper < 1


def test_a_bound_for_another_precision_is_refused():
    a = with_spectrum(np.linspace(0.5, 1, 8)).astype(np.float32)
    a = (a + a.T) / 2
    with pytest.raises(InputError, match="float32") as caught:
        kernels.smallest_eigenvalue(jnp.asarray(a), error=1e-14)
    assert "\n" not in str(caught.value)
    assert kernels.smallest_eigenvalue(a, error=1e-5).width > 2e-5
    stored = kernels.smallest_eigenvalue(a)  # the matrix as it is stored
    assert not has_eigenvalue_below(a, stored.lower)


def test_numbers_that_float64_rounds_are_refused():
    for value in (2**62 + 1, np.longdouble(1) - np.longdouble(2.0**-60), fractions.Fraction(1, 3)):
        with pytest.raises(InputError, match="float64 rounds"):
            kernels.smallest_eigenvalue(np.array([[value]]))
    for value in (2**62, np.longdouble(1), fractions.Fraction(1, 4), 1):
        found = kernels.smallest_eigenvalue(np.array([[value]]))
        assert found.lower < value < found.upper


@pytest.mark.parametrize("large", [1, 1000])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (8, 5), (5, 8), (40, 40)])
@pytest.mark.parametrize("symmetric", [False, True])
def test_spectral_norm_encloses_the_largest_singular_value(monkeypatch, large, shape, symmetric):
    monkeypatch.setattr(spectrum, "LARGE", large)
    for seed in range(3):
        a = np.random.default_rng(seed).standard_normal(shape)
        a = a + a.T if symmetric and shape[0] == shape[1] else a
        flint.ctx.prec = 200
        balls = flint.arb_mat(a.tolist())
        values = flint.acb_mat(balls.transpose() * balls if shape[0] >= shape[1] else balls * balls.transpose())
        exact = max((e.real for e in values.eig(multiple=True)), key=lambda e: float(e.mid())).sqrt()
        found = kernels.spectral_norm(a)
        assert flint.arb(found.lower) <= exact <= flint.arb(found.upper)
        assert found.width <= (1e-8 if large == 1 else 1e-12) * found.upper


def test_spectral_norm_counts_the_rounding_of_the_product():
    # ‖A‖² of one column is 64 + 2^-40. Whatever the order of a product's sum, in lanes and blocks, most of its summands
    # 2^-58 are lost against a sum of at least one, and with them up to 128 units of rounding.
    column = np.append(np.ones(64), np.full(2**18, 2.0**-29))[:, None]
    exact = fractions.Fraction(64) + fractions.Fraction(1, 2**40)
    assert float((column.T @ column)[0, 0]) < 64 * (1 + 100 * U)
    found = kernels.spectral_norm(column)
    assert fractions.Fraction(found.lower) ** 2 <= exact <= fractions.Fraction(found.upper) ** 2


def test_spectral_norm_of_an_indefinite_matrix_is_its_negative_end():
    for values in ([-2.0, 1.0, 1.5], [-1.0, 1.0, 1.5]):
        found = kernels.spectral_norm(with_spectrum(np.array(values)))
        assert found.lower <= max(map(abs, values)) + 1e-14
        assert found.upper >= max(map(abs, values)) - 1e-14


def test_spectral_norm_proves_both_ends(monkeypatch):
    # A guess that misses the farther end, -2: the factorisation of (λ + ε)·I + A must find it.
    a = np.diag([-2.0, 1.0, 1.5])
    monkeypatch.setattr(spectrum, "LARGE", 1)
    monkeypatch.setattr(spectrum, "lanczos", lambda *_, **__: Eigenpair(1.5, np.eye(3)[2], 0.0))
    assert kernels.spectral_norm(a).upper >= 2


def test_spectral_norm_falls_back_where_lanczos_steps_do_not_settle(monkeypatch):
    monkeypatch.setattr(spectrum, "LARGE", 1)
    monkeypatch.setattr(spectrum, "lanczos", lambda *_, **__: Eigenpair(1.0, np.ones(30), 0.1))
    a = np.random.default_rng(0).standard_normal((30, 30))
    found = kernels.spectral_norm(a)
    assert found.lower <= np.linalg.norm(a, 2) * (1 + 1e-13)
    assert found.width < 1e-11 * found.upper


def test_spectral_norm_of_nothing():
    assert kernels.spectral_norm(np.zeros((4, 3))) == (0, 0)
    with pytest.raises(InputError, match="complex"):
        kernels.spectral_norm(1j * np.eye(2))


@pytest.mark.parametrize(
    ("a", "options", "named"),
    [
        (np.ones((2, 3)), {}, "shape"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), {}, "finite"),
        (np.array([[1.0, 0.5], [-0.5, 1.0]]), {}, "transpose"),
        (np.eye(2), {"error": -1.0}, "error"),
        (np.eye(2), {"error": np.nan}, "error"),
        (np.eye(2), {"error": None}, "error"),
        (np.eye(2), {"error": np.ones(2)}, "error"),
        (np.ones(3), {}, "shape"),
        (np.zeros((0, 0)), {}, "shape"),
        (np.array([[1, 0.5j], [-0.5j, 1]]), {}, "complex"),
        (np.ma.masked_equal(np.eye(2), 0), {}, "masked"),
    ],
)
def test_bad_input_gets_one_sentence(a, options, named):
    with pytest.raises(InputError, match=named) as caught:
        kernels.smallest_eigenvalue(a, **options)
    assert "\n" not in str(caught.value)
