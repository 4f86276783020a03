"""The search for counterexamples."""

from tests.mutations.mutation import Mutation

_SEARCH = "tests/verification/jobs/test_search.py"
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
        "control_bound=0.7,",
        "control_bound=1.0,",
        "a search whose control is no other claim",
        (_TIGHT,),
    ),
    Mutation(
        "verification/registry.py",
        "if self.attack is None or not context.attack:",
        "if self.attack is None:",
        "claims are searched without being asked",
        ("tests/verification/test_registry.py::test_a_claim_that_says_how_is_searched_for_counterexamples",),
    ),
)
