"""Networks of one's own."""

from tests.mutations.mutation import Mutation

_OWN = "tests/networks/test_perceptron.py"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/networks/perceptron.py",
        "z + self.biases[layer][None]",
        "z",
        "biases left out",
        (f"{_OWN}::test_outputs_are_numpy_s_and_trained_arrays_go_in_and_out",),
    ),
    Mutation(
        "ntk_localsgd/networks/perceptron.py",
        "[w.T for w in weights] if transposed else weights",
        "weights",
        "Flax's kernels taken for PyTorch's weights",
        (f"{_OWN}::test_files_of_pytorch_and_flax_give_the_same_network",),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/states.py",
        "float(pattern.shape[-1]) for pattern in shapes",
        "float(shapes[0].shape[-1]) for pattern in shapes",
        "shares of the first layer's width in every layer",
        (f"{_OWN}::test_shares_of_flips_count_every_layer_s_own_width",),
    ),
    Mutation(
        "ntk_localsgd/responses.py",
        "part[:, None] * outputs + np.arange(outputs)",
        "part[:, None] + len(rows) * np.arange(outputs)",
        "outputs in another order than the Gram matrix has them",
        ("tests/test_responses.py::test_several_outputs_are_rows_of_their_samples_clients",),
    ),
    Mutation(
        "ntk_localsgd/unseen.py",
        "-gained @ kernel.T",
        "gained @ kernel.T",
        "rows that nobody trains on move away from the targets",
        ("tests/test_unseen.py",),
    ),
    Mutation(
        "ntk_localsgd/networks/files.py",
        "    if structure(net) is None:",
        "    if False:",
        "a subclass with outputs of its own saved as its arrays",
        (f"{_OWN}::test_outputs_of_its_own_are_not_saved_as_those_of_its_arrays",),
    ),
)
