"""H^∞ by three routes and by ball arithmetic."""

import flint
import jax
import numpy as np
import pytest
import scipy.stats

from ntk_localsgd import datasets, kernels
from ntk_localsgd.errors import InputError

U = np.finfo(np.float64).eps / 2


def _exact(x):
    """H^∞ of the directions of the stored rows in 200-bit ball arithmetic, as arb numbers."""
    flint.ctx.prec = 200
    rows = [[flint.arb(float(v)) for v in row] for row in x]
    dot = lambda a, b: sum((p * q for p, q in zip(a, b, strict=True)), flint.arb(0))  # noqa: E731
    norms = [dot(r, r).sqrt() for r in rows]
    gram = []
    for i, a in enumerate(rows):
        gram.append([])
        for j, b in enumerate(rows):
            minus = [p / norms[i] - q / norms[j] for p, q in zip(a, b, strict=True)]
            plus = [p / norms[i] + q / norms[j] for p, q in zip(a, b, strict=True)]
            angle = 2 * flint.arb.atan2(dot(minus, minus).sqrt(), dot(plus, plus).sqrt()) if i != j else flint.arb(0)
            gram[-1].append(dot(a, b) / norms[i] / norms[j] * (flint.arb.pi() - angle) / (2 * flint.arb.pi()))
    return gram


def _near_pairs():
    """Random rows, two of them 1e-9 apart, two of them 1e-9 from opposite."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 12))
    x[1] = x[0] / np.linalg.norm(x[0]) + 1e-9 * rng.standard_normal(12)
    x[3] = -x[2] / np.linalg.norm(x[2]) + 1e-9 * rng.standard_normal(12)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize(
    "x", [_near_pairs(), np.array(datasets.digits(12, key=jax.random.key(1)).inputs)], ids=["near", "digits"]
)
def test_entries_are_within_the_stated_rounding_error_of_ball_arithmetic(x):
    gram, exact = kernels.infinite_gram(x), _exact(x)
    stated = (x.shape[1] + 12) * U
    errors = [abs(flint.arb(float(gram[i, j])) - exact[i][j]).upper() for i in range(len(x)) for j in range(len(x))]
    assert max(float(error) for error in errors) <= stated


def test_stated_error_of_the_matrix_covers_every_pattern_of_errors_of_entries():
    n, d = 9, 12
    entries = np.full((n, n), (d + 12) * U)  # all errors of one sign have the largest spectral norm
    assert kernels.infinite_gram_error(n, d) >= np.linalg.norm(entries, 2) * (1 - 1e-12)


def test_formula_and_neural_tangents_agree_off_the_diagonal():
    x = datasets.digits(40, classes=(3, 8), key=jax.random.key(0)).inputs
    ours, theirs = kernels.infinite_gram(x), kernels.infinite_gram_neural_tangents(x)
    off = ~np.eye(len(x), dtype=bool)
    # Both round; neural-tangents takes the arccos of numbers up to 0.98 here, which amplifies rounding fivefold.
    np.testing.assert_allclose(theirs[off], ours[off], rtol=0, atol=1e-12)


def test_diagonal_is_exactly_a_half_where_neural_tangents_is_not():
    x = datasets.digits(40, classes=(3, 8), key=jax.random.key(0)).inputs
    assert (np.diagonal(kernels.infinite_gram(x)) == 0.5).all()
    # neural-tangents computes arccos(1 − rounding) ≈ √(2·rounding) ≈ 1e-8 on the diagonal instead of 0.
    gap = np.abs(np.diagonal(kernels.infinite_gram_neural_tangents(x)) - 0.5).max()
    assert 1e-10 < gap < 1e-7


def test_monte_carlo_over_neurons_agrees_within_its_own_interval():
    x = datasets.sphere(jax.random.key(0), 6, 10).inputs
    neurons, level = 100_000, 0.999
    active = np.random.default_rng(0).standard_normal((neurons, 10)) @ x.T >= 0
    gram, inner, pairs = kernels.infinite_gram(x), x @ x.T, [(i, j) for i in range(6) for j in range(i)]
    for i, j in pairs:  # joint level 99.9% over 15 pairs (Bonferroni)
        test = scipy.stats.binomtest(int((active[:, i] & active[:, j]).sum()), neurons)
        low, high = np.sort(inner[i, j] * np.array(test.proportion_ci(1 - (1 - level) / len(pairs), method="exact")))
        assert low <= gram[i, j] <= high


def test_repeated_and_opposite_rows_have_their_exact_values():
    gram = kernels.infinite_gram(np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]))
    # Both half-spaces agree; they only share a boundary; they are independent and orthogonal.
    assert gram[0, 1] == 0.5
    assert gram[0, 2] == 0.0
    assert gram[0, 3] == 0.0


def test_result_is_exactly_symmetric():
    gram = kernels.infinite_gram(datasets.sphere(jax.random.key(3), 70, 50).inputs)
    np.testing.assert_array_equal(gram, gram.T)


def test_rows_that_are_not_of_unit_norm_are_refused_by_number():
    with pytest.raises(InputError, match="row 1 has norm 2"):
        kernels.infinite_gram(np.array([[1.0, 0.0], [0.0, 2.0]]))
