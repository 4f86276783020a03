"""Certificates that were once believed and are wrong, caught on planted cases: C8-traps."""

from collections.abc import Iterator

from ntk_localsgd.evidence import Condition, Evidence
from verification.context import Context
from verification.engine import Results
from verification.jobs.certificate_traps import TRAPS, Planted, SwitchingWithinARound
from verification.jobs.certificates import ROUNDING
from verification.jobs.deep_traps import DEEP_TRAPS, DeepPlanted
from verification.jobs.round_traps import LEFT_OUT, Jumps, PlantedRounds
from verification.judging import at_most
from verification.papers import OWN
from verification.registry import claim
from verification.store import Job

# Planted rounds of one row.
_PLANTED_ROUNDS = 200

# Mean and worst factor of a round, and the probability with which the envelope may fail.
_JUMPS = (0.9, 1.5, 0.05)

# Of a residual that dozens of products lead to, relative to ‖r‖.
_PRODUCTS = 1e-12


def _pairs() -> Iterator[tuple[str, str, Planted | DeepPlanted, Planted | DeepPlanted]]:
    """Of each planted case its step, the method, and the job with and without the step."""
    for trap in TRAPS:
        yield trap, "path", Planted(trap), Planted(trap, wrong=True)
    for trap in DEEP_TRAPS:
        yield trap, "deep path", DeepPlanted(trap), DeepPlanted(trap, wrong=True)


def _jobs(context: Context) -> Iterator[Job]:  # noqa: ARG001 (planted cases do not depend on preset or seed)
    for *_, own, wrong in _pairs():
        yield from (own, wrong)
    yield SwitchingWithinARound()
    yield from (PlantedRounds(_PLANTED_ROUNDS, step) for step in (None, *LEFT_OUT))
    yield from (Jumps(*_JUMPS), Jumps(*_JUMPS, chances=False))


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
    for trap, method, *jobs in _pairs():
        true, wrong = (results[job] for job in jobs)
        yield at_most(
            {"case": f"planted: {trap}"} | ({"method": method} if method != "path" else {}),
            Condition(f"certified by the {method} method", bool(true.certified == 1)),
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
    rounds = {step: results[PlantedRounds(_PLANTED_ROUNDS, step)].excess.values for step in (None, *LEFT_OUT)}
    for step in LEFT_OUT:
        yield at_most(
            {"case": f"planted rounds: {step}", "method": "dominance"},
            Condition("every pair that changes in the round is in U", True),
            "r(t+1)^± ≤ r(t)^± − M₂ κ Σ y^±, the excess relative to ‖r‖",
            rounds[None],
            0.0,
            tolerance=_PRODUCTS,
            control=float(rounds[step].max()),
            control_setting=f"without: {step} ({int((rounds[step] > _PRODUCTS).sum())} of {len(rounds[step])} fail)",
        )
    mean, worst, delta = _JUMPS
    held, mean_only = (float(results[Jumps(*_JUMPS, chances=each)].probability) for each in (True, False))
    yield at_most(
        {"case": "planted: what is true of the mean is true of a run", "method": "energy"},
        Condition(f"V jumps to {worst:g} V or to 0, and is {mean:g} V in the mean", mean < 1 < worst),
        f"V ever exceeds its envelope with probability ≤ δ = {delta:g}",
        held,
        delta,
        control=mean_only,
        control_setting="the mean's path in place of the envelope, without 1/δ",
    )
