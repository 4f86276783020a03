"""What certificates of drawn runs are held against."""

from tests.mutations.mutation import Mutation

_JOBS, _CLAIMS = "verification/jobs", "verification/claims/certificate"
_TEST_JOBS, _TEST_CLAIMS = (
    "tests/verification/jobs/test_drawn_certificates.py",
    "tests/verification/claims/certificate/test_drawn.py",
)

MUTATIONS = (
    Mutation(
        f"{_JOBS}/drawn_certificates.py",
        'CHOICES if self.method == "dominance" else ("drawn",)',
        '("drawn",)',
        "no hostile order is ever followed",
        (f"{_TEST_JOBS}::test_hostile_orders_are_followed_where_the_certificate_speaks_of_them",),
    ),
    Mutation(
        f"{_JOBS}/drawn_certificates.py",
        "seen.movement / proof.radius * self.overstated",
        "seen.movement / proof.radius",
        "the control's radius is the certified one",
        (f"{_TEST_JOBS}::test_certificates_are_kept_and_overstated_ones_are_not",),
    ),
    Mutation(
        f"{_CLAIMS}/drawn.py",
        "(one.movement > 1) | (one.astray > 0)",
        "one.movement > 1",
        "a sign astray is no failure",
        (_TEST_CLAIMS,),
    ),
    Mutation(
        f"{_CLAIMS}/drawn.py",
        "np.where(one.astray > 0, np.inf, np.maximum(one.residual, one.movement))",
        "np.where(one.astray > 0, np.inf, one.residual)",
        "movement is not part of what holds with probability",
        (_TEST_CLAIMS,),
    ),
    Mutation(
        "verification/jobs/certified_widths.py",
        "step = 2 if self.coupled else 1",
        "step = 1",
        "C8-order-widths: coupled neurons of odd widths",
        ("tests/verification/jobs/test_drawn_certificates.py",),
    ),
)
