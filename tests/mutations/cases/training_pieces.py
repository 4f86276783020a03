"""Training in pieces with checkpoints, and Gram matrices along a chunk: one step broken at a time."""

from tests.mutations.mutation import Mutation

_FILE, _TESTS = "ntk_localsgd/cli/certified_training.py", "tests/cli/test_certified_training.py"
_RUNS = "tests/local_sgd/test_running.py"

MUTATIONS = (
    Mutation(
        _FILE,
        "end = min(here.round - here.round % every + every, self.config.num_rounds)",
        "end = here.round - here.round % every + every",
        "training in pieces: the last one is not cut at the run's end",
        (_TESTS,),
    ),
    Mutation(
        _FILE,
        "return Reached(net, np.concatenate([here.losses, losses[1:]]))",
        "return Reached(net, np.concatenate([here.losses, losses]))",
        "training in pieces: the round that two pieces share counts twice",
        (_TESTS,),
    ),
    Mutation(
        _FILE,
        "key=self.key, resume=self._checkpoint(here))",
        "key=self.key)",
        "training in pieces: every piece begins at the start",
        (_TESTS,),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/recording.py",
        "enumerate(grams[:number])",
        "enumerate(grams)",
        "Gram matrices beyond the round of divergence",
        (f"{_RUNS}::test_a_run_that_diverges_within_a_chunk_keeps_the_gram_matrices_before",),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/rounds.py",
        "({CARRIED: trained} if plan.carried else {})",
        "({CARRIED: state.trained} if plan.carried else {})",
        "weights of a round's start come along in place of its end's",
        (f"{_RUNS}::test_gram_matrices_come_from_the_weights_of_their_rounds_in_chunks_of_any_length",),
    ),
    Mutation(
        "ntk_localsgd/kernels/empirical.py",
        "jax.lax.optimization_barrier(jnp.broadcast_to(width, counts.shape))",
        "width",
        "a product with the width's reciprocal where others divide",
        (f"{_RUNS}::test_the_gram_matrix_of_a_network_that_does_not_move_does_not_either",),
    ),
)
