"""Deep traps: a wrong certificate is caught where the true one holds."""

import pytest

from verification.jobs.deep_traps import DEEP_TRAPS, DeepPlanted


@pytest.mark.parametrize("trap", DEEP_TRAPS)
def test_the_true_certificate_holds_where_the_wrong_one_is_caught(trap):
    true, wrong = DeepPlanted(trap).compute(), DeepPlanted(trap, wrong=True).compute()
    assert (true.certified, true.failed) == (1, 0)
    assert (wrong.certified, wrong.failed) == (1, 1)
