"""The certificate with probability: one step of its proof left out at a time."""

from tests.mutations.mutation import Mutation

_DIR, _TESTS = "ntk_localsgd/certificate/two_layer", "tests/certificate/two_layer/test_energy.py"
_FROZEN = f"{_TESTS}::test_the_mean_of_frozen_rounds_is_that_over_all_batches_and_participants"
_REFERENCE = f"{_TESTS}::test_the_reference_bounds_every_choice_of_secants_and_its_own_spectrum"
_LEMMA = f"{_TESTS}::test_lemma_2_s_numbers_are_those_of_its_formulas"
_SERIES = f"{_TESTS}::test_the_envelope_of_a_run_in_which_nothing_is_drawn_is_the_geometric_series"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/cli/certify.py",
        "return dataclasses.replace(config, participants=self.participants)",
        "return config",
        "all clients take part whatever the command says",
        ("tests/cli/test_certify.py::test_minibatches_and_participants_are_proved_for_every_draw",),
    ),
    Mutation(
        f"{_DIR}/energy.py",
        "later = (taus[c] - 1) * (drift[c] + batch[c] ** 2 / lam)",
        "later = (taus[c] - 1) * batch[c] ** 2 / lam",
        "secants of the averaged move do not depend on the batches to come",
        (_LEMMA,),
    ),
    Mutation(
        f"{_DIR}/energy.py",
        "drift[c] = max(drift[c], bent[c])",
        "pass",
        "what rounding alone turns a frozen step by is left out",
        (f"{_TESTS}::test_where_rounding_outweighs_switching_secants_both_adapted_residuals_pay_for_it",),
    ),
    Mutation(
        f"{_DIR}/energy.py",
        "changes = above * ((counts.possible - counts.certain) / (2 * width)) + rounding",
        "changes = above * ((counts.possible - counts.certain) / (4 * width)) + rounding",
        "half of what switching patterns do to Θ",
        (_REFERENCE,),
    ),
    Mutation(
        f"{_DIR}/energy.py",
        "pair = (size - 1) / (len(matrix) - 1) if len(matrix) > 1 else 1.0",
        "pair = size / len(matrix)",
        "batches drawn with replacement",
        (_FROZEN,),
    ),
    Mutation(
        f"{_DIR}/energy.py",
        "moment = moment + g**2 * (q - 1) / (q * num_clients * (num_clients - 1)) * pairs",
        "moment = moment + g**2 / (num_clients * num_clients) * pairs",
        "two clients take part together as if they were drawn apart",
        (_FROZEN,),
    ),
    Mutation(
        f"{_DIR}/envelope.py",
        "log_factor = -math.log(delta / len(powers)) / power * (1 + _PAD) if delta else 0.0",
        "log_factor = 0.0",
        "the mean's bound for every run",
        (f"{_TESTS}::test_the_envelope_holds_for_the_process_that_jumps_as_high_as_it_may_or_to_nothing",),
    ),
    Mutation(
        f"{_DIR}/envelope.py",
        "weighted = float(omega[0]) + float(",
        "weighted = float(",
        "the energy at the start leaves no path",
        (_SERIES,),
    ),
    Mutation(
        f"{_DIR}/likely.py",
        "return (far + near) * SLACK",
        "return near * SLACK",
        "paths of one client's own steps for those of all rounds",
        (f"{_TESTS}::test_paths_bound_the_weights_that_samples_gain_in_the_frozen_recursion",),
    ),
    Mutation(
        f"{_DIR}/likely.py",
        "weights + half[rows] * above[j] + problem.inner_error",
        "weights + problem.inner_error",
        "samples that switch push as if they were always half on",
        (f"{_TESTS}::test_an_uncertain_sample_s_own_path_counts_by_half_of_its_inner_product",),
    ),
    Mutation(
        f"{_DIR}/likely.py",
        "reach = found.length(u) * paths.radius + paths.of(weights, owner)",
        "reach = paths.of(weights, owner)",
        "the ellipsoid left out: the mean path only",
        (f"{_TESTS}::test_an_uncertain_sample_s_own_path_counts_by_half_of_its_inner_product",),
    ),
    Mutation(
        f"{_DIR}/likely.py",
        "marked[rows, j] = ~np.where(near.patterns[rows, j], moved - reach - pad > 0, moved + reach + pad < 0)",
        "marked[rows, j] = np.where(near.patterns[rows, j], moved - reach - pad <= 0, moved + reach + pad >= 0)",
        "a bound that is no number certifies",
        (f"{_TESTS}::test_a_bound_that_is_no_number_marks_its_pair",),
    ),
)
