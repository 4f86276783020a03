"""The checks themselves: directions of inequalities, controls, adversaries, and what counts as broken."""

from tests.mutations.mutation import Mutation

_DIR, _TESTS = "verification", "tests/verification"
_CERTIFICATES, _DEEP = f"{_TESTS}/jobs/test_certificates.py", f"{_TESTS}/test_deep.py"
_THRESHOLDS = f"{_TESTS}/test_thresholds.py"

MUTATIONS = (
    Mutation(
        f"{_DIR}/certified_run.py",
        "if run.diverged_at is not None:",
        "if run.diverged_at == 0:",
        "a run that diverges keeps its certificate",
        (f"{_TESTS}/test_certified_run.py::test_one_that_does_not_refutes_it",),
    ),
    Mutation(
        f"{_DIR}/certified_run.py",
        "if seen <= named else math.inf",
        "if len(seen) <= len(named) else math.inf",
        "patterns counted, not compared",
        (f"{_TESTS}/test_certified_run.py::test_one_that_does_not_refutes_it",),
    ),
    Mutation(
        f"{_DIR}/jobs/certificates.py",
        "self.failed += bool(broken.any() or movement > 1 + _ROUNDING or astray)",
        "self.failed += bool(broken.any() or movement > 1 + _ROUNDING)",
        "a sign outside the named pairs is forgiven",
        (_CERTIFICATES,),
    ),
    Mutation(
        f"{_DIR}/jobs/certificates.py",
        "self.failed += bool(broken.any() or movement > 1 + _ROUNDING or astray)",
        "self.failed += bool(broken.all() or movement > 1 + _ROUNDING or astray)",
        "a rate fails only if every round breaks it",
        (_CERTIFICATES,),
    ),
    Mutation(
        f"{_DIR}/jobs/reference.py",
        "weights = weights + total / case.clients.num_clients",
        "weights = weights + total",
        "the certificate's reference run: Σ_c for the mean",
        (f"{_TESTS}/jobs/test_reference.py",),
    ),
    Mutation(
        f"{_DIR}/context.py",
        "angle = 2 * math.asin(distance / 2)",
        "angle = math.asin(distance)",
        "planted pair: a chord taken for an arc's sine",
        (f"{_DEEP}::test_planted_pair_is_the_closest_one_at_the_distance_asked_for_with_opposite_targets",),
    ),
    Mutation(
        f"{_DIR}/runner.py",
        "return int(bool(refuted or unbroken or crashed))",
        "return int(bool(refuted or crashed))",
        "an unbroken control passes",
        (f"{_TESTS}/test_runner.py",),
    ),
    Mutation(
        f"{_DIR}/thresholds.py",
        "failure_interval(counts[middle], trials).upper <= DELTA",
        "counts[middle] / trials <= DELTA",
        "a threshold decided by the rate instead of its interval",
        (f"{_THRESHOLDS}::test_one_failure_among_forty_seeds_is_no_failure_rate_of_a_tenth_and_no_proof_of_one",),
    ),
    Mutation(
        f"{_DIR}/thresholds.py",
        "np.append(losses, np.inf)",
        "losses",
        "a diverged run passes for a short one",
        (f"{_THRESHOLDS}::test_a_diverged_run_ends_with_an_infinite_loss",),
    ),
    Mutation(
        f"{_DIR}/thresholds.py",
        '(-1 if name in ("λ0", "φ") else 1) * (-1 if step else 1)',
        "(-1 if step else 1)",
        "needed widths compared in the wrong direction in λ0",
        (f"{_THRESHOLDS}::test_needed_widths_may_grow_no_faster_than_those_asked_for",),
    ),
    Mutation(
        f"{_DIR}/step_thresholds.py",
        "found if math.isfinite(found.value) else dataclasses.replace(found, value=0.0)",
        "found",
        "no stable step size passes for an infinite one",
        (f"{_THRESHOLDS}::test_no_stable_step_size_is_none_and_not_an_infinite_one",),
    ),
    Mutation(
        "verification/width_thresholds.py",
        "return patience * int(np.flatnonzero(shares <= share)[0]), share",
        "return int(np.flatnonzero(shares <= share)[0]), share",
        "a deep run gets no more rounds than an infinitely wide one",
        (
            "tests/verification/test_thresholds.py"
            "::test_a_deep_run_is_asked_for_what_the_kernel_regime_reaches_in_half_its_rounds",
        ),
    ),
)
