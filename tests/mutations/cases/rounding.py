"""Constants of floating-point arithmetic, and arrays from outside."""

from tests.mutations.mutation import Mutation

MUTATIONS = (
    Mutation(
        "ntk_localsgd/rounding.py",
        "return roundings * UNIT / (1 - roundings * UNIT)",
        "return roundings * UNIT / (1 + roundings * UNIT)",
        "γ_k rounded the wrong way",
        ("tests/test_rounding.py",),
    ),
    Mutation(
        "ntk_localsgd/rounding.py",
        "return float(jnp.finfo(dtype).eps) / 2",
        "return float(jnp.finfo(dtype).eps)",
        "the spacing of numbers for the unit roundoff",
        ("tests/test_rounding.py",),
    ),
    Mutation(
        "ntk_localsgd/arrays.py",
        'return dtype.kind in "biufO"',
        'return dtype.kind in "biufcO"',
        "complex numbers read without their imaginary part",
        ("tests/test_arrays.py::test_what_a_cast_would_change_is_refused_in_one_sentence",),
    ),
    Mutation(
        "ntk_localsgd/arrays.py",
        "if any(masked):",
        "if masked[1:] and any(masked):",
        "masked entries read as numbers",
        ("tests/test_arrays.py::test_what_a_cast_would_change_is_refused_in_one_sentence",),
    ),
    Mutation(
        "ntk_localsgd/arrays.py",
        "if not np.isfinite(array).all():",
        "if np.isnan(array).any():",
        "infinite entries read as numbers",
        ("tests/test_arrays.py",),
    ),
    Mutation(
        "ntk_localsgd/scalars.py",
        "math.isfinite(number) and number > 0",
        "math.isfinite(number) and number >= 0",
        "a step size of zero is taken for a positive one",
        ("tests/test_scalars.py::test_what_is_not_positive_and_finite_gets_one_sentence",),
    ),
    Mutation(
        "ntk_localsgd/scalars.py",
        "if number > most:",
        "if number > 2 * most:",
        "whole numbers that JAX cannot count with",
        ("tests/test_scalars.py::test_the_largest_whole_number_is_the_one_that_is_said",),
    ),
)
