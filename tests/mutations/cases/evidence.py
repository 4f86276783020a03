"""Verdicts."""

from tests.mutations.mutation import Mutation

_FILE, _TESTS = "ntk_localsgd/evidence.py", "tests/test_evidence.py"

MUTATIONS = (
    Mutation(
        _FILE,
        "return Verdict.VERIFIED if conclusion else Verdict.REFUTED",
        "return Verdict.VERIFIED if conclusion else Verdict.SILENT",
        "a counterexample is passed over in silence",
        (f"{_TESTS}::test_verdict_table",),
    ),
    Mutation(
        _FILE,
        "return self.measured / self.bound",
        "return self.bound / self.measured",
        "tightness inverted",
        (f"{_TESTS}::test_evidence_survives_strict_json",),
    ),
    Mutation(
        _FILE,
        'least = -math.inf if relation == "≤" else bound - tolerance',
        'least = -math.inf if relation == "≤" else bound + tolerance',
        "≥ must be exceeded by the tolerance",
        (f"{_TESTS}::test_a_tolerance_is_in_favour_and_an_interval_across_the_threshold_leaves_it_open",),
    ),
    Mutation(
        _FILE,
        "if least <= low and high <= most:",
        "if least <= measured <= most:",
        "an estimate decides where its interval straddles the threshold",
        (f"{_TESTS}::test_a_tolerance_is_in_favour_and_an_interval_across_the_threshold_leaves_it_open",),
    ),
    Mutation(
        _FILE,
        "if not low <= high or math.isnan(bound)",
        "if low > high or math.isnan(bound)",
        "NaN leaves a relation open",
        (f"{_TESTS}::test_nan_stands_in_no_relation",),
    ),
    Mutation(
        _FILE,
        "if self.conclusion.holds and not self.control.broke:",
        "if self.conclusion.holds is None and not self.control.broke:",
        "verified although the control did not break",
        (f"{_TESTS}::test_a_row_whose_control_did_not_break_is_not_counted_as_held",),
    ),
    Mutation(
        _FILE,
        "or not self.interval[1] <= self.delta",
        "or not self.interval[0] <= self.delta",
        "a failure probability that may lie above δ counts as held",
        (f"{_TESTS}::test_an_interval_that_leaves_it_open_does_not_bear_out_a_conclusion",),
    ),
)
