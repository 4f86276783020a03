"""Data, separation, clients, randomness, networks."""

from tests.mutations.mutation import Mutation

_DATA, _CLIENTS = "tests/test_datasets.py", "tests/test_clients.py"
_TWO, _DEEP = "tests/networks/test_two_layer.py", "tests/networks/test_deep.py"
_FROZEN, _STACK = "tests/networks/test_frozen.py", "tests/networks/test_stack.py"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/datasets.py",
        "targets = np.where(labels == classes[1], 1.0, -1.0)",
        "targets = np.where(labels == classes[0], 1.0, -1.0)",
        "targets +1 for the first class",
        (f"{_DATA}::test_two_classes_have_targets_plus_minus_one_by_label",),
    ),
    Mutation(
        "ntk_localsgd/datasets.py",
        "rng.standard_normal((num_samples, input_dim))",
        "rng.uniform(-1, 1, (num_samples, input_dim))",
        "sphere: directions of points of the cube are not uniform",
        (f"{_DATA}::test_points_are_uniform_on_the_sphere_and_targets_fair",),
    ),
    Mutation(
        "ntk_localsgd/datasets.py",
        "return min(self.separation, self.most_opposite_pair.distance)",
        "return max(self.separation, self.most_opposite_pair.distance)",
        "two-sided separation: the larger distance",
        (f"{_DATA}::test_separation_matches_brute_force_in_tiles",),
    ),
    Mutation(
        "ntk_localsgd/clients.py",
        "np.arange(width)[None, :] < np.array(self.sizes)[:, None]",
        "np.arange(width)[None, :] <= np.array(self.sizes)[:, None]",
        "padding mask: ≤ for <",
        (f"{_CLIENTS}::test_padding_is_masked_and_only_padding",),
    ),
    Mutation(
        "ntk_localsgd/clients.py",
        "np.linalg.norm(rows[part], 2)",
        "np.linalg.norm(rows[part])",
        "χ_c: Frobenius norm for the spectral one",
        (f"{_CLIENTS}::test_spectral_norms",),
    ),
    Mutation(
        "ntk_localsgd/clients.py",
        "np.full(num_clients, concentration)",
        "np.full(num_clients, 1 / concentration)",
        "Dirichlet: the concentration inverted",
        (f"{_CLIENTS}::test_concentration_goes_from_one_class_to_all",),
    ),
    Mutation(
        "ntk_localsgd/clients.py",
        "* len(members) + rng.random()).astype(int)",
        "* len(members) + 0.5).astype(int)",
        "Dirichlet: cuts rounded to the nearest, which starves the first and last clients",
        (f"{_CLIENTS}::test_dirichlet_favours_no_client",),
    ),
    Mutation(
        "ntk_localsgd/files.py",
        'errors="coerce")',
        'errors="coerce").fillna(0)',
        "text and gaps of a table read as zeros",
        ("tests/test_datasets.py::test_bad_files_are_refused_in_one_sentence",),
    ),
    Mutation(
        "ntk_localsgd/files.py",
        "names=names, index_col=False,",
        "names=names,",
        "columns of a table shift where rows are longer than the header",
        ("tests/test_datasets.py::test_bad_files_are_refused_in_one_sentence",),
    ),
    Mutation(
        "ntk_localsgd/datasets.py",
        "(labels[:, None] == present[None, :])",
        "(labels[:, None] == np.unique(labels)[None, :])",
        "one-hot targets as wide as the subset's classes",
        ("tests/test_datasets.py::test_one_hot_targets_have_a_column_for_every_digit_there_is",),
    ),
    Mutation(
        "ntk_localsgd/randomness.py",
        "np.asarray(bits, np.uint32).ravel().tolist()",
        "np.asarray(bits, np.uint32).ravel()[-1:].tolist()",
        "a key's high bits dropped",
        ("tests/test_randomness.py",),
    ),
    Mutation(
        "ntk_localsgd/networks/activations.py",
        "return jnp.where(z >= 0, factor,",
        "return jnp.where(z > 0, factor,",
        "σ'(0) = 0",
        (f"{_TWO}::test_derivative_at_the_kink_is_one_as_in_the_pattern",),
    ),
    Mutation(
        "ntk_localsgd/networks/network.py",
        'partial(jnp.matmul, precision="highest")',
        "partial(jnp.matmul)",
        "products in a GPU's default precision",
        (f"{_TWO}::test_no_product_of_weights_may_be_rounded_to_a_lower_precision_on_a_gpu",),
    ),
    Mutation(
        "ntk_localsgd/networks/stack.py",
        "values / jnp.sqrt(jnp.asarray(self.width, self.dtype))",
        "values / jnp.asarray(self.width, self.dtype)",
        "1/m for 1/√m in the outputs",
        (f"{_TWO}::test_outputs_and_patterns_match_numpy[float32]",),
    ),
    Mutation(
        "ntk_localsgd/networks/stack.py",
        "return tuple(z >= 0 for z in self.pre_activations(x))",
        "return tuple(z > 0 for z in self.pre_activations(x))",
        "pattern 1{z > 0}",
        (f"{_TWO}::test_derivative_at_the_kink_is_one_as_in_the_pattern",),
    ),
    Mutation(
        "ntk_localsgd/networks/two_layer.py",
        "jax.random.split(jax.random.fold_in(key, block))",
        "jax.random.split(key)",
        "every block of neurons is the same",
        (f"{_TWO}::test_init_is_made_of_independent_blocks_that_can_be_streamed",),
    ),
    Mutation(
        "ntk_localsgd/networks/deep.py",
        "jnp.asarray(variance**0.5, dtype)",
        "jnp.asarray(variance, dtype)",
        "variance for standard deviation at initialization",
        (f"{_DEEP}::test_weights_have_the_paper_s_variances",),
    ),
    Mutation(
        "ntk_localsgd/networks/stack.py",
        "matmul(hidden[-1], weights.T)",
        "matmul(hidden[-1], weights)",
        "a transpose missing between hidden layers",
        (f"{_DEEP}::test_outputs_and_patterns_match_numpy[3-float64]",),
    ),
    Mutation(
        "ntk_localsgd/networks/frozen.py",
        "zip(self.initial.pre_activations(given), net.hidden_weights, strict=True)",
        "zip(net.pre_activations(given), net.hidden_weights, strict=True)",
        "frozen patterns move with the weights",
        (f"{_FROZEN}::test_outputs_are_linear_in_the_weights_of_one_trained_layer",),
    ),
    Mutation(
        "ntk_localsgd/networks/activations.py",
        "below + z * xp.exp(-z * z / 2) / math.sqrt(2 * math.pi)",
        "below + xp.exp(-z * z / 2) / math.sqrt(2 * math.pi)",
        "GELU's derivative: a factor z dropped",
        (f"{_STACK}::test_slopes_are_the_derivative_on_device_and_host_within_their_stated_bounds",),
    ),
    Mutation(
        "ntk_localsgd/networks/stack.py",
        "return net if all(same) else None",
        "return net",
        "a subclass with outputs of its own is taken for a stack",
        (f"{_STACK}::test_a_subclass_is_a_stack_until_it_overrides_what_one_is",),
    ),
)
