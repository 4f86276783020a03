"""The search for the smallest number that works, and the limit on seconds."""

import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntk_localsgd.cli.search import Asked, Tried, is_monotone, smallest, tries
from ntk_localsgd.cli.timing import TimeUp, limited, watched


@given(st.floats(0.5, 9e5))
def test_the_threshold_is_found_to_the_ratio(threshold):
    tried = list(tries(lambda value: value >= threshold, 1.0, most=1e6, growth=10.0, ratio=1.25))
    found = smallest(tried)
    assert threshold <= found <= max(1.0, 1.25 * threshold)
    assert is_monotone(tried)
    assert len(tried) <= 7 + 4 + 1


@given(st.integers(1, 5000))
def test_whole_numbers_stay_multiples_of_the_step(threshold):
    tried = list(tries(lambda value: value >= threshold, 4, most=4096, growth=2, ratio=1.0, step=2))
    assert all(each.value % 2 == 0 for each in tried)
    if threshold <= 4096:
        assert smallest(tried) == max(4, threshold + threshold % 2)
    else:
        assert smallest(tried) is None
        assert tried[-1].value == 4096


def test_what_fails_beyond_what_works_is_seen():
    tried = list(tries(lambda value: 50 <= value <= 200, 1.0, most=1e6, growth=10.0, ratio=1.25))
    assert tried[-1] == Tried(1000.0, False)
    assert 50 <= smallest(tried) <= 62.5
    assert not is_monotone(tried)


def test_a_block_ends_when_its_time_is_up_and_not_before():
    with pytest.raises(TimeUp), watched("waiting", 0.05):
        time.sleep(2)
    with limited(600):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)  # the alarm of a block that has ended does not ring


def test_a_search_in_which_nothing_works_says_what_it_tried_and_what_the_rest_would_take():
    asked = Asked(lambda _: False)
    tried = list(tries(asked, 1.0, most=1000.0, growth=10.0, ratio=1.25))
    assert asked.told(tried, 5.0, most=1000.0, growth=10.0) == ": 1, 10, 100, 1000 are not"
    asked = Asked(lambda _: False)
    assert "before the first number" in asked.told([], 5.0, most=1000.0, growth=10.0)

    def slow(value):
        if value > 5:
            raise TimeUp
        return False

    asked = Asked(slow)
    numbers = tries(asked, 1.0, most=1000.0, growth=10.0, ratio=1.25)
    tried = [next(numbers)]
    with pytest.raises(TimeUp):
        next(numbers)
    asked.seconds, asked.began = [2.0], time.monotonic() - 3.0
    # 2 seconds for 1, and for each of 10, 100, 1000 the longest that any has taken.
    assert asked.told(tried, 5.0, most=1000.0, growth=10.0) == (
        ": 1 is not, ended after 5 s in which 10 was not decided; "
        "all numbers up to 1000 may take 1e+01 s (--time-limit)"
    )
