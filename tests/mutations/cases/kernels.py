"""Gram matrices at infinite and finite width, and enclosures of their smallest eigenvalue."""

from tests.mutations.mutation import Mutation

_INFINITE, _EMPIRICAL = "tests/kernels/test_infinite.py", "tests/kernels/test_empirical.py"
_DEEP = "tests/kernels/test_deep.py"
_STACKS, _ACTIVATED = "tests/kernels/test_stacks.py", "tests/kernels/test_activations.py"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/kernels/projections.py",
        "np.square(vectors.T @ (targets / size))[::-1]",
        "np.square(vectors @ (targets / size))[::-1]",
        "projections on rows of the eigenvectors' matrix",
        ("tests/kernels/test_published.py::test_projections_are_what_gradient_descent_leaves",),
    ),
    Mutation(
        "ntk_localsgd/kernels/infinite.py",
        "values = dual.square - dual.gap",
        "values = dual.square + dual.gap",
        "the second layer's share of the kernel on the wrong side of its diagonal",
        ("tests/kernels/test_published.py::test_relu_s_second_layer_by_its_formula",),
    ),
    Mutation(
        "ntk_localsgd/kernels/empirical.py",
        "return jnp.triu(gram) + jnp.triu(gram, 1).T",
        "return jnp.triu(gram) + jnp.triu(gram).T",
        "the Gram matrix's diagonal in both halves",
        (f"{_EMPIRICAL}::test_the_program_of_many_samples_is_compiled_at_once",),
    ),
    Mutation(
        "ntk_localsgd/kernels/neural_tangents.py",
        "                undo.callback(delattr, owner, name)\n",
        "",
        "names lent to JAX are kept",
        ("tests/test_fresh_process.py::test_importing_neural_tangents_leaves_jax_as_it_was",),
    ),
    Mutation(
        "ntk_localsgd/kernels/infinite.py",
        "inner * activation.agreement(angles) / (2 * np.pi)",
        "inner * activation.agreement(angles) / np.pi",
        "H^∞ twice as large",
        (f"{_INFINITE}::test_monte_carlo_over_neurons_agrees_within_its_own_interval",),
    ),
    Mutation(
        "ntk_localsgd/kernels/infinite.py",
        "angles = 2 * np.arctan2(cdist(rows, others), cdist(rows, -others))",
        "angles = np.arccos(np.clip(rows @ others.T, -1, 1))",
        "angles by arccos, which loses half the digits",
        (f"{_INFINITE}::test_entries_are_within_the_stated_rounding_error_of_ball_arithmetic",),
    ),
    Mutation(
        "ntk_localsgd/kernels/infinite.py",
        "return n if k == n else",
        "return 1 if k == n else",
        "rounding of H^∞: an entry's bound for the matrix norm's",
        (f"{_INFINITE}::test_stated_error_of_the_matrix_covers_every_pattern_of_errors_of_entries",),
    ),
    Mutation(
        "ntk_localsgd/kernels/infinite.py",
        "slopes.append(scale * dual.slopes)",
        "slopes.append(dual.slopes)",
        "κ0 of one layer halved",
        (f"{_DEEP}::test_limit_by_recursion_equals_neural_tangents_with_its_factor_one_half",),
    ),
    Mutation(
        "ntk_localsgd/kernels/counts.py",
        "return (matmul(x, weights.T) >= 0).astype(jnp.float32)",
        "return (matmul(x, weights.T) > 0).astype(jnp.float32)",
        "Gram matrix: patterns 1{z > 0}",
        (f"{_EMPIRICAL}::test_a_neuron_on_the_kink_is_active_as_in_the_derivative",),
    ),
    Mutation(
        "ntk_localsgd/kernels/empirical.py",
        "gram.transpose(0, 2, 1, 3).reshape(samples * outputs, -1)",
        "gram.transpose(0, 2, 3, 1).reshape(samples * outputs, -1)",
        "symmetric blocks: outputs not exchanged with samples",
        (f"{_DEEP}::test_equals_autodiff_and_neural_tangents[2-2]",),
    ),
    Mutation(
        "ntk_localsgd/kernels/counts.py",
        "_tile_counts([side[full:] for side in sides], x, y)",
        "_tile_counts([side[full:][:0] if full else side for side in sides], x, y)",
        "the last, partial tile of neurons is not counted",
        (f"{_EMPIRICAL}::test_tiles_of_neurons_make_no_difference[4097]",),
    ),
    Mutation(
        "ntk_localsgd/kernels/counts.py",
        "((j, i), whole.T)",
        "((j, i), whole)",
        "lower blocks of the counts not transposed",
        (f"{_EMPIRICAL}::test_the_counts_of_many_samples_come_from_half_of_the_blocks[100]",),
    ),
    Mutation(
        "ntk_localsgd/kernels/empirical.py",
        "hidden = [h[layer] for h, _ in passes]",
        "hidden = [h[layer + 1] for h, _ in passes]",
        "a layer's output for its input",
        (f"{_DEEP}::test_equals_autodiff_and_neural_tangents[1-2]",),
    ),
    Mutation(
        "ntk_localsgd/kernels/empirical.py",
        "net.activation.times_slope(z[layer][:, None], g)",
        "(net.activation.times_slope(z[layer][:, None], g) if layer == net.depth - 1 else g)",
        "backward pass: the slopes of the layers below dropped",
        (f"{_DEEP}::test_equals_autodiff_and_neural_tangents[1-2]",),
    ),
    Mutation(
        "ntk_localsgd/kernels/empirical.py",
        "new + old if net.residual else new",
        "new",
        "residual connections left out on the way back",
        (f"{_STACKS}::test_every_stack_s_gram_is_that_of_autodiff",),
    ),
    Mutation(
        "ntk_localsgd/kernels/counts.py",
        "_pattern(weights[-1], y)",
        "_pattern(weights[0], y)",
        "Gram matrix between clients: one client's patterns for both",
        (f"{_STACKS}::test_clients_of_two_layers_meet_by_their_own_patterns",),
    ),
    Mutation(
        "ntk_localsgd/kernels/empirical_error.py",
        "relative = u / (1 - roundings * u) * float(np.linalg.norm(norms[0])) * float(np.linalg.norm(norms[1]))",
        "relative = u / (1 - roundings * u) * float(np.sqrt(len(x) * len(y)))",
        "rounding of the two-layer Gram matrix as if rows were of unit norm",
        (f"{_STACKS}::test_the_bound_of_two_layers_grows_with_the_rows",),
    ),
    Mutation(
        "ntk_localsgd/kernels/empirical_error.py",
        "np.linalg.norm((stored - exact).astype(np.float64)) * SLACK + rest",
        "0 * stored.size + rest",
        "rounding of a stack's Gram matrix: that of the finer evaluation alone",
        (f"{_STACKS}::test_single_precision_error_of_deep_networks_is_near_the_true_one",),
    ),
    Mutation(
        "ntk_localsgd/kernels/infinite.py",
        "square + dual.square + 2 * mean * dual.mean",
        "square + dual.square",
        "residual connections: the product of means left out",
        (f"{_ACTIVATED}::test_deep_limit_is_what_wide_networks_tend_to",),
    ),
    Mutation(
        "ntk_localsgd/kernels/infinite.py",
        "angles = [dim + 20 + _ANGLE * layer for layer in range(1, depth + 1)]",
        "angles = [0 * dim for layer in range(1, depth + 1)]",
        "rounding of the deep limit: angles taken for exact",
        (f"{_ACTIVATED}::test_the_deep_limit_is_within_its_stated_error_of_ball_arithmetic",),
    ),
)
