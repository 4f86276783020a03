"""Claims about initialization, stability, gradients and linear rates, and how numbers become rows."""

from tests.mutations.mutation import Mutation

_JOBS, _CLAIMS = "verification/jobs", "verification/claims"
_JOB_TESTS, _CLAIM_TESTS = "tests/verification/jobs", "tests/verification/claims"
_JUDGING, _JUDGING_TESTS = "verification/judging.py", "tests/verification/test_judging.py"

MUTATIONS = (
    Mutation(
        _JUDGING,
        "holds = _both(not failures, grows if known.size == ratios.size or grows is False else None)",
        "holds = _both(not failures, grows)",
        "a threshold that was not found is passed over",
        (f"{_JUDGING_TESTS}::test_a_threshold_above_the_one_asked_for_or_growing_faster_fails",),
    ),
    Mutation(
        _JUDGING,
        "return 0 if holds else max(outside, int(holds is False))",
        "return 0",
        "seeds whose exponent lies outside are not counted",
        (
            f"{_JUDGING_TESTS}::test_seeds_whose_own_exponent_lies_outside_are_counted_where_the_mean_s_does_not_lie_inside",
        ),
    ),
    Mutation(
        "verification/registry.py",
        'sorted(root.rglob("*.py"))',
        'sorted(root.glob("*/*.py"))',
        "claims right below the folder, or two folders deep, are passed over",
        ("tests/verification/test_registry.py",),
    ),
    Mutation(
        _JUDGING,
        "holds_with_probability(failures, len(values), delta)),",
        "holds_with_probability(failures, len(values), DELTA)),",
        "another failure probability judged than is stated",
        (f"{_JUDGING_TESTS}::test_fewer_seeds_decide_a_probability_of_one_half",),
    ),
    Mutation(
        _JUDGING,
        "float(v), bound) is not True for v in values)",
        "float(v), bound) is True for v in values)",
        "values on the right side of the bound count as failures",
        (f"{_JUDGING_TESTS}::test_values_beyond_the_bound_are_the_failures",),
    ),
    Mutation(
        _JUDGING,
        "holds_with_probability(broken, len(control), delta) is False",
        "holds_with_probability(broken, len(control), delta) is not True",
        "an undecided control counts as broken",
        (f"{_JUDGING_TESTS}::test_a_control_has_broken_only_when_its_whole_interval_lies_above",),
    ),
    Mutation(
        _JUDGING,
        'worst = np.min if relation == "≥" else np.max',
        'worst = np.max if relation == "≥" else np.min',
        "the best value reported as the worst",
        (f"{_JUDGING_TESTS}::test_values_beyond_the_bound_are_the_failures",),
    ),
    Mutation(
        _JUDGING,
        "Control(control_setting, control_holds is False, broken.estimate)",
        "Control(control_setting, holds is not None, broken.estimate)",
        "a growing constant's control judged by the claim's own values",
        (f"{_JUDGING_TESTS}::test_a_constant_that_grows_refutes_an_upper_bound_and_one_that_shrinks_a_lower_one",),
    ),
    Mutation(
        f"{_JOBS}/initial.py",
        "np.asarray(kernels.pattern_counts(net, problem.inputs), np.float64) / net.width",
        "np.asarray(kernels.pattern_counts(net, problem.inputs), np.float64) / np.sqrt(net.width)",
        "Gram matrix of a check: 1/√m for 1/m",
        (f"{_JOB_TESTS}/test_initial.py::test_gram_of_a_check_is_the_mean_over_neurons",),
    ),
    Mutation(
        f"{_JOBS}/initial.py",
        "error=rounding + error).lower",
        "error=rounding).lower",
        "what can change in the ball left out of the smallest eigenvalue over it",
        (f"{_JOB_TESTS}/test_initial.py::test_an_error_of_the_entries_lowers_the_bound_by_its_norm",),
    ),
    Mutation(
        f"{_JOBS}/limits.py",
        "len(directions) - int(np.linalg.matrix_rank(directions))",
        "0",
        "three coplanar antipodal pairs pass for independent",
        (f"{_JOB_TESTS}/test_limits.py::test_spectrum_encloses_lambda0_and_counts_what_makes_it_zero",),
    ),
    Mutation(
        f"{_JOBS}/initial_widths.py",
        "good = int(np.max(np.flatnonzero(failures), initial=-1)) + 1",
        "good = int(np.min(np.flatnonzero(failures == 0), initial=len(grid)))",
        "the first width without a failure, not the one from which on there is none",
        (f"{_JOB_TESTS}/test_initial_widths.py::test_no_trial_fails_from_the_smallest_width_on",),
    ),
    Mutation(
        f"{_JOBS}/perturbed.py",
        "direction = (1.0 if on else -1.0) * inputs[nearest]",
        "direction = inputs[nearest]",
        "the adversary never turns a neuron off",
        (f"{_JOB_TESTS}/test_perturbed.py",),
    ),
    Mutation(
        f"{_JOBS}/perturbed.py",
        "return sizes[:, None] + sizes[None, :] - both",
        "return sizes[:, None] + sizes[None, :]",
        "|A_i| + |A_j| for |A_i ∪ A_j|",
        (f"{_JOB_TESTS}/test_perturbed.py::test_neurons_uncertain_on_either_sample_are_counted_once",),
    ),
    Mutation(
        f"{_JOBS}/local_steps.py",
        "(np.asarray(eigenvalue) - np.asarray(error))",
        "(np.asarray(eigenvalue))",
        "S2 without ε_cc: a client whose patterns flip shrinks as if none did",
        (
            f"{_JOB_TESTS}/test_local_steps.py::"
            "test_a_neuron_that_turns_off_slows_the_shrinking_below_lambda_and_not_below_lambda_less_its_error",
        ),
    ),
    Mutation(
        f"{_JOBS}/local_steps.py",
        "union_counts(np.abs(start) <= movement)",
        "union_counts(np.abs(start) <= 0 * movement)",
        "S2's ε_cc for a ball of radius 0",
        (
            f"{_JOB_TESTS}/test_local_steps.py::"
            "test_a_neuron_that_turns_off_slows_the_shrinking_below_lambda_and_not_below_lambda_less_its_error",
        ),
    ),
    Mutation(
        f"{_JOBS}/kinks.py",
        "y[0] = float(above(x)[0])",
        "y[0] = 0.0",
        "S0's control keeps a residual on the crossed sample",
        (f"{_JOB_TESTS}/test_kinks.py::test_without_a_residual_it_does_not",),
    ),
    Mutation(
        f"{_JOBS}/rates.py",
        '"K": training.num_clients}',
        '"K": 1}',
        "C4: η for η/K",
        (f"{_JOB_TESTS}/test_rates.py::test_losses_at_the_bound_have_ratio_one_and_slower_ones_more",),
    ),
    Mutation(
        f"{_CLAIMS}/kernel/stability.py",
        "met and within and unit_norms(problem)",
        "met and unit_norms(problem)",
        "K6c verified by weights outside of its ball",
        (f"{_CLAIM_TESTS}/kernel/test_stability.py::test_weights_outside_of_the_ball_do_not_meet_the_premise",),
    ),
    Mutation(
        f"{_CLAIMS}/training/gradients.py",
        "chi * np.sqrt(pairs.flips) * pairs.residual if flips else 0.0",
        "chi * np.sqrt(pairs.flips) if flips else 0.0",
        "S1a: the flips' term without its residual",
        (f"{_CLAIM_TESTS}/training/test_gradients.py::test_gradients_differ_by_distance_and_flips_at_most",),
    ),
    Mutation(
        f"{_CLAIMS}/training/gradients.py",
        "np.maximum.accumulate(residuals, axis=2)",
        "residuals",
        "S3: the last residual for the largest of the round",
        (f"{_CLAIM_TESTS}/training/test_gradients.py::test_drift_is_bounded_by_the_steps_taken",),
    ),
    Mutation(
        f"{_JOBS}/deep_start.py",
        "readout * net.output_weights",
        "net.output_weights",
        "D2: the control's V does not grow",
        (f"{_JOB_TESTS}/test_deep_start.py",),
    ),
)
