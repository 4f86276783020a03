"""Command lines: the numbers that they show, write and refuse."""

from tests.mutations.mutation import Mutation

_CLI, _PREDICT, _CERTIFY = "tests/cli/test_main.py", "tests/cli/test_predict.py", "tests/cli/test_certify.py"

_TRACK = "tests/cli/test_track.py"

_DIAGNOSE = "tests/cli/test_diagnose.py"

_SEARCH = "tests/cli/test_search.py"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/cli/search.py",
        "failed, worked = (failed, middle) if works_here else (middle, worked)",
        "failed, worked = (middle, worked) if works_here else (failed, middle)",
        "bisection keeps the wrong half",
        (f"{_SEARCH}::test_the_threshold_is_found_to_the_ratio",),
    ),
    Mutation(
        "ntk_localsgd/cli/timing.py",
        "raise TimeUp",
        "return",
        "a time limit that ends nothing",
        (f"{_SEARCH}::test_a_block_ends_when_its_time_is_up_and_not_before",),
    ),
    Mutation(
        "ntk_localsgd/cli/inputs.py",
        "dataset.norms if given and changed else None",
        "dataset.norms if changed else None",
        "rows as the file has them where scaled ones were asked for",
        ("tests/cli/test_inputs.py::test_the_loss_at_the_start_is_the_user_s",),
    ),
    Mutation(
        "ntk_localsgd/cli/diagnose.py",
        "diagnosis.largest_stable_step(gram, split, config) / start.factor",
        "diagnosis.largest_stable_step(gram, split, config)",
        "the network's stable step shown for the scaled function's",
        (f"{_DIAGNOSE}::test_the_scale_leaves_rates_and_divides_steps",),
    ),
    Mutation(
        "ntk_localsgd/cli/diagnose.py",
        "parts = tuple(np.searchsorted(kept, part[part != row]) for part in split.indices)",
        "parts = tuple(part[part != row] for part in split.indices)",
        "clients of rows that have moved up",
        (f"{_DIAGNOSE}::test_every_change_is_what_the_changed_setting_gives",),
    ),
    Mutation(
        "ntk_localsgd/cli/track.py",
        "return start.factor / 2 * np.square(prediction",
        "return start.factor * np.square(prediction",
        "predicted loss without the half",
        (f"{_TRACK}::test_what_is_written_is_the_run_of_the_given_network",),
    ),
    Mutation(
        "ntk_localsgd/cli/track.py",
        'if entry.units.startswith("target²") or entry.when == "gram":',
        'if entry.units.startswith("target²"):',
        "eigenvalues of the network shown for those of the scaled one",
        (f"{_TRACK}::test_the_scale_changes_units_and_not_what_moves",),
    ),
    Mutation(
        "ntk_localsgd/cli/inputs.py",
        "spread.max() >= _UNEVEN * spread.min()",
        "spread.max() <= _UNEVEN * spread.min()",
        "standardised columns proposed where columns are even",
        ("tests/cli/test_certified_forecast.py::test_a_singular_kernel_of_uneven_columns_names_standardised_ones",),
    ),
    Mutation(
        "ntk_localsgd/cli/start.py",
        "return local_sgd.LocalSGD(self.factor * self.step_size.value,",
        "return local_sgd.LocalSGD(self.step_size.value,",
        "the scaled function's step size given to the network",
        ("tests/cli/test_diagnose.py::test_the_scale_leaves_rates_and_divides_steps",),
    ),
    Mutation(
        "figures/trajectory.py",
        "variable = variable.isel({step: -1}) if step in",
        "variable = variable.isel({step: 0}) if step in",
        "drift before any step",
        ("tests/figures/test_trajectory.py::test_everything_recorded_is_drawn_where_it_belongs",),
    ),
    Mutation(
        "ntk_localsgd/cli/gram.py",
        "largest = kernels.spectral_norm(gram).upper + error",
        "largest = smallest.upper",
        "condition: λ_min for λ_max",
        (f"{_CLI}::test_gram_shows_separation_enclosure_and_condition",),
    ),
    Mutation(
        "ntk_localsgd/cli/gram.py",
        'f"{kernels.spectral_norm(empirical - gram).upper:.6g}"',
        'f"{np.linalg.norm(empirical - gram):.6g}"',
        "‖H(W) − H^∞‖_F shown as ‖·‖₂",
        (f"{_CLI}::test_gram_of_a_network",),
    ),
    Mutation(
        "ntk_localsgd/cli/gram.py",
        "kernels.smallest_eigenvalue(gram, error=error)",
        "kernels.smallest_eigenvalue(gram)",
        "enclosure shown without the Gram matrix's own error",
        (f"{_CLI}::test_gram_shows_separation_enclosure_and_condition",),
    ),
    Mutation(
        "ntk_localsgd/cli/parsing.py",
        "_REFUSED, _INTERRUPTED = 2, 130",
        "_REFUSED, _INTERRUPTED = 1, 130",
        "bad input with the exit code of a refutation",
        (f"{_CLI}::test_bad_input_gets_one_sentence_and_exit_code_2",),
    ),
    Mutation(
        "ntk_localsgd/cli/certified_run.py",
        "bound = factor * (proof.constant * proof.rate**t * proof.residual_norm) ** 2 / 2",
        "bound = factor * proof.constant * proof.rate**t * proof.residual_norm / 2",
        "the bound drawn beside losses is one of residuals",
        (f"{_CERTIFY}::test_the_bound_is_drawn_in_losses_above_the_run_s",),
    ),
    Mutation(
        "ntk_localsgd/cli/certify.py",
        "return 0 if proved else 1",
        "return 0",
        "exit code 0 without a proof",
        (f"{_CERTIFY}::test_a_narrow_network_is_trained_until_it_is_certified",),
    ),
    Mutation(
        "ntk_localsgd/cli/output.py",
        "allow_nan=False",
        "allow_nan=True",
        "NaN in what is called JSON",
        (f"{_PREDICT}::test_results_hold_no_nan",),
    ),
    Mutation(
        "ntk_localsgd/cli/predict.py",
        'curves = {"full_batch": (path**2).sum(axis=1) / 2}',
        'curves = {"full_batch": (path**2).sum(axis=1)}',
        "predicted loss without the half",
        (f"{_PREDICT}::test_what_is_written_is_the_prediction_from_the_given_network",),
    ),
    Mutation(
        "ntk_localsgd/cli/predict.py",
        'curves["minibatch_without_noise"] = (mean**2).sum(axis=1) / 2',
        'curves["minibatch_without_noise"] = (path**2).sum(axis=1) / 2',
        "full-batch path for the minibatches' mean",
        (f"{_PREDICT}::test_what_is_written_is_the_prediction_from_the_given_network",),
    ),
    Mutation(
        "ntk_localsgd/diagnosis.py",
        "math.log(10) / (-2 * math.log(rate))",
        "math.log(10) / -math.log(rate)",
        "the loss falls like the residual",
        ("tests/test_diagnosis.py::test_rounds_per_tenth",),
    ),
    Mutation(
        "ntk_localsgd/cli/start.py",
        "client = int(np.argmax(largest))",
        "client = int(np.argmin(largest))",
        "largest step size by the tamest client",
        (f"{_PREDICT}::test_unequal_clients_are_limited_by_the_one_with_the_largest_eigenvalue",),
    ),
    Mutation(
        "ntk_localsgd/errors.py",
        'return f"{math.floor(value / unit) * unit:.6g}"',
        'return f"{math.ceil(value / unit) * unit:.6g}"',
        "largest step size rounded up",
        (f"{_PREDICT}::test_the_largest_allowed_step_size_is_accepted_as_printed",),
    ),
    Mutation(
        "ntk_localsgd/cli/start.py",
        "(outputs if self.norms is None else self.norms * outputs)",
        "outputs",
        "a network asked about scaled rows that was trained on the user's",
        ("tests/cli/test_inputs.py::test_the_loss_at_the_start_is_the_user_s",),
    ),
    Mutation(
        "ntk_localsgd/cli/start.py",
        "matrix, error = unit * np.outer(s, s)",
        "matrix, error = unit * s[:, None]",
        "Θ of rows as given: one norm for two",
        ("tests/cli/test_inputs.py::test_a_network_of_the_user_s_is_asked_about_the_rows_it_was_trained_on",),
    ),
    Mutation(
        "ntk_localsgd/cli/bounds.py",
        '"yes" if bound.premise_met(**numbers) else "no"',
        '"yes" if bound.evaluate(**numbers) else "no"',
        "a premise is called met where the bound can be computed",
        (f"{_CLI}::test_bounds_are_evaluated_and_solved",),
    ),
    Mutation(
        "ntk_localsgd/cli/bounds.py",
        "e+{len(digits) - 1}",
        "e+{len(digits)}",
        "widths beyond float64 shown ten times too large",
        (f"{_CLI}::test_a_width_beyond_float64_is_shown_with_its_power_of_ten",),
    ),
    Mutation(
        "ntk_localsgd/cli/main.py",
        "return execute(COMMANDS[argv[0]]",
        "return 0 * execute(COMMANDS[argv[0]]",
        "every command ends with exit code 0",
        (f"{_CLI}::test_bad_input_gets_one_sentence_and_exit_code_2",),
    ),
    Mutation(
        "ntk_localsgd/cli/main.py",
        'jax.config.update("jax_enable_x64", True)',
        'jax.config.update("jax_enable_x64", False)',
        "the command line predicts in single precision",
        (f"{_CLI}::test_the_command_line_computes_in_double_precision_by_itself",),
    ),
)
