"""Thresholds, certificates held against runs, and what statements about m → ∞ presuppose."""

from tests.mutations.mutation import Mutation

_JOBS, _CLAIMS, _TESTS = "verification/jobs", "verification/claims", "tests/verification"
_CERTIFICATES, _RUN = f"{_TESTS}/jobs/test_certificates.py", f"{_TESTS}/jobs/test_certified_run.py"
_THRESHOLDS, _SWEEPS = f"{_TESTS}/jobs/test_thresholds.py", f"{_TESTS}/claims/tightness/test_sweeps.py"

MUTATIONS = (
    Mutation(
        f"{_JOBS}/certified_run.py",
        "if run.diverged_at is not None:",
        "if run.diverged_at == 0:",
        "a run that diverges keeps its certificate",
        (f"{_RUN}::test_a_run_that_diverges_has_moved_without_end",),
    ),
    Mutation(
        f"{_JOBS}/certified_run.py",
        "if switched <= named else math.inf",
        "if len(switched) <= len(named) else math.inf",
        "patterns counted, not compared",
        (f"{_RUN}::test_one_that_does_not_has_a_share_above_one",),
    ),
    Mutation(
        f"{_JOBS}/certified_run.py",
        "ever |= np.asarray(before != after)",
        "ever = np.asarray(before != after)",
        "C8-run: the last round's patterns alone are compared",
        (f"{_RUN}::test_a_pattern_that_differs_in_the_middle_of_a_run_only_is_seen",),
    ),
    Mutation(
        f"{_CLAIMS}/tightness/sweeps.py",
        "training = dataclasses.replace(job.training, step_size=0.0, batch_size=None)",
        "training = dataclasses.replace(job.training, step_size=0.0, batch_size=None, local_steps=0)",
        "C6: local steps may change along any sweep",
        (
            f"{_TESTS}/claims/tightness/test_sweeps.py::test_what_else_than_its_parameter_changes_along_a_sweep_breaks_its_premise",
        ),
    ),
    Mutation(
        f"{_JOBS}/certificates.py",
        "self.failed += bool(broken.any() or movement > 1 + ROUNDING or astray)",
        "self.failed += bool(broken.any() or movement > 1 + ROUNDING)",
        "a sign outside the named pairs is forgiven",
        (_CERTIFICATES,),
    ),
    Mutation(
        f"{_JOBS}/certificates.py",
        "self.failed += bool(broken.any() or movement > 1 + ROUNDING or astray)",
        "self.failed += bool(broken.all() or movement > 1 + ROUNDING or astray)",
        "a rate fails only if every round breaks it",
        (_CERTIFICATES,),
    ),
    Mutation(
        f"{_JOBS}/reference.py",
        "case.server_step_size / taking_part * total",
        "case.server_step_size * total",
        "the certificate's reference run: Σ_c for the mean",
        (f"{_TESTS}/jobs/test_reference.py",),
    ),
    Mutation(
        f"{_JOBS}/thresholds.py",
        "failure_interval(counts[middle], trials).upper <= DELTA",
        "counts[middle] / trials <= DELTA",
        "a threshold decided by the rate instead of its interval",
        (f"{_THRESHOLDS}::test_one_failure_among_forty_seeds_is_no_failure_rate_of_a_tenth_and_no_proof_of_one",),
    ),
    Mutation(
        f"{_JOBS}/thresholds.py",
        "losses if run.diverged_at is None else np.append(losses, np.inf)",
        "losses",
        "a diverged run passes for a short one",
        (f"{_THRESHOLDS}::test_a_diverged_run_ends_with_an_infinite_loss",),
    ),
    Mutation(
        f"{_CLAIMS}/tightness/sweeps.py",
        '(-1 if name in ("λ0", "φ") else 1) * (-1 if step else 1)',
        "(-1 if step else 1)",
        "needed widths compared in the wrong direction in λ0",
        (f"{_SWEEPS}::test_needed_widths_may_grow_no_faster_than_those_asked_for",),
    ),
    Mutation(
        f"{_JOBS}/thresholds.py",
        "threshold.value if math.isfinite(threshold.value) else 0.0",
        "threshold.value",
        "no stable step size passes for an infinite one",
        (f"{_THRESHOLDS}::test_no_stable_step_size_is_none_and_not_an_infinite_one",),
    ),
    Mutation(
        f"{_JOBS}/thresholds.py",
        "return times * int(np.flatnonzero(shares <= share)[0]), share",
        "return int(np.flatnonzero(shares <= share)[0]), share",
        "a deep run gets no more rounds than an infinitely wide one",
        (f"{_THRESHOLDS}::test_a_deep_run_is_asked_for_what_the_kernel_regime_reaches_in_half_its_rounds",),
    ),
    Mutation(
        f"{_CLAIMS}/growth.py",
        "alike and gains[0] <= 1 and differs <= _LEARNED",
        "alike and gains[0] <= 1",
        "widths that learned different shares of the loss are compared",
        (f"{_TESTS}/claims/test_growth.py::test_the_premise_fails_by_the_learned_share_alone",),
    ),
    Mutation(
        f"{_CLAIMS}/certificate/widths.py",
        "n > 3 and together == job.number,",
        "n > 3 and together > 0,",
        "C8-widths: not every seed needs to be certified at the width needed",
        (f"{_TESTS}/claims/certificate/test_widths.py",),
    ),
    Mutation(
        f"{_JOBS}/certified_widths.py",
        "widest = int(max(certified))",
        "widest = int(min(certified))",
        "C8-widths: the premise evaluated at another width than is named",
        (f"{_TESTS}/jobs/test_certified_widths.py",),
    ),
    Mutation(
        f"{_CLAIMS}/tightness/sweeps.py",
        "sign * asked[name].estimate + TOLERANCE",
        "sign * asked[name].estimate + 2 * TOLERANCE",
        "exponents judged by another tolerance than the row names",
        (f"{_SWEEPS}::test_the_tolerance_that_decides_about_step_sizes_stands_in_claim_and_row",),
    ),
)
