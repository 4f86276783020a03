"""Claims and the jobs they read: conditions, both sides, exponents, controls."""

from tests.mutations.mutation import Mutation

_JOBS, _CLAIMS = "verification/jobs", "verification/claims"
_JOB_TESTS, _CLAIM_TESTS = "tests/verification/jobs", "tests/verification/claims"
_START = f"{_CLAIM_TESTS}/deep/test_initialization.py"
_LAZY, _PREDICTION = f"{_CLAIM_TESTS}/training/test_lazy.py", f"{_CLAIM_TESTS}/test_prediction.py"
_CURVES = f"{_JOB_TESTS}/test_curves.py"

MUTATIONS = (
    Mutation(
        f"{_CLAIMS}/certificate/soundness.py",
        "Condition(text, failed == 0),",
        "Condition(text, float(tally.worst) <= 1),",
        "C8: signs astray are forgiven",
        (f"{_CLAIM_TESTS}/certificate/test_soundness.py",),
    ),
    Mutation(
        f"{_CLAIMS}/certificate/traps.py",
        "control_also=bool(wrong.failed == 0),",
        "",
        "C8-traps: a wrong certificate is caught by its ratio alone",
        (
            f"{_CLAIM_TESTS}/certificate/test_traps.py::test_signs_astray_catch_a_wrong_certificate_and_refute_a_true_one",
        ),
    ),
    Mutation(
        f"{_CLAIMS}/deep/initialization.py",
        'abs(norms[name] - 1).max("layer")',
        'abs(norms[name] - 1).min("layer")',
        "D1: the layer that deviates least",
        (f"{_START}::test_the_layer_that_deviates_most_may_follow_the_bound_and_not_outgrow_it",),
    ),
    Mutation(
        f"{_CLAIMS}/deep/initialization.py",
        'shape_of("D2-upper", swept) / outputs for',
        'shape_of("D2-upper", swept) for',
        "D2-upper: the trace of one output of several",
        (f"{_START}::test_the_trace_is_that_of_all_outputs",),
    ),
    Mutation(
        f"{_CLAIMS}/deep/key_property.py",
        "return slope(widths, values[(values > 0).all(axis=1)])",
        "return slope(widths, np.maximum(values, 1e-9))",
        "S1b: a fit of 0 taken for a very small one",
        (f"{_CLAIM_TESTS}/deep/test_key_property.py::test_a_seed_whose_fit_needs_no_a_has_no_exponent_and_is_counted",),
    ),
    Mutation(
        f"{_CLAIMS}/deep/initialization.py",
        "return 2 * np.stack([results[start].largest.values",
        "return np.stack([results[start].largest.values",
        "D2-upper: λ_max for 2λ_max",
        (f"{_START}::test_over_depth_twice_the_largest_eigenvalue_stays_below_the_trace",),
    ),
    Mutation(
        f"{_CLAIMS}/deep/perturbation.py",
        "factor * np.sqrt(changes.loss.values) + constant",
        "factor * changes.loss.values + constant",
        "D6: the loss for its root on the right side",
        (
            f"{_CLAIM_TESTS}/deep/test_perturbation.py"
            "::test_the_right_side_of_semi_smoothness_is_the_one_at_the_network_s_loss",
        ),
    ),
    Mutation(
        f"{_CLAIMS}/deep/training.py",
        "step_size=0.5 * problem.num_outputs / (width * largest),",
        "step_size=0.5 * problem.num_outputs / largest,",
        "steps of deep networks that do not shrink with the width",
        (
            f"{_CLAIM_TESTS}/deep/test_training.py"
            "::test_steps_of_all_widths_are_half_of_what_the_limit_kernel_of_a_client_allows",
        ),
    ),
    Mutation(
        f"{_CLAIMS}/deep/width_exponents.py",
        "balanced_width(length, a=_A, b=sp.Integer(6))",
        "balanced_width(length, a=_A, b=sp.Integer(5))",
        "C5: another power of n in the radius of C2's width",
        (f"{_CLAIM_TESTS}/deep/test_width_exponents.py",),
    ),
    Mutation(
        f"{_CLAIMS}/federated/convergence.py",
        "local_steps=round(0.9 / rate_of_one)",
        "local_steps=round(0.09 / rate_of_one)",
        "C4's control: a bound that averaging does not forbid",
        (f"{_CLAIM_TESTS}/federated/test_convergence.py",),
    ),
    Mutation(
        f"{_CLAIMS}/kernel/concentration.py",
        "least, numbers = 0.75 * problem.lambda0.upper,",
        "least, numbers = 0.5 * problem.lambda0.upper,",
        "K4: ½λ0 for ¾λ0",
        (
            f"{_CLAIM_TESTS}/kernel/test_concentration.py"
            "::test_smallest_eigenvalues_are_held_against_three_quarters_of_lambda0",
        ),
    ),
    Mutation(
        f"{_CLAIMS}/kernel/limit.py",
        "return min(float(spectrum.apart), float(spectrum.antipodes_apart))",
        "return float(spectrum.apart)",
        "K2, K3: a separation that does not see antipodes",
        (f"{_CLAIM_TESTS}/kernel/test_limit.py::test_premises_are_computed",),
    ),
    Mutation(
        f"{_CLAIMS}/kernel/premises.py",
        "axis=1) - 1).max() <= rounding)",
        "axis=1) - 1).min() <= rounding)",
        "one row of unit norm is enough",
        (f"{_CLAIM_TESTS}/kernel/test_premises.py",),
    ),
    Mutation(
        f"{_CLAIMS}/kernel/start.py",
        "(results[job].output.values ** 2).mean(axis=1)",
        "np.abs(results[job].output.values).mean(axis=1)",
        "K7-mean: E |f| for E f²",
        (f"{_CLAIM_TESTS}/kernel/test_start.py::test_mean_square_output_is_a_half",),
    ),
    Mutation(
        f"{_CLAIMS}/kernel/threshold.py",
        "-np.log(points.lambda0)",
        "np.log(points.lambda0)",
        "K4-threshold: exponents in λ0 for those in 1/λ0",
        (f"{_CLAIM_TESTS}/kernel/test_threshold.py::test_exponents_are_those_of_the_points",),
    ),
    Mutation(
        f"{_CLAIMS}/prediction.py",
        "exact + (table.trained - table.linear)",
        "exact + (table.trained - exact)",
        "C7-bias: the noise of the batches left in",
        (f"{_PREDICTION}::test_the_bias_is_what_is_left_beside_the_same_batches_frozen",),
    ),
    Mutation(
        f"{_CLAIMS}/prediction.py",
        "abs(later.simulated - later[name]) / later.half_width for",
        "abs(later.simulated - later[name]) / later.simulated for",
        "C7-moment: relative to the mean for relative to its interval",
        (f"{_PREDICTION}::test_simulations_decide_by_the_half_width_of_their_interval",),
    ),
    Mutation(
        f"{_CLAIMS}/tightness/steps.py",
        "_over_steps(table).threshold.values.min()",
        "_over_steps(table).threshold.values.max()",
        "C6-stability: the largest of the largest stable step sizes",
        (
            f"{_CLAIM_TESTS}/tightness/test_sweeps.py"
            "::test_a_step_size_that_is_stable_at_one_local_step_alone_refutes_stability",
        ),
    ),
    Mutation(
        f"{_CLAIMS}/tightness/widths.py",
        "factor=_SPOILED if job.training.depth is None else 1 / _SPOILED",
        "factor=1.0",
        "C6-width's control: the step size that it is held against",
        (f"{_CLAIM_TESTS}/tightness/test_sweeps.py::test_widths_needed_are_held_against_those_asked_for",),
    ),
    Mutation(
        f"{_CLAIMS}/training/convergence.py",
        "(1 - step_size * problem.lambda0.lower / 2) ** _STEPS",
        "(1 - step_size * problem.lambda0.lower) ** _STEPS",
        "C1: twice the rate",
        (f"{_CLAIM_TESTS}/training/test_convergence.py::test_losses_are_held_against_the_rate_of_their_own_step_size",),
    ),
    Mutation(
        f"{_CLAIMS}/training/lazy.py",
        'run.neuron_movement.max("round").values / bounds',
        "run.neuron_movement.isel(round=-1).values / bounds",
        "S4: the movement at the end for the largest of the run",
        (f"{_LAZY}::test_the_largest_movement_of_the_run_is_held_against_the_bound",),
    ),
    Mutation(
        f"{_CLAIMS}/training/lazy.py",
        "return lowest.where(run.diverged_at < 0, -np.inf).values",
        "return lowest.values",
        "S6: a run that diverged keeps its eigenvalue",
        (f"{_LAZY}::test_the_smallest_eigenvalue_of_the_run_is_held_against_half_of_lambda0",),
    ),
    Mutation(
        f"{_CLAIMS}/training/local_shrinkage.py",
        "_worst_ratio(steps, steps.smallest),",
        "_worst_ratio(steps, steps.largest),",
        "S2: λ_max for λ_c",
        (f"{_CLAIM_TESTS}/training/test_local_shrinkage.py",),
    ),
    Mutation(
        f"{_JOBS}/certificate_traps.py",
        "return dataclasses.replace(proof, constant=1.0)",
        "return dataclasses.replace(proof, constant=proof.constant)",
        "a trap without its wrong turn",
        (f"{_JOB_TESTS}/test_certificate_traps.py::test_the_true_certificate_holds_where_the_wrong_one_is_caught",),
    ),
    Mutation(
        f"{_JOBS}/certificate_traps.py",
        "np.maximum(sums / predicted.local_up, -sums / predicted.local_down).max()",
        "np.maximum(sums / predicted.local_up, -sums / predicted.local_down).min()",
        "the switching that adds least",
        (f"{_JOB_TESTS}/test_certificate_traps.py",),
    ),
    Mutation(
        f"{_JOBS}/certified_cases.py",
        "targets=case.outputs - residual",
        "targets=case.outputs + residual",
        "cases off by the negative of their residual",
        (f"{_JOB_TESTS}/test_certificates.py::test_cases_begin_at_the_residual_and_step_size_that_they_name",),
    ),
    Mutation(
        f"{_JOBS}/certified_cases.py",
        "return case._replace(step_size=share * (1 / largest))",
        "return case._replace(step_size=share * (1.05 / largest))",
        "cases whose local steps may grow",
        (f"{_JOB_TESTS}/test_certificates.py::test_cases_begin_at_the_residual_and_step_size_that_they_name",),
    ),
    Mutation(
        f"{_JOBS}/curves.py",
        "prediction.local_sgd_second_moment(gram, split, start, config) / 2",
        "prediction.local_sgd_second_moment(gram, split, start, config)",
        "a predicted curve of ‖r‖² beside one of ½‖r‖²",
        (f"{_CURVES}::test_a_curve_begins_where_its_prediction_does_and_ends_at_its_residual",),
    ),
    Mutation(
        f"{_JOBS}/curves.py",
        "full = dataclasses.replace(config, batch_size=None)",
        "full = dataclasses.replace(config, batch_size=None, local_steps=1)",
        "the kernel's rate a step for its rate a round",
        (f"{_CURVES}::test_a_curve_begins_where_its_prediction_does_and_ends_at_its_residual",),
    ),
    Mutation(
        f"{_JOBS}/curves.py",
        "np.linalg.norm(gram - infinite) for gram in grams",
        "np.linalg.norm(gram - infinite, 2) for gram in grams",
        "a spectral norm beside a bound of the Frobenius norm",
        (f"{_CURVES}::test_spectra_at_the_start_and_differences_from_the_limit",),
    ),
    Mutation(
        f"{_JOBS}/predicted.py",
        "config = LocalSGD(self.step_size, 1, self.num_rounds * self.local_steps)",
        "config = LocalSGD(self.step_size, self.local_steps, self.num_rounds * self.local_steps)",
        "C7's control: τ steps between averages, τ times as many",
        (f"{_JOB_TESTS}/test_predicted.py",),
    ),
    Mutation(
        f"{_JOBS}/predicted.py",
        "np.where(order < config.batch_size, local, 0)",
        "np.where(order < config.batch_size, local, 0) * local.shape[1] / config.batch_size",
        "simulated batches of mean gradients",
        (
            f"{_JOB_TESTS}/test_predicted.py::test_simulations_meet_the_predicted_second_moment_and_not_the_square_of_the_mean",
        ),
    ),
    Mutation(
        f"{_JOBS}/training.py",
        "targets=dataset.targets * self.target_scale",
        "targets=dataset.targets",
        "controls whose targets do not grow",
        (f"{_JOB_TESTS}/test_training.py::test_targets_are_multiplied_and_the_network_is_not",),
    ),
    Mutation(
        f"{_JOBS}/training.py",
        "run.trajectory.reindex(labels, fill_value=np.inf)",
        "run.trajectory.reindex(labels, fill_value=0.0)",
        "rounds after a divergence have no loss",
        (f"{_JOB_TESTS}/test_training.py::test_rounds_after_a_divergence_have_an_infinite_loss",),
    ),
    Mutation(
        "verification/context.py",
        "self.seed if seed is None else seed, **apart",
        "self.seed, **apart",
        "repeats on one and the same data set",
        ("tests/verification/test_data.py::test_a_context_s_data_sets_differ_by_seed_and_distance",),
    ),
)
