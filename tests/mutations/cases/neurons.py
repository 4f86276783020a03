"""Neurons whose pattern may change: what a certificate counts of them, one step left out at a time."""

from tests.mutations.mutation import Mutation

_TWO = "ntk_localsgd/certificate/two_layer"
_NEURONS = "tests/certificate/two_layer/test_neurons.py"

MUTATIONS = (
    Mutation(
        f"{_TWO}/neurons.py",
        "np.maximum(pattern_products(b | u) - reference, reference - pattern_products(b & ~u))",
        "pattern_products(b | u) - reference",
        "uncertain pairs can only turn on",
        (f"{_NEURONS}::test_pattern_changes_bound_every_choice_of_slopes",),
    ),
    Mutation(
        f"{_TWO}/neurons.py",
        "near = np.abs(z) <= threshold[:, None] + norms[:, None] * error",
        "near = np.abs(z) < threshold[:, None]",
        "near a kink: rounding not counted against a neuron",
        (f"{_NEURONS}::test_a_sign_within_rounding_of_the_kink_is_never_certain",),
    ),
    Mutation(
        f"{_TWO}/neurons.py",
        "(gamma(d + 2) * norms * weight_norms + gamma(largest_tile + tiles) * size)",
        "(gamma(d + 2) * norms + gamma(largest_tile + tiles))",
        "residual's error: magnitudes of the summands left out",
        (f"{_NEURONS}::test_the_error_covers_large_terms_that_cancel",),
    ),
    Mutation(
        f"{_TWO}/neurons.py",
        "return ((np.abs(inner) + inner_error) * changes + rounding) * SLACK",
        "return (np.abs(inner) + inner_error) * changes * SLACK",
        "changes of Θ: the rounding of Θ itself dropped",
        (f"{_NEURONS}::test_changes_of_the_gram_matrix_cover_its_own_rounding",),
    ),
)
