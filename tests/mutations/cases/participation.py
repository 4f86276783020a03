"""Some of the clients a round, and local steps of a client's own."""

from tests.mutations.mutation import Mutation

_PARTIAL = "tests/local_sgd/test_participation.py"
_PARTIAL_RUNS = f"{_PARTIAL}::test_runs_match_the_reference"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/local_sgd/ways/steps.py",
        "jax.tree.map(partial(jnp.where, goes_on), moved, here), seen",
        "moved, seen",
        "clients go on after their last step",
        (_PARTIAL_RUNS,),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/ways/shared.py",
        "jnp.where(goes_on[:, None, None], slope, 0)",
        "slope",
        "clients without weights of their own go on after their last step",
        (_PARTIAL_RUNS,),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/ways/shared.py",
        "kept if plan.participants is None else kept._replace(gradient=())",
        "kept",
        "the gradient of all clients for that of the participants",
        (f"{_PARTIAL}::test_deep_networks_together_go_the_way_that_one_goes_in_lockstep",),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/rounds.py",
        "known=known, clients=chosen",
        "known=known",
        "participants take the batches of the first clients",
        (_PARTIAL_RUNS,),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/batches.py",
        "jax.random.fold_in(key, jnp.uint32(_PARTICIPANTS))",
        "key",
        "participants are drawn from the stream of the first client's first batch",
        (f"{_PARTIAL}::test_participants_are_a_uniform_set_of_their_own_stream",),
    ),
    Mutation(
        "ntk_localsgd/responses.py",
        "pair = share * (taking_part - 1) / (number - 1)",
        "pair = share",
        "two clients take part together as often as one does",
        (f"{_PARTIAL}::test_predicted_moments_are_the_means_over_all_sets_of_participants",),
    ),
)
