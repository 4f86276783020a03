"""Certificates that were once believed and are wrong, caught on planted cases: C8-traps."""

from collections.abc import Iterator

from ntk_localsgd.evidence import Condition, Evidence
from verification.context import Context
from verification.engine import Results
from verification.jobs.certificate_traps import TRAPS, Planted, SwitchingWithinARound
from verification.jobs.certificates import ROUNDING
from verification.judging import at_most
from verification.papers import OWN
from verification.registry import claim
from verification.store import Job


def _jobs(context: Context) -> Iterator[Job]:  # noqa: ARG001 (planted cases do not depend on preset or seed)
    for trap in TRAPS:
        yield from (Planted(trap), Planted(trap, wrong=True))
    yield SwitchingWithinARound()


@claim(
    "C8-traps",
    "the certificate holds on the planted case, and without the named step of its proof it does not",
    letter="D",
    source="docs/theory.md §5.3",
    paper=OWN,
    needs=_jobs,
)
def traps(context: Context, results: Results) -> Iterator[Evidence]:  # noqa: ARG001
    """One planted case a row; the control is the wrong certificate, which must be caught."""
    for trap in TRAPS:
        true, wrong = results[Planted(trap)], results[Planted(trap, wrong=True)]
        yield at_most(
            {"case": f"planted: {trap}"},
            Condition("certified by the path method", bool(true.certified == 1)),
            f"rate, radius and signs hold; {int(true.astray)} pairs astray",
            float(true.worst),
            1.0,
            tolerance=ROUNDING,
            also=bool(true.failed == 0),
            control=float(wrong.worst),
            control_setting=f"certified as if: {trap} ({int(wrong.astray)} pairs astray)",
            control_also=bool(wrong.failed == 0),
            failures=int(true.failed),
        )
    job = SwitchingWithinARound()
    shares = results[job]
    yield at_most(
        {"case": "planted: the sum over a round bounds what its steps add"},
        Condition(f"η ≤ 1/max_c λ_max(Θ_cc), here {float(shares.gain):.2g} of it", bool(shares.gain <= 1)),
        f"{job.draws} random switchings of one round within the bound",
        float(shares.share),
        1.0,
        control=float(shares.share_of_sum),
        control_setting="|Σ_k| of the round's steps in place of Σ_k |·|",
    )
