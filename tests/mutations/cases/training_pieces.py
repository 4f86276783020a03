"""Training in pieces with checkpoints: one step broken at a time."""

from tests.mutations.mutation import Mutation

_FILE, _TESTS = "ntk_localsgd/cli/certified_training.py", "tests/cli/test_certified_training.py"

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
)
