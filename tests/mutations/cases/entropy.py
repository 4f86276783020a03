"""Entropies of layers."""

from tests.mutations.mutation import Mutation

_ENTROPY = "tests/test_entropy.py"

MUTATIONS = (
    Mutation(
        "ntk_localsgd/entropy.py",
        "return total * math.log(activation.negative_slope)",
        "return total * math.log(1 / activation.negative_slope)",
        "E1: leaky ReLU adds entropy",
        (f"{_ENTROPY}::test_change_is_that_of_known_entropies",),
    ),
    Mutation(
        "ntk_localsgd/entropy.py",
        "allowed, moved = window / len(x) * -logarithm,",
        "allowed, moved = 0.0,",
        "E1: the estimator's window left out of the interval",
        (f"{_ENTROPY}::test_estimate_is_the_share_below_0_up_to_its_window",),
    ),
    Mutation(
        "verification/jobs/leaky_training.py",
        "targets=train.targets * self.target_scale",
        "targets=train.targets",
        "E4: the control has something to fit",
        ("tests/verification/jobs/test_entropies.py",),
    ),
)
