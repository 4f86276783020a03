"""Federated against centralized, and λ0 against separation: one formula broken at a time."""

from tests.mutations.mutation import Mutation

_JOBS, _TESTS = "verification/jobs", "tests/verification/jobs"
_CENTRAL, _SEPARATION = f"{_TESTS}/test_centralized.py", f"{_TESTS}/test_separations.py"

MUTATIONS = (
    Mutation(
        f"{_JOBS}/centralized.py",
        "step_size**2 * local_steps * (local_steps - 1) * client / (2 *",
        "step_size**2 * local_steps * (local_steps - 1) * client / (20 *",
        "C10: a bound ten times too small",
        (_CENTRAL,),
    ),
    Mutation(
        f"{_JOBS}/centralized.py",
        "central = LocalSGD(self.factor * eta / self.num_clients,",
        "central = LocalSGD(self.factor * eta,",
        "C10: central steps of η in place of η/K",
        (_CENTRAL,),
    ),
    Mutation(
        f"{_JOBS}/separations.py",
        "return float(half**2 + np.cos(angle) * angle / (2 * np.pi))",
        "return float(half**2 + np.cos(angle) * angle / np.pi)",
        "K8: the pair's bound",
        (_SEPARATION,),
    ),
    Mutation(
        f"{_JOBS}/separations.py",
        "if np.linalg.norm(kept - row, axis=1).min() >= distance:",
        "if np.linalg.norm(kept - row, axis=1).max() >= distance:",
        "K8: rows far from one that is kept, not from all",
        (_SEPARATION,),
    ),
)
