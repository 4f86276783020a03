"""Gram matrices at infinite and finite width, and enclosures of their smallest eigenvalue."""

from tests.mutations.mutation import Mutation

_INFINITE, _EMPIRICAL = "tests/kernels/test_infinite.py", "tests/kernels/test_empirical.py"
_DEEP = "tests/kernels/test_deep.py"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/kernels/_neural_tangents.py",
        "                undo.callback(delattr, owner, name)\n",
        "",
        "names lent to JAX are kept",
        (f"{_EMPIRICAL}::test_importing_neural_tangents_leaves_jax_as_it_was",),
    ),
    Mutation(
        "ntk_localsgd/kernels/infinite.py",
        "(x @ x.T) * (np.pi - angles) / (2 * np.pi)",
        "(x @ x.T) * (np.pi - angles) / np.pi",
        "H^∞ twice as large",
        (f"{_INFINITE}::test_monte_carlo_over_neurons_agrees_within_its_own_interval",),
    ),
    Mutation(
        "ntk_localsgd/kernels/infinite.py",
        "return x, 2 * np.arctan2(cdist(x, x), cdist(x, -x))",
        "return x, np.arccos(np.clip(x @ x.T, -1, 1))",
        "angles by arccos, which loses half the digits",
        (f"{_INFINITE}::test_entries_are_within_the_stated_rounding_error_of_ball_arithmetic",),
    ),
    Mutation(
        "ntk_localsgd/kernels/infinite.py",
        "return num_samples * (input_dim + 12) * UNIT",
        "return (input_dim + 12) * UNIT",
        "rounding of H^∞: an entry's bound for the matrix norm's",
        (f"{_INFINITE}::test_stated_error_of_the_matrix_covers_every_pattern_of_errors_of_entries",),
    ),
    Mutation(
        "ntk_localsgd/kernels/infinite.py",
        "derivatives.append((np.pi - angles) / np.pi)",
        "derivatives.append((np.pi - angles) / (2 * np.pi))",
        "κ0 of one layer halved",
        (f"{_DEEP}::test_limit_by_recursion_equals_neural_tangents_with_its_factor_one_half",),
    ),
    Mutation(
        "ntk_localsgd/kernels/empirical.py",
        "return (matmul(x, weights.T) >= 0).astype(jnp.float32)",
        "return (matmul(x, weights.T) > 0).astype(jnp.float32)",
        "Gram matrix: patterns 1{z > 0}",
        (f"{_EMPIRICAL}::test_a_neuron_on_the_kink_is_active_as_in_the_derivative",),
    ),
    Mutation(
        "ntk_localsgd/kernels/empirical.py",
        "return (gram + gram.transpose(1, 0, 3, 2)) / 2",
        "return (gram + gram.transpose(1, 0, 2, 3)) / 2",
        "symmetric blocks: outputs not exchanged with samples",
        (f"{_DEEP}::test_equals_autodiff_and_neural_tangents[2-2]",),
    ),
    Mutation(
        "ntk_localsgd/kernels/empirical.py",
        "last = _tile_counts(weights[full:], x, y)",
        "last = _tile_counts(weights[full:][:0] if full else weights, x, y)",
        "the last, partial tile of neurons is not counted",
        (f"{_EMPIRICAL}::test_tiles_of_neurons_make_no_difference[4097]",),
    ),
    Mutation(
        "ntk_localsgd/kernels/empirical.py",
        "upper[i, j] if i <= j else upper[j, i].T",
        "upper[min(i, j), max(i, j)]",
        "lower blocks of the counts not transposed",
        (f"{_EMPIRICAL}::test_the_counts_of_many_samples_come_from_half_of_the_blocks[100]",),
    ),
    Mutation(
        "ntk_localsgd/kernels/layerwise.py",
        "hidden = [h[layer] for h, _ in sides]",
        "hidden = [h[layer + 1] for h, _ in sides]",
        "a layer's output for its input",
        (f"{_DEEP}::test_equals_autodiff_and_neural_tangents[1-2]",),
    ),
    Mutation(
        "ntk_localsgd/kernels/layerwise.py",
        "backs = [jnp.where(z[layer - 1][:, None] >= 0, _times(back, weights), 0)",
        "backs = [_times(back, weights)",
        "backward pass: the mask of the layer below dropped",
        (f"{_DEEP}::test_equals_autodiff_and_neural_tangents[1-2]",),
    ),
)
