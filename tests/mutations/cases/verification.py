"""The checks themselves: directions of inequalities, controls, adversaries, and what counts as broken."""

from tests.mutations.mutation import Mutation

_DIR, _TESTS = "verification", "tests/verification"
_DATA, _ENGINE, _REGISTRY = f"{_TESTS}/test_data.py", f"{_TESTS}/test_engine.py", f"{_TESTS}/test_registry.py"

MUTATIONS = (
    Mutation(
        f"{_DIR}/data.py",
        "angle = 2 * math.asin(distance / 2)",
        "angle = math.asin(distance)",
        "planted pair: a chord taken for an arc's sine",
        (f"{_DATA}::test_a_planted_pair_is_the_closest_one_at_the_chord_asked_for_with_opposite_targets",),
    ),
    Mutation(
        f"{_DIR}/data.py",
        "targets[1::2], x = -targets[: 2 * (n // 2) : 2],",
        "targets[1::2], x = targets[: 2 * (n // 2) : 2],",
        "pairs of equal targets, which are easy",
        (f"{_DATA}::test_every_point_has_a_partner_at_the_chord_with_the_opposite_target",),
    ),
    Mutation(
        f"{_DIR}/data.py",
        "return max(float(np.linalg.eigvalsh(gram[np.ix_(part, part)])[-1]) for part in split.indices)",
        "return min(float(np.linalg.eigvalsh(gram[np.ix_(part, part)])[-1]) for part in split.indices)",
        "step size by the tamest client",
        (f"{_DATA}::test_step_sizes_follow_the_client_with_the_largest_eigenvalue",),
    ),
    Mutation(
        f"{_DIR}/data.py",
        "kernels.smallest_eigenvalue(gram, error=error)",
        "kernels.smallest_eigenvalue(gram)",
        "λ0 enclosed without the Gram matrix's own error",
        (f"{_DATA}::test_the_enclosure_of_lambda0_is_as_wide_as_the_gram_matrix_is_off",),
    ),
    Mutation(
        f"{_DIR}/engine/computing.py",
        "return _Sweep(list(dict.fromkeys(jobs)), store",
        "return _Sweep(list(jobs), store",
        "a job that two claims need is computed twice",
        (f"{_ENGINE}::test_each_job_is_computed_once_and_then_read",),
    ),
    Mutation(
        f"{_DIR}/engine/results.py",
        "if self.named is None or job in self.named:",
        "if self.named is None or self.named:",
        "a claim reads a job that it does not name",
        (f"{_REGISTRY}::test_a_claim_reads_only_the_jobs_that_it_needs",),
    ),
    Mutation(
        f"{_DIR}/store.py",
        "return code_fingerprint(pathlib.Path(file))",
        "return inspect.getsource(kind)",
        "a job's file keeps its name when a constant of its module changes",
        (f"{_ENGINE}::test_a_constant_changed_in_what_a_job_imports_renames_its_file_and_a_change_elsewhere_does_not",),
    ),
    Mutation(
        f"{_DIR}/store.py",
        'return self.fresh or type(job).__module__.partition(".")[0] not in self.home',
        "return self.fresh",
        "a user's script is judged on stale numbers",
        (f"{_ENGINE}::test_jobs_of_scripts_outside_the_project_are_always_computed",),
    ),
    Mutation(
        f"{_DIR}/registry.py",
        'if row.claim not in ("", self.id):',
        "if not isinstance(row.claim, str):",
        "another claim's row is stamped as one's own",
        (f"{_REGISTRY}::test_no_row_another_claim_s_row_or_no_evidence_is_refused_by_name",),
    ),
    Mutation(
        f"{_DIR}/registry.py",
        "        if not rows:",
        "        if rows is None:",
        "a claim without a row passes",
        (f"{_REGISTRY}::test_no_row_another_claim_s_row_or_no_evidence_is_refused_by_name",),
    ),
    Mutation(
        f"{_DIR}/registry.py",
        "return claim_id.startswith(name) and not rest[:1].isdigit()",
        "return claim_id.startswith(name) and rest is not None",
        "S1 selects S10",
        (f"{_REGISTRY}::test_an_id_selects_its_parts_but_not_longer_numbers",),
    ),
    Mutation(
        f"{_DIR}/checking.py",
        "any(r.verdict is Verdict.REFUTED or not r.control.broke for r in self.rows)",
        "any(r.verdict is Verdict.REFUTED for r in self.rows)",
        "an unbroken control ends with exit code 0",
        (f"{_TESTS}/test_checking.py::test_refuted_unbroken_or_crashed_ends_with_1",),
    ),
    Mutation(
        f"{_DIR}/report/pages.py",
        '{"≤": max, "≥": min,',
        '{"≤": max, "≥": max,',
        "the slackest row of a lower bound shown as the worst",
        (f"{_TESTS}/report/test_pages.py::test_worst_tightness_is_the_one_nearest_to_failure",),
    ),
    Mutation(
        f"{_DIR}/report/pages.py",
        "return max(values, key=lambda value: abs(value - 1))",
        "return max(values)",
        "the largest quotient of an equality for the one farthest from 1",
        (f"{_TESTS}/report/test_pages.py::test_worst_tightness_is_the_one_nearest_to_failure",),
    ),
)
