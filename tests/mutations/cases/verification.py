"""The checks themselves: directions of inequalities, controls, adversaries, and what counts as broken."""

from tests.mutations.mutation import Mutation

_DIR, _TESTS = "verification", "tests/verification"
_DEEP = f"{_TESTS}/test_deep.py"

MUTATIONS = (
    Mutation(
        f"{_DIR}/context.py",
        "angle = 2 * math.asin(distance / 2)",
        "angle = math.asin(distance)",
        "planted pair: a chord taken for an arc's sine",
        (f"{_DEEP}::test_planted_pair_is_the_closest_one_at_the_distance_asked_for_with_opposite_targets",),
    ),
    Mutation(
        f"{_DIR}/runner.py",
        "return int(bool(refuted or unbroken or crashed))",
        "return int(bool(refuted or crashed))",
        "an unbroken control passes",
        (f"{_TESTS}/test_runner.py",),
    ),
)
