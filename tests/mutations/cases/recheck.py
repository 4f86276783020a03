"""The second opinion: one step of its argument left out at a time."""

from tests.mutations.mutation import Mutation

_WALK, _TESTS = "verification/recheck/walk.py", "tests/verification/recheck/test_recheck.py"
_FALSE = f"{_TESTS}::test_planted_false_certificates_are_not_confirmed"
_KINK = f"{_TESTS}::test_a_pair_at_its_kink_has_to_be_named_where_no_round_is_followed"
_SWITCH = f"{_TESTS}::test_a_pair_that_is_not_named_and_changes_its_side_is_found_in_the_run"
_RUN = f"{_TESTS}::test_the_exact_run_is_the_one_that_float64_shows"

MUTATIONS = (
    Mutation(_WALK, "if not rate <= stated.rate:", "if False:", "recheck: any rate is confirmed", (_FALSE,)),
    Mutation(
        _WALK,
        "if not self.moved.sqrt() + self.gap + radius <= stated.radius:",
        "if False:",
        "recheck: what neurons move by later is left out",
        (_KINK,),
    ),
    Mutation(
        _WALK,
        "if not size + off <= self._allowed(t):",
        "if False:",
        "recheck: residuals of the run are not held against the constant",
        (_FALSE,),
    ),
    Mutation(
        _WALK,
        "if (j, r) not in self.stated.switching:",
        "if False:",
        "recheck: sides that change in the run",
        (_SWITCH,),
    ),
    Mutation(
        _WALK, "            if unnamed:", "            if False:", "recheck: sides that may change later", (_KINK,)
    ),
    Mutation(
        _WALK,
        "gap += abs(wanted - step) * self.sizes[i]",
        "pass",
        "recheck: the run's own rounding is left out",
        (_RUN,),
    ),
    Mutation(
        _WALK,
        "if above(square) > self.moved:",
        "if square > self.moved:",
        "recheck: of balls that overlap the first counts as the largest",
        (f"{_TESTS}::test_what_has_moved_most_is_an_upper_end_and_never_that_of_a_ball_which_overlaps_a_wider_one",),
    ),
    Mutation(
        "verification/recheck/stated.py",
        'claims["certified"] is not True or not 0 < _number(claims["rate"]) < 1',
        'not claims["certified"]',
        "recheck: a rate above 1 is confirmed",
        (f"{_TESTS}::test_records_that_say_nothing_or_do_not_fit_are_refused_and_not_rounded_to_others",),
    ),
    Mutation(
        "verification/recheck/balls.py",
        "if not rows[k][k] > 0:",
        "if rows[k][k] < 0:",
        "recheck: an undecided pivot counts as positive",
        (f"{_TESTS}::test_norms_are_above_and_near_and_definiteness_is_never_guessed",),
    ),
)
