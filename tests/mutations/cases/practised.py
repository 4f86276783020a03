"""Local SGD as it is practised: steps, servers, and their prediction."""

from tests.mutations.mutation import Mutation

_RUNS = "tests/local_sgd/test_practised.py"
_LOOP = f"{_RUNS}::test_every_option_is_the_loop_in_numpy"
_LINEAR = "tests/test_responses.py"
_SCOPE = "tests/certificate/test_scope.py"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/local_sgd/ways/steps.py",
        "g + pull * (w - w0)",
        "g + pull * w",
        "FedProx pulls to 0",
        (_LOOP,),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/ways/steps.py",
        "beta * v + g, here.velocity, slope)",
        "beta * v + (1 - beta) * g, here.velocity, slope)",
        "momentum as a mean",
        (_LOOP,),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/ways/__init__.py",
        "plan.rule.plain and not plan.weighted and not plan.at_taken",
        "not plan.at_taken",
        "settings that the fast way does not know are forgotten",
        (f"{_RUNS}::test_what_no_way_without_own_weights_knows_goes_another_way",),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/ways/one_by_one.py",
        "lambda w: weight * w, moved",
        "lambda w: w / len(start.clients), moved",
        "weights of clients left out where they go one by one",
        (_LOOP,),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/batches.py",
        "places < number",
        "places < len(mask)",
        "the last batch of an order filled up",
        (_LOOP,),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/batches.py",
        "step // in_order, client",
        "step // len(mask), client",
        "the same order in every epoch",
        (_LOOP,),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/rounds.py",
        "eta * factors[number]",
        "eta * factors[0]",
        "the first round's step size in all of them",
        (_LOOP,),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/server.py",
        "1 - second**rounds) if rule.corrected",
        "1 - second) if rule.corrected",
        "Adam's squares corrected as in the first round",
        (_LOOP,),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/running.py",
        "[point.server for point in resume] if resume and start else None",
        "None",
        "a server that goes on without its memory",
        (f"{_RUNS}::test_a_server_that_remembers_goes_on_where_it_was",),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/config.py",
        "number * float(each) / total for each in given",
        "float(each) for each in given",
        "client weights that are no averages",
        (f"{_LINEAR}::test_residuals_are_those_of_a_linear_model",),
    ),
    Mutation(
        "ntk_localsgd/responses.py",
        "(1 - eigenvalues * weights) - self.proximal * weights",
        "(1 - eigenvalues * weights)",
        "FedProx forgotten beside momentum",
        (f"{_LINEAR}::test_residuals_are_those_of_a_linear_model",),
    ),
    Mutation(
        "ntk_localsgd/responses.py",
        "chosen / chosen.sum(axis=1, keepdims=True)",
        "chosen / taking_part",
        "participants' weights that do not add up to 1",
        (f"{_LINEAR}::test_moments_are_means_over_all_that_may_be_drawn",),
    ),
    Mutation(
        "ntk_localsgd/prediction.py",
        "root = np.sqrt(trace**2 - 4 * beta)",
        "root = np.sqrt(trace**2)",
        "the server's momentum in the rate but not in its discriminant",
        (f"{_LINEAR}::test_the_rate_is_what_many_rounds_show",),
    ),
    Mutation(
        "ntk_localsgd/prediction.py",
        "own = product[c, c] * (local",
        "own = (local",
        "noise of batches without the clients' weights",
        (f"{_LINEAR}::test_moments_are_means_over_all_that_may_be_drawn",),
    ),
    Mutation(
        "ntk_localsgd/clients.py",
        "while len(hand) < least:",
        "if len(hand) < least:",
        "a client takes one sample and no more of those that it lacks",
        ("tests/test_clients.py::test_a_smallest_size_is_kept_and_takes_from_the_largest",),
    ),
    Mutation(
        "ntk_localsgd/local_sgd/evaluation.py",
        "jnp.sum(left**2) / (2 * len(left))",
        "jnp.sum(left**2) / 2",
        "a sum for the mean over held-out rows",
        ("tests/local_sgd/test_evaluation.py",),
    ),
    Mutation(
        "ntk_localsgd/cli/practised.py",
        '"sqrt": -0.5',
        '"sqrt": -1.0',
        "step sizes by the root of the round that fall with the round",
        ("tests/cli/test_practised.py::test_options_are_settings_of_the_library_and_a_run_goes_on",),
    ),
    Mutation(
        "ntk_localsgd/cli/inputs.py",
        "np.sort(order[kept:]), np.sort(order[:kept])",
        "np.sort(order), np.sort(order[:kept])",
        "rows that are held out are trained on",
        ("tests/cli/test_practised.py::test_rows_are_held_out_and_evaluated",),
    ),
    Mutation(
        "ntk_localsgd/certificate/record.py",
        "    refuse_unproved(config)",
        "    pass",
        "a record that leaves out settings",
        (_SCOPE,),
    ),
    Mutation(
        "ntk_localsgd/certificate/schedule.py",
        'config.refuse_beyond(PLAIN, "the certificate")',
        "None",
        "certificates of runs that no proof speaks of",
        (_SCOPE,),
    ),
)
