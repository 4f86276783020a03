"""Verdicts."""

from tests.mutations.mutation import Mutation

_FILE, _TESTS = "ntk_localsgd/evidence.py", "tests/test_evidence.py"

MUTATIONS = (
    Mutation(
        _FILE,
        "return Verdict.VERIFIED if conclusion else Verdict.REFUTED",
        "return Verdict.VERIFIED if conclusion else Verdict.SILENT",
        "a counterexample is passed over in silence",
        (f"{_TESTS}::test_verdict_table",),
    ),
    Mutation(
        _FILE,
        "return self.measured / self.bound",
        "return self.bound / self.measured",
        "tightness inverted",
        (f"{_TESTS}::test_evidence_survives_strict_json",),
    ),
)
