"""Local SGD, its observables and records, and the prediction of its course."""

from tests.mutations.mutation import Mutation

_PLACEMENT, _SEEDS = "tests/test_placement.py", "tests/test_seeds.py"
_LOCAL, _SEEN = "tests/test_local_sgd.py", "tests/test_trajectory.py"
_DEEP, _PREDICTED, _STORED = "tests/test_deep_local_sgd.py", "tests/test_prediction.py", "tests/test_results.py"
_REFERENCE = f"{_LOCAL}::test_weights_and_losses_match_the_reference_with_unequal_clients"
_ROUNDS, _STEPS = (
    f"{_SEEN}::test_round_observables_match_the_reference",
    f"{_SEEN}::test_local_step_observables_match_the_reference",
)
_SHARED = "tests/test_shared_weights.py::test_the_mean_movement_is_that_of_clients_with_weights_of_their_own"
_RECURSION = f"{_PREDICTED}::test_local_gd_is_the_recursion_step_by_step_for_unequal_clients"
_ALL_BATCHES = f"{_PREDICTED}::test_second_moment_and_mean_are_those_over_all_batches"
_CONTRACTION = f"{_PREDICTED}::test_contraction_is_the_norm_of_the_operator_and_bounds_every_round"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/local_sgd.py",
        "diverged_at=first + kept + 1)",
        "diverged_at=first + kept)",
        "divergence dated one round too early",
        (f"{_LOCAL}::test_a_diverging_run_is_recorded_with_its_round_and_ends_finite",),
    ),
    Mutation(
        "ntk_localsgd/local_sgd.py",
        "length = math.gcd(*cadences) if cadences",
        "length = max(cadences) if cadences",
        "chunks miss the shorter cadence",
        (f"{_LOCAL}::test_stop_and_gram_keep_their_own_cadence",),
    ),
    Mutation(
        "ntk_localsgd/local_sgd.py",
        "config.batch_size > min(clients.sizes)",
        "config.batch_size > max(clients.sizes)",
        "batches larger than the smallest client",
        (f"{_LOCAL}::test_bad_settings_get_one_sentence",),
    ),
    Mutation(
        "ntk_localsgd/shared_weights.py",
        "return 2 * (local_steps - 1) * rows <= net.width",
        "return (local_steps - 1) * rows <= net.width",
        "low-rank terms where they are the slower way",
        ("tests/test_shared_weights.py::test_it_pays_for_deep_networks_that_are_wide_beside_the_samples_of_a_round",),
    ),
    Mutation(
        "ntk_localsgd/shared_weights.py",
        "eta * matmul(_at(inner, at), pushes)",
        "matmul(_at(inner, at), pushes)",
        "the first layer's steps without their size",
        (_SHARED,),
    ),
    Mutation(
        "ntk_localsgd/shared_weights.py",
        "moved = _low_rank(slope, slopes[layer], inputs[layer])",
        "moved = _low_rank(slope, inputs[layer], slopes[layer])",
        "a transposed step in the way back",
        (_SHARED,),
    ),
    Mutation(
        "ntk_localsgd/shared_weights.py",
        "jnp.where(mask[..., None], outputs - targets.reshape(outputs.shape), 0)",
        "outputs - targets.reshape(outputs.shape)",
        "a mask dropped",
        (_SHARED,),
    ),
    Mutation(
        "ntk_localsgd/trajectory.py",
        "return jax.tree.map(jnp.add, total, term), other",
        "return term, other",
        "only the last client's movement",
        (_REFERENCE,),
    ),
    Mutation(
        "ntk_localsgd/rounds.py",
        "return jax.tree.map(lambda w: w / number, total)",
        "return total",
        "η_g for η_g/K",
        (_REFERENCE,),
    ),
    Mutation(
        "ntk_localsgd/rounds.py",
        "lambda w, step: w + server_eta * step, start, moved",
        "lambda w, step: w + step, start, moved",
        "server step size ignored",
        (_REFERENCE,),
    ),
    Mutation(
        "ntk_localsgd/rounds.py",
        "jnp.where(mask, keys, -1)",
        "keys",
        "padding drawn into batches",
        (f"{_LOCAL}::test_batches_are_uniform_and_without_replacement",),
    ),
    Mutation(
        "ntk_localsgd/rounds.py",
        "_stream(key, t, k, client)",
        "_stream(key, t, client)",
        "the same batch at every local step",
        (f"{_LOCAL}::test_minibatch_runs_match_the_reference_fed_with_the_documented_batches",),
    ),
    Mutation(
        "ntk_localsgd/rounds.py",
        "if not (full and (at_taken or handed_on)):",
        "if not (at_taken or handed_on):",
        "full gradients handed on to minibatch steps",
        (f"{_SEEN}::test_rounds_alone_give_the_same_as_rounds_and_steps_together[1]",),
    ),
    Mutation(
        "ntk_localsgd/trajectory.py",
        "return jnp.where(mask if left.ndim == 1 else mask[:, None], left, 0)",
        "return left",
        "padding counts as samples",
        (_REFERENCE,),
    ),
    Mutation(
        "ntk_localsgd/trajectory.py",
        "compute=lambda s: norm(difference(s.network.trained, s.previous.trained))",
        "compute=lambda s: norm(difference(s.network.trained, s.initial.trained))",
        "path length sums distances from the start",
        (_ROUNDS,),
    ),
    Mutation(
        "ntk_localsgd/trajectory.py",
        "jnp.max(jnp.linalg.norm(w, axis=1)) for w in moved",
        "jnp.max(jnp.linalg.norm(w, axis=0)) for w in moved",
        "movement of inputs for movement of neurons",
        (f"{_SEEN}::test_row_movement_is_the_largest_row",),
    ),
    Mutation(
        "ntk_localsgd/trajectory.py",
        "(residual(self.average, *self.samples))",
        "(residual(self.network, *self.samples))",
        "Jacobians' difference at the client's residual",
        (_STEPS,),
    ),
    Mutation(
        "ntk_localsgd/trajectory.py",
        "return jnp.where(self.mask, layer_flips(now, average), 0)",
        "return layer_flips(now, average)",
        "flips of padding counted",
        (f"{_SEEN}::test_padding_flips_nothing",),
    ),
    Mutation(
        "ntk_localsgd/trajectory.py",
        "for _ in range(2):  # once leaves",
        "for _ in range(0):  # once leaves",
        "Lanczos without reorthogonalization",
        (f"{_DEEP}::test_lanczos_never_exceeds_the_norm_and_comes_close",),
    ),
    Mutation(
        "ntk_localsgd/recording.py",
        "gram.transpose(0, 2, 1, 3).reshape(size, size)",
        "gram.reshape(size, size)",
        "Gram matrix of several outputs reshaped in the wrong order",
        (f"{_DEEP}::test_gram_of_all_outputs_is_one_matrix",),
    ),
    Mutation(
        "ntk_localsgd/recording.py",
        "np.cumsum(v, axis=0, dtype=np.float64)",
        "np.cumsum(v, axis=0)",
        "path length summed in float32",
        ("tests/test_recording.py",),
    ),
    Mutation(
        "ntk_localsgd/results.py",
        "[_plain(config), code_fingerprint(_PACKAGE), versions(), device_name()]",
        "[_plain(config), code_fingerprint(_PACKAGE), device_name()]",
        "results of other library versions are read",
        (f"{_STORED}::test_every_part_of_the_identity_changes_the_name",),
    ),
    Mutation(
        "ntk_localsgd/results.py",
        'source.relative_to(path.parent).as_posix().encode() + b"\\0" + source.read_bytes()',
        "source.read_bytes()",
        "fingerprint does not see a renamed module",
        (f"{_STORED}::test_fingerprint_changes_with_the_code",),
    ),
    Mutation(
        "ntk_localsgd/prediction.py",
        "return np.eye(len(theta)) - server_step_size / clients.num_clients * product",
        "return np.eye(len(theta)) - server_step_size * product",
        "B = I − η_g ΘM, K missing",
        (_RECURSION,),
    ),
    Mutation(
        "ntk_localsgd/prediction.py",
        "product[:, part] = theta[:, part] @ weights[np.ix_(part, part)]",
        "product[part] = weights[np.ix_(part, part)] @ theta[part]",
        "MΘ for ΘM",
        (_RECURSION,),
    ),
    Mutation(
        "ntk_localsgd/prediction.py",
        "vectors * np.sqrt(weight) @ vectors.T",
        "vectors * weight @ vectors.T",
        "M for M^(1/2) in the norm",
        (_CONTRACTION,),
    ),
    Mutation(
        "ntk_localsgd/prediction.py",
        "clients.num_clients * eigenvalues[[0, -1]]",
        "clients.num_clients * eigenvalues[[-1]]",
        "rate by the largest eigenvalue alone",
        (_CONTRACTION,),
    ),
    Mutation(
        "ntk_localsgd/prediction.py",
        "np.where(x == 0, local_steps, np.where(x < 1, small, large))",
        "np.where(x == 0, local_steps, large)",
        "accumulated weights cancel at small eigenvalues",
        (f"{_PREDICTED}::test_accumulated_weights_are_exact_for_tiny_zero_and_large_eigenvalues",),
    ),
    Mutation(
        "ntk_localsgd/prediction.py",
        "batch_size * (batch_size - 1) / (n * (n - 1)) if n > 1",
        "batch_size**2 / n**2 if n > 1",
        "batches with replacement",
        (_ALL_BATCHES,),
    ),
    Mutation(
        "ntk_localsgd/prediction.py",
        "return batch_size / np.array(clients.sizes, float)",
        "return batch_size * clients.num_clients / sum(clients.sizes) * np.ones(clients.num_clients)",
        "b K/n for b/n_c",
        (_ALL_BATCHES,),
    ),
    Mutation(
        "ntk_localsgd/prediction.py",
        "+ eta * p1 * second - noise",
        "+ eta * p1 * second",
        "noise of the batch missing in the cross moment",
        (_ALL_BATCHES,),
    ),
    Mutation(
        "ntk_localsgd/placement.py",
        "if number % devices:",
        "if number < devices:",
        "devices that do not divide the clients go unnoticed",
        (f"{_PLACEMENT}::test_devices_that_do_not_divide_get_one_sentence",),
    ),
    Mutation(
        "ntk_localsgd/seeds.py",
        "diverged[k] |= record",
        "diverged[0] |= record",
        "divergence laid to the first network",
        (f"{_SEEDS}::test_a_network_that_diverges_does_so_alone",),
    ),
    Mutation(
        "ntk_localsgd/seeds.py",
        "else Run(net.with_trained(_of(trained, k))",
        "else Run(net.with_trained(_of(trained, 0))",
        "every network ends as the first",
        (f"{_SEEDS}::test_every_network_runs_as_it_does_alone",),
    ),
)
