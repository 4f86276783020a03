"""The certificate's infinite tail."""

from tests.mutations.mutation import Mutation

_PLANTED = "tests/certificate/two_layer/test_planted.py"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/certificate/two_layer/pairs.py",
        "total = (bound.largest_error + ahead, bound.local_bent, bound.forcing)",
        "total = (bound.largest_error, bound.local_bent, bound.forcing)",
        "the tail's predicted rest counts once",
        (f"{_PLANTED}::test_what_is_left_to_predict_counts_twice_in_the_tail",),
    ),
)
