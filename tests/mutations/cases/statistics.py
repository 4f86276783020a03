"""Intervals and exponents."""

from tests.mutations.mutation import Mutation

_FILE, _TESTS = "ntk_localsgd/statistics.py", "tests/test_statistics.py"

MUTATIONS = (
    Mutation(
        _FILE,
        "if rate.upper <= delta:",
        "if rate.estimate <= delta:",
        "a probability holds by its estimate",
        (f"{_TESTS}::test_seventy_two_failure_free_seeds_are_the_least_that_decide_five_percent",),
    ),
    Mutation(
        _FILE,
        "return False if rate.lower > delta else None",
        "return False if rate.estimate > delta else None",
        "a probability fails by its estimate",
        (f"{_TESTS}::test_probability_fails_only_when_the_whole_interval_lies_above",),
    ),
    Mutation(
        _FILE,
        'scipy.stats.binomtest(failures, trials).proportion_ci(level, method="exact")',
        'scipy.stats.binomtest(failures, trials, alternative="less").proportion_ci(level, method="exact")',
        "one-sided Clopper–Pearson interval",
        (f"{_TESTS}::test_clopper_pearson_is_the_beta_quantile",),
    ),
    Mutation(
        _FILE,
        "scipy.stats.t.ppf((1 + level) / 2, len(values) - 1)",
        "scipy.stats.t.ppf(level, len(values) - 1)",
        "one-sided Student quantile",
        (f"{_TESTS}::test_mean_interval_is_student_s",),
    ),
    Mutation(
        _FILE,
        "scipy.stats.t.ppf((1 + level) / 2, len(values) - 1)",
        "scipy.stats.t.ppf((1 + level) / 2, len(values))",
        "one degree of freedom too many",
        (f"{_TESTS}::test_mean_interval_is_student_s",),
    ),
    Mutation(
        _FILE,
        "np.log(values) @ lever",
        "np.log10(values) @ lever",
        "two bases of logarithms in one slope",
        (f"{_TESTS}::test_slope_recovers_a_power_law_exactly",),
    ),
)
