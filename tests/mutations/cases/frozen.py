"""The certificate where no pattern may change."""

from tests.mutations.mutation import Mutation

_FROZEN, _TESTS = "ntk_localsgd/certificate/two_layer/frozen.py", "tests/certificate/two_layer/test_frozen.py"

MUTATIONS = (
    Mutation(
        _FROZEN,
        "    if crossing:\n",
        "    if crossing > 10**6:\n",
        "patterns may change after all",
        (f"{_TESTS}::test_a_pair_that_may_change_is_counted",),
    ),
    Mutation(
        _FROZEN,
        "return (inside + size * self.blur",
        "return (size * self.blur",
        "the interpolant alone for the ellipsoid about it",
        (f"{_TESTS}::test_the_ellipsoid_holds_the_extremes_of_every_direction_and_no_number_is_no_proof",),
    ),
)
