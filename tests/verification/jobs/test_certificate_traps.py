"""The traps: a wrong certificate is caught where the true one holds."""

from verification.jobs.certificate_traps import Planted, SwitchingWithinARound


def test_the_true_certificate_holds_where_the_wrong_one_is_caught():
    trap = "the M-norm's rate holds in the 2-norm"  # the others, each of which takes seconds, are claim C8-traps
    true, wrong = Planted(trap).compute(), Planted(trap, wrong=True).compute()
    assert (true.certified, true.failed) == (1, 0)
    assert (wrong.certified, wrong.failed) == (1, 1)


def test_switchings_within_a_round_stay_within_the_sum_of_its_steps_and_not_within_that_sum_s_size():
    shares = SwitchingWithinARound(draws=50).compute()
    assert 0.99 < shares.share <= 1 < shares.share_of_sum  # the steps that all push one way come close
