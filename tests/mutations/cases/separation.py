"""Closest and repeated rows."""

from tests.mutations.mutation import Mutation

_FILE, _TESTS, _DATA = "ntk_localsgd/separation.py", "tests/test_separation.py", "tests/test_datasets.py"

MUTATIONS = (
    Mutation(
        _FILE,
        "rows[pairs[:, 0]] - sign * rows[pairs[:, 1]]",
        "rows[pairs[:, 0]] - rows[pairs[:, 1]]",
        "nearly opposite rows: the sign dropped",
        (f"{_DATA}::test_tiny_separations_keep_their_digits",),
    ),
    Mutation(
        _FILE,
        "np.flatnonzero(squared <= least + 2 * rounding)",
        "np.flatnonzero(squared <= least + rounding)",
        "closest pair by the rounded inner products alone",
        (f"{_DATA}::test_the_closest_of_many_near_pairs_is_not_left_to_rounded_inner_products",),
    ),
    Mutation(
        _FILE,
        "projected[step:] - projected[:-step] <= window",
        "projected[step:] - projected[:-step] <= SAME_ROW",
        "repeated rows: rounding and length of the projection ignored",
        (f"{_TESTS}::test_rows_almost_eight_units_apart_are_one_in_every_direction",),
    ),
    Mutation(
        _FILE,
        "_CLOSE_ENOUGH = 1e-9",
        "_CLOSE_ENOUGH = 1e-1",
        "a pair that may be nearer is not measured",
        (f"{_TESTS}::test_a_slightly_closer_pair_in_another_tile_is_preferred",),
    ),
)
