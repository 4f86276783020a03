"""The search for counterexamples."""

from tests.mutations.mutation import Mutation

_SEARCH = "tests/verification/jobs/test_search.py"
_RATIOS = "tests/verification/jobs/test_ratios.py"
_TIGHT = f"{_SEARCH}::test_the_drift_s_bound_is_tight_and_seven_tenths_of_it_are_refuted"

MUTATIONS = (
    Mutation(
        "verification/jobs/search.py",
        "climbs = there > best",
        "climbs = there < best",
        "steps that do not climb are kept",
        (_SEARCH,),
    ),
    Mutation(
        "verification/jobs/search.py",
        "jnp.where(jnp.isnan(found), -jnp.inf, found)",
        "jnp.where(jnp.isnan(found), jnp.inf, found)",
        "what is no number is a counterexample",
        (_SEARCH,),
    ),
    Mutation(
        "verification/jobs/drift.py",
        "drift / (eta * k * chi * largest)",
        "drift / (eta * chi * largest)",
        "drift without its number of steps in the bound",
        (_TIGHT,),
    ),
    Mutation(
        "verification/jobs/drift.py",
        " & jnp.isfinite(drift)",
        "",
        "squares beyond float64 are a counterexample",
        (f"{_SEARCH}::test_a_drift_beyond_what_has_a_square_refutes_nothing",),
    ),
    Mutation(
        "verification/judging.py",
        "control_bound=share,",
        "control_bound=1.0,",
        "a search whose control is no other claim",
        (_TIGHT,),
    ),
    Mutation(
        "verification/jobs/two_layer_ratios.py",
        "chi * (apart + jnp.where(flips > 0,",
        "chi * (apart + 2 * jnp.where(flips > 0,",
        "twice the flips' term in the bound of gradients' differences",
        (f"{_RATIOS}::test_gradients_of_two_networks",),
    ),
    Mutation(
        "verification/jobs/two_layer_ratios.py",
        "eigenvalues[0] - jnp.linalg.norm(error, 2)",
        "eigenvalues[0]",
        "shrinkage without what patterns may change",
        (f"{_RATIOS}::test_local_shrinkage_and_what_it_would_be_without_the_patterns_that_may_change",),
    ),
    Mutation(
        "verification/jobs/kernel_ratios.py",
        "(tau - 1) * largest / (2 *",
        "(tau - 1) * largest / (",
        "twice the bound of federated against centralized training",
        (f"{_RATIOS}::test_federated_against_centralized",),
    ),
    Mutation(
        "verification/jobs/depth_ratios.py",
        "(jnp.prod(1 + sizes[n:]) - 1) * (here + rest) + rest",
        "(jnp.prod(1 + sizes[n:]) - 1) * (here + rest)",
        "a tail without its biases",
        (f"{_RATIOS}::test_tails_of_deep_networks",),
    ),
    Mutation(
        "verification/registry.py",
        "if self.attack is None or not context.attack:",
        "if self.attack is None:",
        "claims are searched without being asked",
        ("tests/verification/test_registry.py::test_a_claim_that_says_how_is_searched_for_counterexamples",),
    ),
)
