"""Rows from numbers: what counts as failed, as broken, as undecided."""

import numpy as np
import pytest

from ntk_localsgd.evidence import Condition, Verdict
from ntk_localsgd.statistics import Interval, mean_interval
from verification import judging

SETTING, PREMISE = {"data": "digits", "n": 4}, Condition("p", True)


def _probability(values, control, **options):
    return judging.with_probability(
        SETTING, PREMISE, "x ≤ 1", np.array(values), 1.0, control=np.array(control), control_setting="c", **options
    )


def test_values_beyond_the_bound_are_the_failures():
    row = _probability([0.5] * 98 + [1.5, np.nan], [2.0] * 100)
    assert (row.failures, row.trials) == (2, 100)
    assert row.verdict is Verdict.INCONCLUSIVE
    row = _probability([0.5] * 99 + [0.9], [2.0] * 100)
    assert (row.measured, row.control.measured) == (0.9, 2.0)
    assert row.verdict is Verdict.VERIFIED
    row = _probability([3.0] * 99 + [2.0], [0.5] * 100, relation="≥")
    assert (row.measured, row.failures) == (2.0, 0)
    assert row.verdict is Verdict.VERIFIED
    assert _probability([2.0] * 100, [2.0] * 100).verdict is Verdict.REFUTED


def test_fewer_seeds_decide_a_probability_of_one_half():
    assert _probability([0.5] * 7, [2.0] * 7, delta=0.5).verdict is Verdict.VERIFIED
    assert _probability([0.5] * 7, [2.0] * 7).verdict is Verdict.INCONCLUSIVE


def test_a_control_has_broken_only_when_its_whole_interval_lies_above():
    assert not _probability([0.5] * 100, [2.0] * 6 + [0.5] * 94).control.broke
    assert _probability([0.5] * 100, [2.0] * 30 + [0.5] * 70).control.broke


def _at_most(measured, control, **options):
    options = {"control_setting": "c"} | options
    return judging.at_most(SETTING, PREMISE, "x ≤ 1", measured, 1.0, control=control, **options)


def test_the_conclusion_and_the_control_are_computed_from_the_relation():
    assert _at_most(0.9, 1.1).verdict is Verdict.VERIFIED
    assert _at_most(1.1, 1.2).verdict is Verdict.REFUTED
    assert not _at_most(0.9, 0.95).control.broke
    assert _at_most(1.05, 1.2, tolerance=0.1).verdict is Verdict.VERIFIED
    assert not _at_most(1.05, 1.08, tolerance=0.1).control.broke
    assert _at_most(0.9, 1.1, also=False).verdict is Verdict.REFUTED
    assert _at_most(0.9, 1.1, also=None).verdict is Verdict.INCONCLUSIVE
    assert _at_most(0.9, 0.5, control_bound=0.4).control.broke
    assert _at_most(0.9, 0.5, control_also=False).control.broke
    assert _at_most(Interval(0.9, 0.8, 1.1), 1.1).verdict is Verdict.INCONCLUSIVE
    assert not _at_most(0.9, Interval(1.1, 0.9, 1.2)).control.broke
    assert _at_most(np.nan, 1.1).verdict is Verdict.REFUTED
    assert _at_most(0.9, np.inf).control.measured is None
    assert [_at_most(measured, 2.0).failures for measured in (0.9, 1.1, np.nan)] == [0, 1, 1]


def test_of_several_settings_the_worst_is_shown_and_those_that_fail_are_counted():
    row = _at_most(np.array([[0.5, 1.2], [1.1, 0.9]]), 2.0)
    assert (row.measured, row.trials, row.failures) == (1.2, 4, 2)
    assert row.verdict is Verdict.REFUTED
    row = judging.at_least(SETTING, PREMISE, "x", np.array([3.0, 2.0]), 1.0, control=0.5, control_setting="c")
    assert (row.measured, row.trials, row.failures, row.verdict) == (2.0, 2, 0, Verdict.VERIFIED)
    row = judging.equal(SETTING, PREMISE, "x", np.array([1.0, 0.7]), 1.0, control=0.5, control_setting="c")
    assert (row.measured, row.failures) == (0.7, 1)
    assert _at_most(np.array([0.5, np.nan]), 2.0).verdict is Verdict.REFUTED


def test_an_equality_holds_inside_an_interval():
    own, other = Interval(0.48, 0.4, 0.6), Interval(2.0, 1.9, 2.1)
    row = judging.equal(SETTING, PREMISE, "½ inside", own, 0.5, control=other, control_setting="c")
    assert row.verdict is Verdict.VERIFIED


def _exponent(measured, control, **options):
    return judging.as_exponent(
        SETTING, PREMISE, "flips", Interval(*measured), -0.5, 0.1, control=Interval(*control), control_setting="c",
        **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("measured", "relation", "verdict"),
    [
        ((-0.5, -0.55, -0.45), "within", Verdict.VERIFIED),
        ((-0.5, -0.65, -0.45), "within", Verdict.INCONCLUSIVE),
        ((-0.8, -0.85, -0.75), "within", Verdict.REFUTED),
        ((-0.8, -0.85, -0.75), "≤", Verdict.VERIFIED),
        ((-0.3, -0.35, -0.25), "≤", Verdict.REFUTED),
    ],
)
def test_an_exponent_is_decided_by_its_whole_interval(measured, relation, verdict):
    row = _exponent(measured, (0.0, -0.05, 0.05), relation=relation)
    assert row.verdict is verdict
    assert row.control.broke
    assert row.tolerance == 0.1


def test_seeds_whose_own_exponent_lies_outside_are_counted_where_the_mean_s_does_not_lie_inside():
    slopes = [-0.3, -0.31, -0.45, -0.29]
    mean = mean_interval(slopes)
    assert _exponent(mean, (0.0, -0.05, 0.05)).failures == 3
    assert (
        _exponent(
            mean_interval([-0.55, -0.52, -0.39, -0.55, -0.56, -0.55, -0.53]), (0.0, -0.05, 0.05), relation="≤"
        ).failures
        == 0
    )
    assert _exponent((-0.8, -0.85, -0.75), (0.0, -0.05, 0.05)).failures == 1  # no values: the row itself
    assert _bounded(1.5, 2.0).failures == 3


def test_a_range_of_exponents_widens_both_ends():
    assert _exponent((-0.35, -0.37, -0.33), (0.0, -0.05, 0.05), spare=0.1).verdict is Verdict.VERIFIED
    assert _exponent((-0.28, -0.29, -0.27), (0.0, -0.05, 0.05), spare=0.1).verdict is Verdict.REFUTED


def _bounded(power, control, **options):
    points, noise = np.array([1.0, 2.0, 4.0]), np.array([[1.0], [1.01], [0.99]])
    return judging.stays_bounded(
        SETTING, PREMISE, "x", "m", points, noise * points**power, points, control=noise * points**control,
        control_setting="c", **options,
    )  # fmt: skip


def test_a_constant_that_grows_refutes_an_upper_bound_and_one_that_shrinks_a_lower_one():
    assert _bounded(1.0, 2.0).verdict is Verdict.VERIFIED
    assert _bounded(0.5, 2.0).verdict is Verdict.VERIFIED
    assert _bounded(1.5, 2.0).verdict is Verdict.REFUTED
    assert not _bounded(1.0, 1.05).control.broke
    assert _bounded(1.5, 0.5, relation="≥").verdict is Verdict.VERIFIED
    assert _bounded(0.5, 0.5, relation="≥").verdict is Verdict.REFUTED
    assert _bounded(1.0, 2.0).where == "digits, n = 4, over m = 1 … 4"


def test_a_threshold_above_the_one_asked_for_or_growing_faster_fails():
    def row(ratios, grows, control=np.inf):
        return judging.threshold(
            "≤", SETTING, PREMISE, "t", np.array(ratios), grows=grows, control=control, control_setting="c",
            tolerance=0.25,
        )  # fmt: skip

    assert row([0.1, 0.9], True).verdict is Verdict.VERIFIED
    assert row([0.1, 1.9], True).verdict is Verdict.REFUTED
    assert row([0.1, 0.9], False).verdict is Verdict.REFUTED
    assert row([0.1, 0.9], None).verdict is Verdict.INCONCLUSIVE
    assert "0.25" in row([0.1], True).conclusion.text
    assert [row([0.1, 1.9, 2.0], True).failures, row([0.1, 0.9], False).failures] == [2, 1]
    assert row([0.1, 0.9], True, control=0.99).verdict is Verdict.INCONCLUSIVE  # the control did not break
    # A threshold that was not found is no ratio: it decides nothing, and one that was found too large still refutes.
    assert (row([0.1, np.inf], True).measured, row([0.1, np.inf], True).verdict) == (0.1, Verdict.INCONCLUSIVE)
    assert row([1.1, np.inf], True).verdict is Verdict.REFUTED
    assert row([np.inf], None).measured is None
