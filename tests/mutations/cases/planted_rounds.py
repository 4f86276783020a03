"""Planted rounds and jumps: one formula of their measurement broken at a time."""

from tests.mutations.mutation import Mutation

_FILE, _TESTS = "verification/jobs/round_traps.py", "tests/verification/jobs/test_round_traps.py"

MUTATIONS = (
    Mutation(
        _FILE,
        "allowed = before - comparison.signed @ taken.gained.ravel()",
        "allowed = before - 2 * comparison.signed @ taken.gained.ravel()",
        "planted rounds: gained weights count twice",
        (_TESTS,),
    ),
    Mutation(
        _FILE,
        'counts, rule = counts._replace(uncertain=np.zeros_like(counts.uncertain)), "gap"',
        "pass",
        "planted rounds: the averaging term is never left out",
        (_TESTS,),
    ),
    Mutation(
        _FILE,
        "bound = held.factor * held.rate**k if self.chances else self.mean**k",
        "bound = held.factor * held.rate**k",
        "jumps: the control has the envelope, too",
        (_TESTS,),
    ),
)
