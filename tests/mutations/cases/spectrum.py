"""Enclosures of eigenvalues and norms."""

from tests.mutations.mutation import Mutation

_DIR, _TESTS = "ntk_localsgd/kernels", "tests/kernels"
_BOUNDS, _EXTREMES = f"{_TESTS}/test_eigenvalue_bounds.py", f"{_TESTS}/test_extremes.py"
_SPECTRUM, _PACKED = f"{_TESTS}/test_spectrum.py", f"{_TESTS}/test_packed.py"

MUTATIONS = (
    Mutation(
        f"{_DIR}/eigenvalue_bounds.py",
        "return shift - slack - n * n * TINY",
        "return shift - n * n * TINY",
        "lower end: Cholesky's own rounding not subtracted",
        (f"{_BOUNDS}::test_the_lower_bound_is_one_for_a_factorisation_that_rounds_as_badly_as_it_may",),
    ),
    Mutation(
        f"{_DIR}/eigenvalue_bounds.py",
        "return quotient + products + gamma(n + 5) * abs(quotient) + n * TINY",
        "return quotient",
        "upper end: rounding of the Rayleigh quotient not added",
        (f"{_SPECTRUM}::test_contains_the_smallest_eigenvalue_of_the_stored_matrix_exactly",),
    ),
    Mutation(
        f"{_DIR}/extremes.py",
        "vector, near = factor.solve(pair.vector), ",
        "vector, near = pair.vector, ",
        "the vector of the inverse taken for the matrix's own",
        (f"{_EXTREMES}::test_a_cluster_far_below_the_rest_leaves_no_trace_of_the_rest_in_the_vector",),
    ),
    Mutation(
        f"{_DIR}/extremes.py",
        "residual = beside[-1] * abs(float(vectors[-1, place]))",
        "residual = beside[-1] * abs(float(vectors[0, place]))",
        "Lanczos: the residual from the first component",
        (f"{_EXTREMES}::test_lanczos_ends_at_the_tolerance_asked_for",),
    ),
    Mutation(
        f"{_DIR}/spectrum.py",
        "float(np.nextafter(upper + error, np.inf))",
        "float(np.nextafter(upper, np.inf))",
        "the matrix's error widens the lower end only",
        (f"{_SPECTRUM}::test_an_error_of_the_entries_widens_both_ends",),
    ),
    Mutation(
        f"{_DIR}/spectrum.py",
        "lower, upper, exponent, asymmetry=asymmetry, error=float(error)",
        "lower, upper, exponent, error=float(error)",
        "asymmetry of the stored matrix ignored",
        (f"{_SPECTRUM}::test_a_slightly_asymmetric_matrix_is_enclosed_with_its_asymmetry",),
    ),
    Mutation(
        f"{_DIR}/spectrum.py",
        "least - rounding, -np.inf), np.nextafter(most + rounding, np.inf)",
        "least, -np.inf), np.nextafter(most, np.inf)",
        "spectral norm: rounding of the product AᵀA dropped",
        (f"{_SPECTRUM}::test_spectral_norm_counts_the_rounding_of_the_product",),
    ),
    Mutation(
        f"{_DIR}/spectrum.py",
        "upper = max(upper, -cholesky_lower_bound(-negated, -upper))",
        "upper = max(upper, -upper)",
        "spectral norm: one end of the spectrum proven",
        (f"{_SPECTRUM}::test_spectral_norm_proves_both_ends",),
    ),
    Mutation(
        f"{_DIR}/spectrum.py",
        "if 0 < error < least:",
        "if 0 < error < 0:",
        "a float64 bound for a float32 matrix accepted",
        (f"{_SPECTRUM}::test_a_bound_for_another_precision_is_refused",),
    ),
    Mutation(
        f"{_DIR}/eigenvalue_bounds.py",
        "gamma(n + 5) * abs(quotient) + n * TINY",
        "gamma(n + 5) * abs(quotient)",
        "underflow of the Rayleigh quotient not counted",
        (f"{_SPECTRUM}::test_a_huge_matrix_whose_small_entries_underflow_is_enclosed",),
    ),
    Mutation(
        f"{_DIR}/spectrum.py",
        "if wide and not",
        "if not wide and not",
        "numbers beyond float64 rounded in silence",
        (f"{_SPECTRUM}::test_numbers_that_float64_rounds_are_refused",),
    ),
    Mutation(
        f"{_DIR}/extremes.py",
        "if not values.size:",
        "if False:",
        "no eigenvalue where LAPACK gives up",
        (f"{_EXTREMES}::test_clusters_on_which_lapack_gives_up_have_ends_too",),
    ),
    Mutation(
        f"{_DIR}/packed.py",
        "entries[places] -= shift",
        "entries[places] += shift",
        "the shift away from the spectrum",
        (f"{_PACKED}::test_a_factor_is_lapack_s_own_and_solves",),
    ),
    Mutation(
        f"{_DIR}/packed.py",
        "return None if failed or not",
        "return None if not",
        "a factorisation that met a negative pivot taken for a proof",
        (f"{_PACKED}::test_no_positive_pivot_no_factor",),
    ),
    Mutation(
        f"{_DIR}/spectrum.py",
        "for i in starts for j in starts if i <= j",
        "for i in starts for j in starts if i < j",
        "blocks on the diagonal not compared with their mirror images",
        (f"{_SPECTRUM}::test_a_single_entry_that_differs_from_its_mirror_image_is_seen_wherever_it_is",),
    ),
    Mutation(
        f"{_DIR}/extremes.py",
        "rough.distance <= 3 * _rounding(n, trace, rough.value)",
        "rough.distance <= np.inf",
        "float32 believed wherever it has an answer",
        (f"{_EXTREMES}::test_a_factor_in_float32_suffices_where_the_gap_is_wide[1e-06-1]",),
    ),
    Mutation(
        f"{_DIR}/extremes.py",
        "if not _RANGE[0] < trace < _RANGE[1]:",
        "if False:",
        "float32 asked for what is beyond its range",
        (f"{_EXTREMES}::test_matrices_near_the_ends_of_float32_s_range_settle_in_float64[-129]",),
    ),
    Mutation(
        "ntk_localsgd/threads.py",
        "if least <= rows < _MANY else",
        "if rows >= _MANY else",
        "one thread for large matrices, several that spin for small ones",
        ("tests/test_threads.py",),
    ),
)
