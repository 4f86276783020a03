"""The certificate by dominance: one step of its proof left out at a time."""

from tests.mutations.mutation import Mutation

_COUNTS = "ntk_localsgd/certificate/two_layer/counts.py"
_DOMINANCE, _SCHEDULE = "ntk_localsgd/certificate/two_layer/dominance.py", "ntk_localsgd/certificate/schedule.py"
_TESTS = "tests/certificate/two_layer/test_dominance.py"
_ROUND = f"{_TESTS}::test_a_round_obeys_the_row_inequality_of_the_comparison_matrix"
_CORRECTED = f"{_TESTS}::test_a_correction_that_switches_neurons_locally_and_not_in_the_average_is_counted"
_RATE = f"{_TESTS}::test_orthogonal_samples_have_the_rate_of_the_slowest_one_s_mean"
_KEPT = f"{_TESTS}::test_random_certificates_are_kept_in_every_order"

MUTATIONS = (
    Mutation(
        _DOMINANCE,
        "if not rate < 1:",
        "if not rate < 2:",
        "a rate that rounds to 1 is certified",
        (f"{_TESTS}::test_a_step_so_small_that_the_rate_rounds_to_1_is_not_certified",),
    ),
    Mutation(
        _COUNTS,
        "np.maximum(*either)",
        "np.minimum(*either)",
        "the rarer sign for the more frequent one",
        (f"{_TESTS}::test_counts_are_those_of_the_definition_whatever_is_uncertain",),
    ),
    Mutation(
        _DOMINANCE,
        "constant = math.sqrt(found.largest * start / (end.delta or 1))",
        "constant = math.sqrt(start / (end.delta or 1))",
        "the energy's norm for the Euclidean one",
        (f"{_TESTS}::test_the_constant_of_the_energy_is_that_of_its_norm",),
    ),
    Mutation(
        _DOMINANCE,
        "possible, marked = near.patterns | uncertain, np",
        "possible, marked = near.patterns, np",
        "samples that are off at the start push nothing",
        (f"{_TESTS}::test_a_sample_that_is_off_at_the_start_pushes_when_it_may_switch_on",),
    ),
    Mutation(
        _DOMINANCE,
        "np.diagonal(low).copy()",
        "np.diagonal(high).copy()",
        "a sample pulls itself by all that may be on",
        (_ROUND,),
    ),
    Mutation(
        _DOMINANCE,
        "opposite = np.where(positive, high, 0) + ",
        "opposite = ",
        "pushes cancel as if residuals of opposite sign pushed the same way",
        (_ROUND,),
    ),
    Mutation(
        _DOMINANCE,
        "if not schedule.step_size * largest * SLACK <= 1:",
        "if not schedule.step_size * largest * SLACK <= 2:",
        "a step may overshoot",
        (f"{_TESTS}::test_too_large_a_step_and_samples_alike_are_said_in_words",),
    ),
    Mutation(
        _DOMINANCE,
        "gap = np.where(same & local[:, None] & (kappa < 1), gap, 0)",
        "gap = np.zeros_like(gap)",
        "the average is where the average of the outputs is",
        (_CORRECTED,),
    ),
    Mutation(
        _DOMINANCE,
        "crossing = np.maximum(crossing, 0) * SLACK",
        "crossing = np.zeros_like(crossing)",
        "what a client's own steps corrected counts in full in the average",
        (_CORRECTED,),
    ),
    Mutation(
        _DOMINANCE,
        "marked[rows, j] = ~np.where(near.patterns[rows, j], z - pad - fall > 0, z + pad + rise < 0)",
        "marked[rows, j] = np.where(near.patterns[rows, j], z - pad - fall <= 0, z + pad + rise >= 0)",
        "a bound that is no number certifies",
        (f"{_TESTS}::test_a_bound_that_is_no_number_marks_its_pair",),
    ),
    Mutation(
        _DOMINANCE,
        "np.maximum(side, 0) + survey.residual_error",
        "np.maximum(side, 0) / 2 + survey.residual_error",
        "half of the residual is left to gain",
        (_KEPT,),
    ),
    Mutation(
        _DOMINANCE,
        "float((shares * falls / w).min())",
        "float((falls / w).min())",
        "every sample is in every batch",
        (_RATE,),
    ),
    Mutation(
        _DOMINANCE,
        "return plus * self.up + minus * self.down, plus * self.down + minus * self.up",
        "return plus * self.up, plus * self.down",
        "samples at an obtuse angle push nothing",
        (_KEPT,),
    ),
    Mutation(
        _SCHEDULE,
        "return self.server_step_size / self.participants",
        "return self.server_step_size",
        "a participant's movement counts in full",
        (f"{_TESTS}::test_of_two_participants_each_counts_by_half",),
    ),
    Mutation(
        _SCHEDULE,
        "return self.batches / self.sizes",
        "return self.batches / self.batches",
        "batches hold all samples",
        (_RATE,),
    ),
)
